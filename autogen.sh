#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes ./configure out of configure.ac and Makefile.am; needed once in a fresh clone.
set -eu

cd "$(dirname "$0")"

for tool in autoreconf automake pkg-config; do
        command -v "$tool" >/dev/null 2>&1 || {
                echo "autogen.sh: $tool is missing: apt-get install autoconf automake pkgconf" >&2
                exit 1
        }
done

autoreconf --force --install --warnings=all
echo "Now: ./configure --prefix=/usr --sysconfdir=/etc --localstatedir=/var && make"
