#!/bin/sh
# attest attack: nothing gets through the library as it is built, the table and the JSON say the same, and
# the command line is held to what the others are held to.
set -u
attest=$top_builddir/attest
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0
fail() {
    echo "cli_attack: $*"
    failed=1
}

timeout 120 "$attest" attack >table 2>err
status=$?
[ $status -eq 0 ] || fail "status $status: $(cat err)"
tail -1 table | grep -q '^[0-9]* attacks, [0-9]* tries: none got through' || fail "$(tail -1 table)"
# Those that the first documents name, and those beyond them.
for attack in model_spoofing provenance_forgery token_replay token_tampering issuer_spoofing downgrade_attack \
    audience_mismatch safety_downgrade alg_none hmac_public_key embedded_jwk key_url kid_tricks crit_header \
    zip_header b64_header weak_keys signature_malleability trailing_bits duplicate_members numeric_extremes \
    audience_confusion key_set_poisoning unknown_kid_flood cold_start_race clock_rollback cross_issuer_kid \
    nested_abuse stolen_token cached_token; do
    grep -Eq "^$attack +(refused|not built in) +[0-9]" table || fail "$attack: $(grep -A3 "^$attack" table)"
done

timeout 120 "$attest" attack --json >json 2>err || fail "--json: $(cat err)"
grep -q '"through":0,"void":0,' json || fail "--json does not say that nothing got through"
grep -q '"attack":"alg_none","outcome":"refused"' json || fail "--json does not tell of alg_none"
grep -q '"through":true' json && fail "--json: a try got through"
[ "$(wc -l <json)" -eq 1 ] || fail "--json is more than one line"
[ "$(grep -o '"attack":' json | wc -l)" -eq "$(grep -cE '  [0-9]+  |  [0-9]+ *$' table)" ] || fail "table and JSON differ"

timeout 600 "$attest" attack --only alg_none --only token_replay >two 2>err || fail "--only: $(cat err)"
grep -q '^2 attacks, ' two || fail "--only: $(tail -1 two)"
timeout 600 "$attest" attack --only nonsense >out 2>err
[ $? -eq 2 ] && grep -q "no attack 'nonsense'" err || fail "--only nonsense: $(cat err)"
# A build that cannot fetch says so to who asks for that.
grep -q '^unknown_kid_flood  *not built in' table && want=3 || want=0
timeout 600 "$attest" attack --only alg_none --only unknown_kid_flood >out 2>err
[ $? -eq $want ] || fail "--only unknown_kid_flood: not $want: $(cat out err)"
timeout 600 "$attest" attack now >out 2>err
[ $? -eq 2 ] || fail "an operand was taken"
exit $failed
