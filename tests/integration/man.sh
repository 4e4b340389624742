#!/bin/sh
# The man pages are sound mdoc, name only pages that are there, and tell every option of the programs'
# own help. (That they tell every configuration key and command is tests/unit/test_man.)
set -u
command -v mandoc >/dev/null || { echo "no mandoc: apt-get install mandoc"; exit 77; }
pages=$top_srcdir/docs/man
failed=0
complain() {
    echo "man: $*"
    failed=1
}

for page in "$pages"/*.[1-8]; do
    mandoc -Tlint -W warning "$page" || complain "$page"
    name=$(basename "$page")
    for other in $(sed -n 's/^\.Xr \(attest[^ ]*\|libattest\) \([0-9]\).*/\1.\2/p' "$page"); do
        [ -e "$pages/$other" ] || complain "$name refers to $other, which is not there"
    done
done

# told PROGRAM PAGE [COMMAND…]: each option that the help shows stands in the page.
told() {
    program=$1
    page=$2
    shift 2
    [ -x "$top_builddir/$program" ] || { complain "$program is not built"; return; }
    text=$(mandoc -Tascii "$pages/$page" | sed 's/.\x08//g')
    for option in $("$top_builddir/$program" "$@" --help | grep -o -e '--[a-z][a-z-]*' | sort -u); do
        case $text in *"$option"*) ;; *) complain "$page does not tell of $option ($program $*)" ;; esac
    done
}
told attestd attestd.8
told attest-signer attest-signer.8
told attestctl attestctl.1
commands=$("$top_builddir/attestctl" --help | sed -n 's/^  \([a-z]\{1,\}\( [a-z]\{1,\}\)\{0,1\}\)[ [].*/\1/p' | tr ' ' /)
[ -n "$commands" ] || complain "attestctl --help shows no command"
for command in $commands; do
    told attestctl attestctl.1 $(echo "$command" | tr / ' ')
done

told attest attest.1
commands=$("$top_builddir/attest" --help | sed -n 's/^  \([a-z]\{1,\}\)  .*/\1/p')
[ -n "$commands" ] || complain "attest --help shows no command"
for command in $commands; do
    told attest attest.1 "$command"
    grep -q "^\.It Cm $command$" "$pages/attest.1" || complain "attest.1 does not tell of $command"
done

# Every function that libattest exports is in its page.
symbols=$top_srcdir/src/verify/libattest.symbols
for symbol in $(grep -o 'attest_[a-z0-9_]*' "$symbols"); do
    grep -q "^\.\(It \)\{0,1\}Fn $symbol\b" "$pages/libattest.3" || complain "libattest.3 does not tell of $symbol"
done
exit $failed
