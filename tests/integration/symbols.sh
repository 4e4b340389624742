#!/bin/sh
# What libattest exports is what src/verify/libattest.symbols lists, and what the headers declare.
set -u
library=$top_builddir/.libs/libattest.so
[ -f "$library" ] || { echo "no shared library was built"; exit 77; }
command -v nm >/dev/null || exit 77
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort >"$work/exported"
if ! diff -u "$top_srcdir/src/verify/libattest.symbols" "$work/exported"; then
    echo "symbols: the library and src/verify/libattest.symbols differ"
    exit 1
fi
cat "$top_srcdir"/include/attest/*.h | tr '\n' ' ' | sed 's/typedef [^;]*;//g' | grep -oE '\battest_[a-z0-9_]+ ?\(' | tr -d ' (' |
    LC_ALL=C sort -u >"$work/declared"
if ! diff -u "$work/declared" "$work/exported"; then
    echo "symbols: the library and the headers differ"
    exit 1
fi
