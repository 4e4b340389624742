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

# No state beside what a program holds, no word to anybody, no end of the program's but abort(). A sanitizer, or counting lines, brings its own.
archive=$top_builddir/.libs/libattest.a
[ -f "$archive" ] && ! grep -qE '^(HARDEN_LDFLAGS|CFLAGS) = .*-(fsanitize|-coverage|fprofile)' "$top_builddir/Makefile" || exit 0
nm -f sysv "$archive" >"$work/nm" 2>/dev/null
grep -q '^attest_verify *|' "$work/nm" || { echo "symbols: nm reads nothing from $archive"; exit 1; }
awk -F'|' '{ gsub(/ /, ""); }
    $7 ~ /^\.t?(data|bss)(\.|$)/ && $7 !~ /^\.data\.rel\.ro/ || $7 ~ /COM/ { print "may be changed: " $1 }
    $7 ~ /UND/ && $1 ~ /^(__)?v?f?d?printf(_chk)?$|^f?put(s|c|char)$|^fwrite$|^perror$|^(__)?v?syslog(_chk)?$|^std(out|err)$|^_?_?[eE]xit$|^quick_exit$/ {
        print "is called: " $1
    }' "$work/nm" >"$work/found"
[ ! -s "$work/found" ] || { echo "symbols: in libattest"; cat "$work/found"; exit 1; }
