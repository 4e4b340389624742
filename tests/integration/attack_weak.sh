#!/bin/sh
# Each try of each attack can get through: there is a line in tests/support/weaknesses.txt whose defences, taken away
# from the verifier (tests/support/weak.h), let it in, and attest attack says so and ends with 1. A try that nothing
# lets through may be none. With nothing taken away the same program ends with 0.
set -u
weak=$top_builddir/tests/support/attest-weak
list=$top_srcdir/tests/support/weaknesses.txt
[ -x "$weak" ] || { echo "no $weak: make tests/support/attest-weak"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
fail() {
    echo "attack_weak: $*"
    failed=1
}

# What --json tells, a line for each try: its attack, whether it got through, its name.
tries() {
    sed 's/{"attack":"/\n&/g; s/{"name":"/\n&/g' "$1" |
        sed -n 's/^{"attack":"\([a-z0-9_]*\)".*/attack \1/p
            s/^{"name":"\(.*\)","expected":[0-9]*,"code":[0-9]*,"through":\([a-z]*\)}.*/\2 \1/p' |
        awk '$1 == "attack" { attack = $2; next } { print attack, $0 }'
}

unset ATTEST_WEAK
timeout 120 "$weak" attack --json >"$dir/json" 2>"$dir/err" || fail "with all defences: $(cat "$dir/json" "$dir/err")"
tries "$dir/json" | sed 's/ false / /' >"$dir/all"
total=$(sed 's/.*"tries_total":\([0-9]*\).*/\1/' "$dir/json")
[ "$(wc -l <"$dir/all")" -eq "$total" ] || fail "$total tries, but $(wc -l <"$dir/all") names"
[ -z "$(sort "$dir/all" | uniq -d)" ] || fail "one name for two tries: $(sort "$dir/all" | uniq -d)"
# A build that cannot fetch has nothing to attack there.
cut -d' ' -f1 "$dir/all" | sort -u >"$dir/attacks"

grep -v '^#' "$list" >"$dir/list"
while read -r weakness expected; do
    only=
    for attack in $expected; do
        grep -qx "$attack" "$dir/attacks" && only="$only --only $attack"
    done
    [ -n "$only" ] || continue
    ATTEST_WEAK=$weakness timeout 120 "$weak" attack --json $only >"$dir/json" 2>"$dir/err"
    status=$?
    [ $status -eq 1 ] || fail "$weakness: status $status, not 1: $(cat "$dir/err")"
    tries "$dir/json" | sed -n 's/ true / /p' >"$dir/now"
    for attack in ${only#* }; do
        [ "$attack" = --only ] || grep -q "^$attack " "$dir/now" || fail "$weakness lets nothing of $attack through"
    done
    cat "$dir/now" >>"$dir/through"
done <"$dir/list"

sort "$dir/all" >"$dir/all.sorted"
sort -u "$dir/through" | comm -23 "$dir/all.sorted" - >"$dir/held"
while read -r attack name; do
    fail "no weakness lets it through, so it may be no attack: $attack: $name"
done <"$dir/held"
exit $failed
