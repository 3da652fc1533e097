dnl SPDX-License-Identifier: GPL-2.0-or-later
dnl Probing of compiler and linker flags; an unknown flag must fail the probe with clang too, hence -Werror in each.

dnl CLUSTER_TRY_FLAGS(cflags, ldflags, then, else)
AC_DEFUN([CLUSTER_TRY_FLAGS], [
	cluster_save_cflags=$CFLAGS
	cluster_save_ldflags=$LDFLAGS
	CFLAGS="$CFLAGS -Werror $1"
	LDFLAGS="$LDFLAGS $2"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <string.h>
		]], [[char b[16]; memset(b, 0, sizeof(b)); return b[3];]])],
		[cluster_flags_ok=yes], [cluster_flags_ok=no])
	CFLAGS=$cluster_save_cflags
	LDFLAGS=$cluster_save_ldflags
	AS_IF([test "$cluster_flags_ok" = yes], [$3], [$4])
])

dnl CLUSTER_ADD_CFLAGS(flags): each flag the compiler knows goes to CLUSTER_CFLAGS
AC_DEFUN([CLUSTER_ADD_CFLAGS], [
	for cluster_flag in $1; do
		AC_MSG_CHECKING([whether $CC knows $cluster_flag])
		CLUSTER_TRY_FLAGS([$cluster_flag], [],
			[CLUSTER_CFLAGS="$CLUSTER_CFLAGS $cluster_flag"])
		AC_MSG_RESULT([$cluster_flags_ok])
	done
])

dnl CLUSTER_ADD_LDFLAGS(flags): each flag the linker knows goes to CLUSTER_LDFLAGS
AC_DEFUN([CLUSTER_ADD_LDFLAGS], [
	for cluster_flag in $1; do
		AC_MSG_CHECKING([whether the linker knows $cluster_flag])
		CLUSTER_TRY_FLAGS([-fPIE], [$cluster_flag],
			[CLUSTER_LDFLAGS="$CLUSTER_LDFLAGS $cluster_flag"])
		AC_MSG_RESULT([$cluster_flags_ok])
	done
])

dnl CLUSTER_NEED_FLAGS(flags): all of them in both CFLAGS and LDFLAGS, or no build
AC_DEFUN([CLUSTER_NEED_FLAGS], [
	AC_MSG_CHECKING([whether $CC can do $1])
	CLUSTER_TRY_FLAGS([$1], [$1], [], [
		AC_MSG_RESULT([no])
		AC_MSG_ERROR([$CC cannot build with $1: install its run-time libraries or leave the option out])])
	AC_MSG_RESULT([yes])
	CLUSTER_CFLAGS="$CLUSTER_CFLAGS $1"
	CLUSTER_LDFLAGS="$CLUSTER_LDFLAGS $1"
])

dnl CLUSTER_FORTIFY: the highest level that compiler, its optimization and the C library support without a warning
AC_DEFUN([CLUSTER_FORTIFY], [
	for cluster_level in 3 2; do
		AC_MSG_CHECKING([whether _FORTIFY_SOURCE=$cluster_level works])
		CLUSTER_TRY_FLAGS([-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$cluster_level], [],
			[CLUSTER_CPPFLAGS="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$cluster_level"])
		AC_MSG_RESULT([$cluster_flags_ok])
		AS_IF([test "$cluster_flags_ok" = yes], [break])
	done
])
