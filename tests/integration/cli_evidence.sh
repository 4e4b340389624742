#!/bin/sh
# attest verify-evidence on what a real TPM made (tests/vectors/evidence/swtpm), from a file: what it
# prints, how it exits, and that it takes nothing else for it. The issuer's side is evidence.sh.
set -u
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
. "$top_srcdir/tests/support/expect.sh"
command -v openssl >/dev/null || { echo "no openssl: apt-get install openssl"; exit 77; }
v=$top_srcdir/tests/vectors/evidence/swtpm
attest=$top_builddir/attest
b64u() { openssl base64 -A -in "$1" | tr '+/' '-_' | tr -d '='; }
nonce=$(b64u "$v/nonce")
pcrs=$(sed -n 's/^ *\([0-9]*\) *: 0x\(.*\)/"\1":"\2"/p' "$v/pcrs" | tr A-F a-f | paste -sd,)
document() {
    printf '{"version":"attest-evidence/1","nonce":"%s","key_set":"%s","quote":"%s","signature":"%s","ak_public":"%s","pcrs":{"sha256":{%s}}}\n' \
        "$nonce" "$(b64u "${1:-$v/key_set}")" "$(b64u "$v/quote")" "$(b64u "$v/signature")" \
        "$(b64u "$v/ak_public")" "$pcrs"
}
document >"$dir/evidence"
ve() { run "$attest" verify-evidence --ak "$v/ak_public" --expect-pcrs "$v/pcrs" "$@"; }

ve --nonce "$nonce" --save-key-set "$dir/keys" "$dir/evidence"
expect 0
out_has "verified: key $(cat "$v/name") vouched for the key set $(openssl dgst -sha256 -r "$v/key_set" | cut -c1-64)"
cmp -s "$dir/keys" "$v/key_set" || complain "the key set that was saved is another"
[ "$(grep -c 'ok$' "$dir/out")" = 9 ] || { cat "$dir/out"; complain "not nine checks that hold"; }
ve --json --nonce "$nonce" "$dir/evidence"
expect 0
out_has '{"verified":true,"fresh":true,"error":null,'

# Without a nonce it may be old, and that is said; the name will do as a pin; standard input too.
run sh -c '"$0" verify-evidence --ak "$1/name" --expect-pcrs "$1/pcrs" - <"$2"' "$attest" "$v" "$dir/evidence"
expect 0
out_has "nobody knows when"
out_has "^nonce  *not made"
run sh -c '"$0" verify-evidence --ak "$1/name" --expect-pcrs "$1/pcrs" <"$2"' "$attest" "$v" "$dir/evidence"
expect 0
ve --json "$dir/evidence"
expect 0
out_has '"fresh":false'

# refused WHAT ARGUMENT…: not believed, and nothing is saved.
refused() {
    what_for=$1
    shift
    rm -f "$dir/saved"
    case " $* " in
    *" --nonce "*) ve --save-key-set "$dir/saved" "$@" ;;
    *) ve "$@" ;;
    esac
    expect 1
    out_has "refused: .*$what_for"
    [ ! -e "$dir/saved" ] || complain "a key set was saved that is not vouched for"
    ve --json "$@"
    expect 1
    out_has '"verified":false'
    case $(cat "$dir/out") in *key_set_sha256*) complain "it names a key set all the same" ;; esac
}
ve --save-key-set "$dir/saved" "$dir/evidence"
expect 2
err_has 'wants --nonce'
[ ! -e "$dir/saved" ] || complain "a key set was saved of which nobody knows the age"
refused "another nonce" --nonce AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA "$dir/evidence"
printf '{"keys":[]}' >"$dir/other"
document "$dir/other" >"$dir/forged"
refused "another key set" --nonce "$nonce" "$dir/forged"
sed 's/"nonce":"./"nonce":"-/' "$dir/evidence" >"$dir/forged"
refused "another key set or nonce" "$dir/forged"
echo '{}' >"$dir/forged"
refused "no evidence" "$dir/forged"
: >"$dir/forged"
refused "" "$dir/forged"

sed 's/7 : 0xE9/7 : 0xE8/' "$v/pcrs" >"$dir/pcrs"
run "$attest" verify-evidence --ak "$v/name" --expect-pcrs "$dir/pcrs" "$dir/evidence"
expect 1
out_has "PCR 7 has another value"
grep -v ' 11: ' "$v/pcrs" >"$dir/pcrs"
run "$attest" verify-evidence --ak "$v/name" --expect-pcrs "$dir/pcrs" "$dir/evidence"
expect 1
out_has "PCRs 0,2,7,11, expected 0,2,7"
sed 's/^000b./000bf/; s/^000bf4/000bf5/' "$v/name" >"$dir/name"
cmp -s "$dir/name" "$v/name" && complain "the other name is the same"
run "$attest" verify-evidence --ak "$dir/name" --expect-pcrs "$v/pcrs" "$dir/evidence"
expect 1
out_has "another attestation key"

# Wrong use, and what cannot be done.
run "$attest" verify-evidence --expect-pcrs "$v/pcrs" "$dir/evidence"
expect 2
run "$attest" verify-evidence --ak "$v/name" "$dir/evidence"
expect 2
ve
expect 2
err_has "evidence is missing"
ve --nonce short "$dir/evidence"
expect 2
err_has "43 characters"
for address in "http://127.0.0.1:9/.well-known/attestation-evidence?nonce=$nonce" "http://127.0.0.1:9/#x"; do
    ve "$address"
    expect 2
    err_has "must end before"
done
ve "$dir/not-there"
expect 3
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null | openssl pkey -pubout >"$dir/pem"
run "$attest" verify-evidence --ak "$dir/pem" --expect-pcrs "$v/pcrs" "$dir/evidence"
expect 3
err_has "no attributes"
run "$attest" verify-evidence --ak "$v/name" --expect-pcrs "$v/name" "$dir/evidence"
expect 3
err_has "line 1"
exit $failed
