# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of csvfs-admin.

_csvfs_admin() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' i
	local commands='create info label check grow status freeze thaw trim redirect set-owner fenced'
	local options='--filesystem --label --quota --force --forget --repair --timeout --json --help --version'

	COMPREPLY=()
	case $prev in
	-t | --filesystem) mapfile -t COMPREPLY < <(compgen -W 'ext4 xfs' -- "$cur") && return ;;
	-L | --label | -T | --timeout) return ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case " $commands " in *" ${COMP_WORDS[i]} "*) command=${COMP_WORDS[i]} && break ;; esac
	done
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	elif [[ -z $command ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
	elif [[ $command == redirect && $prev != redirect ]]; then
		mapfile -t COMPREPLY < <(compgen -W 'on off' -- "$cur")
	else
		compopt -o default
	fi
}

complete -F _csvfs_admin csvfs-admin
