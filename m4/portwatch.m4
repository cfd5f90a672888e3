# SPDX-License-Identifier: GPL-2.0-or-later
#
# PORTWATCH_APPEND_FLAGS(VARIABLE, FLAGS...)
# Adds to VARIABLE each of the blank-separated compiler flags that the C compiler takes without a
# warning. One check, with one cached answer, for each flag.
AC_DEFUN([PORTWATCH_APPEND_FLAGS],
         [m4_foreach_w([pw_flag], [$2], [_PORTWATCH_APPEND_FLAG([$1], m4_defn([pw_flag]))])])

AC_DEFUN([_PORTWATCH_APPEND_FLAG], [
        AS_VAR_PUSHDEF([pw_cache], [pw_cv_flag_$2])
        AC_CACHE_CHECK([whether $CC takes $2], [pw_cache], [
                pw_saved_CFLAGS=$CFLAGS
                # Clang only warns of a warning flag it does not know. A -Wno-X that is unknown
                # passes in silence, so it is its opposite that is tried.
                CFLAGS="$CFLAGS -Werror m4_bpatsubst([$2], [^-Wno-], [-W])"
                AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
                                  [AS_VAR_SET([pw_cache], [yes])],
                                  [AS_VAR_SET([pw_cache], [no])])
                CFLAGS=$pw_saved_CFLAGS
        ])
        AS_VAR_IF([pw_cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
        AS_VAR_POPDEF([pw_cache])
])

# PORTWATCH_APPEND_LINK_FLAGS(VARIABLE, FLAGS...): the same for flags of the linker.
AC_DEFUN([PORTWATCH_APPEND_LINK_FLAGS],
         [m4_foreach_w([pw_flag], [$2], [_PORTWATCH_APPEND_LINK_FLAG([$1], m4_defn([pw_flag]))])])

AC_DEFUN([_PORTWATCH_APPEND_LINK_FLAG], [
        AS_VAR_PUSHDEF([pw_cache], [pw_cv_link_flag_$2])
        AC_CACHE_CHECK([whether the linker takes $2], [pw_cache], [
                pw_saved_LDFLAGS=$LDFLAGS
                LDFLAGS="$LDFLAGS $2"
                AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
                               [AS_VAR_SET([pw_cache], [yes])],
                               [AS_VAR_SET([pw_cache], [no])])
                LDFLAGS=$pw_saved_LDFLAGS
        ])
        AS_VAR_IF([pw_cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
        AS_VAR_POPDEF([pw_cache])
])

# PORTWATCH_FORTIFY(VARIABLE)
# Appends -D_FORTIFY_SOURCE=2 where it does something (the compiler optimises) and is not set yet.
AC_DEFUN([PORTWATCH_FORTIFY], [
        AC_CACHE_CHECK([whether to set _FORTIFY_SOURCE], [pw_cv_fortify], [
                AC_COMPILE_IFELSE([AC_LANG_SOURCE([[
                        #if !defined(__OPTIMIZE__) || defined(_FORTIFY_SOURCE)
                        #error "useless or there already"
                        #endif
                        int x;
                ]])], [pw_cv_fortify=yes], [pw_cv_fortify=no])
        ])
        AS_IF([test "$pw_cv_fortify" = yes], [AS_VAR_APPEND([$1], [" -D_FORTIFY_SOURCE=2"])])
])

# PORTWATCH_BPF
# Finds clang and bpftool and what clang needs to compile for the kernel's virtual machine: sets
# CLANG, BPFTOOL, BPF_ARCH (the name in bpf_tracing.h) and BPF_CPPFLAGS, or fails with a sentence.
AC_DEFUN([PORTWATCH_BPF], [
        AC_PATH_PROGS([CLANG], [clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14])
        # Debian has it in /usr/sbin, which the PATH of a user may lack.
        AC_PATH_PROG([BPFTOOL], [bpftool], [], [$PATH$PATH_SEPARATOR/usr/sbin$PATH_SEPARATOR/sbin])
        pw_bpf_missing=
        AS_IF([test -z "$CLANG"], [pw_bpf_missing=clang])
        AS_IF([test -z "$BPFTOOL"], [pw_bpf_missing="${pw_bpf_missing:+$pw_bpf_missing and }bpftool"])
        AS_IF([test -n "$pw_bpf_missing"], [
                AC_MSG_ERROR([$pw_bpf_missing not found, needed to build the eBPF source: install it (apt-get install clang bpftool), or configure with --disable-ebpf to record through netlink alone.])
        ])

        AC_MSG_CHECKING([for the name of $host_cpu in BPF code])
        AS_CASE([$host_cpu],
                [x86_64|i?86], [BPF_ARCH=x86],
                [aarch64], [BPF_ARCH=arm64],
                [arm*], [BPF_ARCH=arm],
                [powerpc*], [BPF_ARCH=powerpc],
                [s390*], [BPF_ARCH=s390],
                [riscv*], [BPF_ARCH=riscv],
                [mips*], [BPF_ARCH=mips],
                [loongarch*], [BPF_ARCH=loongarch],
                [AC_MSG_ERROR([BPF programs are not known to build for $host_cpu: configure with --disable-ebpf.])])
        AC_MSG_RESULT([$BPF_ARCH])

        # With -target bpf clang does not look into the folder for this architecture, where Debian
        # keeps asm/types.h.
        AC_CACHE_CHECK([where asm/types.h is for BPF programs], [pw_cv_bpf_include], [
                pw_cv_bpf_include=missing
                for pw_dir in none "/usr/include/`$CC -print-multiarch 2>/dev/null`" \
                              "/usr/include/$host_cpu-linux-gnu"; do
                        AS_IF([test "$pw_dir" = none], [pw_flag=], [pw_flag="-I$pw_dir"])
                        AS_IF([echo '#include <linux/types.h>' |
                               $CLANG -target bpf $pw_flag -x c -fsyntax-only - >/dev/null 2>&1],
                              [pw_cv_bpf_include=$pw_dir; break])
                done
        ])
        AS_CASE([$pw_cv_bpf_include],
                [missing], [AC_MSG_ERROR([clang does not find linux/types.h for BPF programs: install the kernel's headers (apt-get install linux-libc-dev), or configure with --disable-ebpf.])],
                [none], [BPF_CPPFLAGS=],
                [BPF_CPPFLAGS="-I$pw_cv_bpf_include"])
        AC_SUBST([BPF_ARCH])
        AC_SUBST([BPF_CPPFLAGS])
])
