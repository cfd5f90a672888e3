#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Prints the texts of varlink interfaces as C, for wire/interface.c to include:
#     wire/embed.sh FILE.varlink... > wire/interface_text.h
set -eu

[ $# -gt 0 ] || {
        echo "usage: $0 FILE.varlink..." >&2
        exit 2
}

echo '/* SPDX-License-Identifier: GPL-2.0-or-later */'
echo '/* Made by wire/embed.sh from the .varlink files. */'
echo 'static const struct interface interfaces[] = {'
for file; do
        printf '        {\n                .name = "%s",\n                .text =\n' \
                "$(basename "$file" .varlink)"
        sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/                        "/' -e 's/$/\\n"/' "$file"
        printf '        },\n'
done
echo '};'
