#!/bin/sh
# Evidence from end to end: swtpm, attest-signer and attestd; asked for by curl and by attest
# verify-evidence, and checked by tpm2_checkquote, which knows nothing of us. One a second; 400, 404,
# 429 and 503; and what a relying party refuses.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/attestd.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap '[ -z "$attestd_pid" ] || kill "$attestd_pid"; signer_kill; swtpm_kill; rm -rf "$dir"' EXIT
for tool in curl jq tpm2_checkquote openssl; do
    command -v $tool >/dev/null || { echo "no $tool: apt-get install curl jq tpm2-tools openssl"; exit 77; }
done
attest=$top_builddir/attest

swtpm_start
pin_file pin 1234abcd
mkdir -p "$dir/state"
{
    printf '%s: %s\n' issuer "$issuer" keystore "\"tpm2:$TCTI\"" pcrs sha256:0,7,11 \
        state_dir "$dir/state" signer_socket "$signer_socket" admin_socket "$admin_socket" \
        development true
    printf 'pin:\n  file: %s\n' "$dir/pin"
} >"$dir/signer.yaml"
"$top_builddir/attestctl" hsm seal --config "$dir/signer.yaml" >/dev/null || exit 1
signer_start || exit 1
signer_keys || complain "keys could not be made"
head -c 70000 /dev/urandom >"$dir/eventlog"
attestd_config "issuer: $issuer" "signer_socket: $signer_socket" "event_log: $dir/eventlog"
attestd_start
url=http://127.0.0.1:$port
path=$url/.well-known/attestation-evidence
wait_for 20 curl -sf "$url/.well-known/jwks.json" || complain "no key set"
new_nonce() { openssl rand 32 >"$dir/nonce"; nonce=$(openssl base64 -A -in "$dir/nonce" | tr '+/' '-_' | tr -d =); }
# part MEMBER: its bytes, into a file of that name.
part() {
    text=$(jq -j ".$1" "$dir/evidence" | tr '_-' '/+')
    printf '%s===' "$text" | head -c $(((${#text} + 3) / 4 * 4)) | openssl base64 -d -A >"$dir/$1"
}

# ---- what is answered ----
new_nonce
ask 200 "$path?nonce=$nonce"
cp "$dir/out" "$dir/evidence"
head_has '^content-type: application/json'
head_has '^cache-control: no-store'
for p in key_set quote signature ak_public event_log; do part $p; done
curl -s "$url/.well-known/jwks.json" | cmp -s - "$dir/key_set" || complain "not the key set that is published"
cmp -s "$dir/event_log" "$dir/eventlog" || complain "not the event log"
[ "$(jq -r .nonce "$dir/evidence")" = "$nonce" ] || complain "not our nonce"

# ---- a check by others ----
qualifying=$({ printf 'attest-evidence/1\0'; openssl dgst -sha256 -binary "$dir/key_set"; cat "$dir/nonce"; } |
    sha256sum | cut -c1-64)
run tpm2_checkquote -u "$dir/ak_public" -m "$dir/quote" -s "$dir/signature" -g sha256 -q "$qualifying"
expect 0
run tpm2_checkquote -u "$dir/ak_public" -m "$dir/quote" -s "$dir/signature" -g sha256 -q "$(echo "$qualifying" | tr 0-9a-f 1-9a-f0)"
[ "$status" != 0 ] || complain "tpm2_checkquote takes anything for it"
run tpm2_print -t TPM2B_PUBLIC "$dir/ak_public"
out_has 'value: fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign'
tpm2_pcrread -T "$TCTI" sha256:0,7,11 >"$dir/pcrs"

# ---- our own check ----
# The name as attestctl and the log show it, and the public area as evidence has it: two ways to pin.
name=$(sed -n 's/.*event=attestation_key name=\([0-9a-f]*\).*/\1/p' "$dir/signer.log")
printf '%s\n' "$name" >"$dir/ak"
run "$top_builddir/attestctl" status --socket "$admin_socket"
out_has "attestation_key .*$name"
cp "$dir/ak_public" "$dir/ak.pub"
for pin in "$dir/ak" "$dir/ak.pub"; do
    run "$attest" verify-evidence --ak "$pin" --expect-pcrs "$dir/pcrs" --nonce "$nonce" "$dir/evidence"
    expect 0
done
sleep 2
run "$attest" verify-evidence --ak "$dir/ak" --expect-pcrs "$dir/pcrs" --save-key-set "$dir/saved" "$url"
expect 0
cmp -s "$dir/saved" "$dir/key_set" || complain "another key set was saved"

# ---- one a second ----
# soon STATUS COMMAND…: sooner or later it comes within a second of the one before, also on a busy
# machine.
soon() {
    want=$1
    shift
    for _ in $(seq 20); do
        "$@"
        [ "$status" != "$want" ] || return 0
    done
    complain "$*: never $want"
}
get() {
    what="curl $path" status=$(curl -s --max-time 60 -o "$dir/out" -D "$dir/head" -w '%{http_code}' "$path?nonce=$nonce")
}
two_gets() {
    curl -s -o /dev/null -w '%{http_code}\n' "$path?nonce=$nonce" >"$dir/a.code" &
    a=$!
    get
    wait $a
    ! grep -q 429 "$dir/a.code" || status=429
}
soon 429 two_gets
soon 429 get
head_has '^retry-after: 1'
head_has '^content-type: application/problem+json'
# The signer keeps to it by itself, whatever attestd does.
sleep 2
call() { run "$top_builddir/tests/support/signer_ask" "$signer_socket" call quote "\"nonce\":\"$1\""; }
call "$nonce"
expect 0
two_calls() {
    call "$nonce"
    call "$1"
}
soon 8 two_calls "$nonce"
soon 8 two_calls AAAA
sleep 2
call AAAA
expect 3
run "$top_builddir/tests/support/signer_ask" "$signer_socket" call quote ""
expect 3

# ---- what is not asked well ----
for query in "" "?" "?nonce=" "?nonce=AAAA" "?nonce=$nonce=" "?nonce=$nonce&nonce=$nonce" "?x=1" \
    "?nonce=$nonce&x=1" "?Nonce=$nonce" "?nonce=$(echo "$nonce" | cut -c1-42)_" "?nonce=%41$(echo "$nonce" | cut -c2-)"; do
    ask 400 "$path$query"
    head_has '^content-type: application/problem+json'
done
ask 405 -X POST -d x "$path?nonce=$nonce"

# ---- a machine that is in another state, and another machine ----
tpm2_pcrextend -T "$TCTI" 7:sha256=$(printf x | sha256sum | cut -c1-64)
sleep 2
run "$attest" verify-evidence --ak "$dir/ak" --expect-pcrs "$dir/pcrs" "$url"
expect 1
out_has "PCR 7 has another value"
swtpm_off
sleep 2
ask 503 "$path?nonce=$nonce"
head_has '^retry-after:'
run "$attest" verify-evidence --ak "$dir/ak" --expect-pcrs "$dir/pcrs" "$url"
[ "$status" = 3 ] || complain "status $status without a TPM"
swtpm_on || complain "swtpm does not come back"
tpm2_pcrread -T "$TCTI" sha256:0,7,11 >"$dir/pcrs"
wait_for 20 sh -c 'sleep 1; "$0" verify-evidence --ak "$1/ak" --expect-pcrs "$1/pcrs" "$2"' "$attest" "$dir" "$url" ||
    complain "no evidence after the TPM came back"

# ---- an event log that is not there, or longer than any, is left out ----
for size in none 600000; do
    rm -f "$dir/eventlog"
    [ $size = none ] || head -c $size /dev/zero >"$dir/eventlog"
    attestd_stop
    attestd_start
    url=http://127.0.0.1:$port
    path=$url/.well-known/attestation-evidence
    wait_for 20 sh -c 'sleep 1; curl -sf "$0" >"$1"' "$path?nonce=$nonce" "$dir/out" || complain "no evidence"
    [ "$(jq -r '[.version, has("event_log")] | @csv' "$dir/out")" = '"attest-evidence/1",false' ] ||
        complain "an event log of $size bytes"
done

# ---- the same key after a restart, another once the keys are sealed anew ----
signer_stop
[ "$status" = 0 ] || complain "the signer did not stop well: $status"
sleep 2
ask 503 "$path?nonce=$nonce"
signer_start || exit 1
wait_for 20 sh -c 'sleep 1; "$0" verify-evidence --ak "$1/ak" --expect-pcrs "$1/pcrs" "$2"' "$attest" "$dir" "$path" ||
    complain "another attestation key after a restart"
signer_stop
swtpm_secrets_of "$dir/state/sealed.keys" "$dir/pin" # none crossed the bus, also not for quotes
mv "$dir/state/sealed.keys" "$dir/state/old.keys"
rm -f "$dir"/state/records.db* && rm -rf "$dir/state/log"
"$top_builddir/attestctl" hsm seal --config "$dir/signer.yaml" >/dev/null || complain "not sealed anew"
signer_start || exit 1
signer_keys || complain "keys could not be made"
wait_for 20 sh -c 'sleep 1; "$0" verify-evidence --ak "$1/ak" --expect-pcrs "$1/pcrs" "$2" >"$1/out"; [ $? = 1 ]' \
    "$attest" "$dir" "$url" || complain "keys that were sealed anew, and the old attestation key"
what="sealed anew"
out_has "another attestation key"
signer_stop
swtpm_secrets_of "$dir/state/sealed.keys" "$dir/pin"
left=$(tpm2_getcap -T "$TCTI" handles-transient; tpm2_getcap -T "$TCTI" handles-loaded-session)
[ -z "$left" ] || complain "left in the TPM: $left"
attestd_stop

# ---- keys that no TPM seals: there is none ----
rm -rf "$dir/state"
if (softhsm_start) >/dev/null; then
    signer_token
    signer_config
    signer_start || exit 1
    attestd_config "issuer: $issuer" "signer_socket: $signer_socket"
    attestd_start
    wait_for 20 curl -sf "http://127.0.0.1:$port/.well-known/jwks.json" || complain "no key set"
    for again in 1 2; do
        ask 404 "http://127.0.0.1:$port/.well-known/attestation-evidence?nonce=$nonce"
        head_has '^content-type: application/problem+json'
    done
    attestd_stop
fi
exit $failed
