#!/bin/sh
# Each attack can get through: against a verifier that was robbed of the defence in question
# (tests/support/weak.c), attest attack names it and ends with 1. With nothing taken away the same
# program ends with 0.
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

unset ATTEST_WEAK
timeout 120 "$weak" attack >"$dir/whole" 2>&1 || fail "with all defences: $(tail -1 "$dir/whole")"
attacks=$(sed -n '2,/^$/s/^\([a-z0-9_]\{1,\}\)  .*/\1/p' "$dir/whole")
[ "$(echo "$attacks" | wc -l)" -ge 30 ] || fail "only these attacks: $attacks"

grep -v '^#' "$list" >"$dir/list"
while read -r weakness expected; do
    only=
    for attack in $expected; do only="$only --only $attack"; done
    ATTEST_WEAK=$weakness timeout 120 "$weak" attack $only >"$dir/out" 2>&1
    status=$?
    [ $status -eq 1 ] || fail "$weakness: status $status, not 1"
    for attack in $expected; do
        echo "$attack" >>"$dir/through"
        grep -Eq "^$attack +GOT THROUGH " "$dir/out" || fail "$weakness: $attack did not get through: $(cat "$dir/out")"
    done
    grep -q "^    got through: " "$dir/out" || fail "$weakness: it is not said which try got through"
done <"$dir/list"

for attack in $attacks; do
    # A build that cannot fetch has nothing to attack there.
    grep -q "^$attack  *not built in" "$dir/whole" && continue
    grep -qx "$attack" "$dir/through" || fail "no weakness lets $attack through: it may be no attack at all"
done
exit $failed
