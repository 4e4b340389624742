#!/bin/sh
# Every C file is as clang-format 14 writes it with the project's own .clang-format.
set -u
cd "$top_srcdir" || exit 1
for tool in clang-format-14 clang-format; do
    command -v $tool >/dev/null || continue
    # Versions disagree about the same style: only this one decides.
    case $($tool --version) in *"version 14."*) break ;; esac
done || exit 77
case $($tool --version 2>/dev/null) in
*"version 14."*) ;;
*)
    echo "clang-format 14 is not here: apt-get install clang-format-14"
    exit 77
    ;;
esac

files=$(find src hsm jwks include tests docs/examples -name '*.[ch]')
[ -n "$files" ] || { echo "no C files in $top_srcdir?"; exit 1; }
failed=0
for file in $files; do
    if ! $tool --dry-run -Werror --style=file "$file" 2>/dev/null; then
        echo "$file: run: $tool -i $file"
        failed=1
    fi
    head -n 1 "$file" | grep -q 'SPDX-License-Identifier: MIT' || {
        echo "$file: the first line must name the licence"
        failed=1
    }
done
exit $failed
