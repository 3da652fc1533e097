# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of clusterctl: the program itself knows what may come next.

_clusterctl() {
	local IFS=$'\n' i
	local -a words=()

	COMPREPLY=()
	# bash splits words at '=' and ':'; clusterctl's FIELD=VALUE and ocf:PROVIDER:TYPE are one word each
	for ((i = 1; i <= COMP_CWORD; i++)); do
		if [[ ${#words[@]} -gt 0 && (${COMP_WORDS[i]} == [=:] || ${COMP_WORDS[i - 1]} == [=:]) ]]; then
			words[-1]+=${COMP_WORDS[i]}
		else
			words+=("${COMP_WORDS[i]}")
		fi
	done
	mapfile -t COMPREPLY < <(clusterctl complete "${words[@]}" 2>/dev/null)
	# what bash replaces begins after the last of them
	if [[ ${words[-1]} == *[=:]* ]]; then
		COMPREPLY=("${COMPREPLY[@]#"${words[-1]%"${words[-1]##*[=:]}"}"}")
	fi
	if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
		compopt -o default
	elif [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
		compopt -o nospace
	fi
}

complete -F _clusterctl clusterctl
