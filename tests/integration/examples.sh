#!/bin/sh
# The C that the README and libattest(3) show compiles as it stands against the installed headers.
set -u
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
compiler=${CC:-cc}
command -v "${compiler%% *}" >/dev/null || { echo "no C compiler: apt-get install gcc"; exit 77; }
failed=0

# compiles NAME: $dir/NAME.c, in which nothing may go unused but the example's own functions.
compiles() {
    [ -s "$dir/$1.c" ] || { echo "$1: no example found"; failed=1; return; }
    $compiler -std=c11 -Wall -Wextra -Werror -Wno-unused-function -fsyntax-only \
        -I "$top_srcdir/include" "$dir/$1.c" || { echo "$1: the example does not compile"; failed=1; }
}

sed -n '/^```c$/,/^```$/p' "$top_srcdir/README.md" | grep -v '^```' >"$dir/readme.c"
compiles readme
{
    printf '#include <attest/attest.h>\n'
    sed -n '/^\.Sh EXAMPLES/,/^\.Ed/p' "$top_srcdir/docs/man/libattest.3" | grep -v '^\.'
} >"$dir/page.c"
compiles page
exit $failed
