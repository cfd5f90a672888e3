# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Which Debian packages building and testing take, and how to get them; for quickstart and run-tests.

# shellcheck disable=SC2034  # for those who source this
build_packages=(
        autoconf
        automake
        bpftool
        clang
        gcc
        libbpf-dev
        libc6-dev
        libeconf-dev
        libjson-c-dev
        libmnl-dev
        libseccomp-dev
        libsmartcols-dev
        libsystemd-dev
        make
        pkgconf
        python3
)

# shellcheck disable=SC2034
test_packages=(
        dbus
        iproute2
        jq
        libcmocka-dev
        man-db
        mandoc
        netbase
        polkitd
        procps
        python3-pyroute2
        python3-pytest
        python3-pytest-timeout
        socat
        systemd
        systemd-container
        util-linux
)

packages_missing() {
        local name
        for name; do
                [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
                        echo "$name"
        done
}

# Installs those that are not there; without being root it says how to, and fails.
packages_install() {
        local missing
        if ! command -v apt-get >/dev/null; then
                echo "No apt-get here: needed are the counterparts of $*"
                return 0
        fi
        mapfile -t missing < <(packages_missing "$@")
        if [ "${#missing[@]}" -eq 0 ]; then
                echo "All there."
                return 0
        fi
        echo "Missing: ${missing[*]}"
        if [ "$(id -u)" -ne 0 ]; then
                echo "Not root, so run this first: apt-get install ${missing[*]}" >&2
                return 1
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Copies a source tree without what was built in it, so that a build beside it starts from nothing.
source_copy() {
        local from=$1 to=$2
        mkdir -p "$to"
        if git -C "$from" rev-parse --git-dir >/dev/null 2>&1; then
                (cd "$from" && git ls-files -z --cached --others --exclude-standard |
                        tar --null --files-from=- --ignore-failed-read -cf -) | tar -xf - -C "$to"
        else
                cp -a "$from/." "$to"
                [ ! -f "$to/Makefile" ] || make -s -C "$to" distclean
        fi
}
