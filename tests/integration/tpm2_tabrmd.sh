#!/bin/sh
# The life of keys behind a resource manager, tpm2-abrmd: sealed ones, one that stays in the TPM, and
# the PIN of a token. Several programs are at the TPM at once, a signer is killed, the resource
# manager and its D-Bus go away and come back; nothing is left in the TPM that nobody has.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/swtpm.sh"
. "$top_srcdir/tests/support/tabrmd.sh"
trap 'signer_kill; tabrmd_kill; swtpm_kill; rm -rf "$dir"' EXIT
ask=$top_builddir/tests/support/signer_ask

swtpm_start
tabrmd_start
pin_file pin 1234abcd
mkdir -p "$dir/state"
ctl() {
    command=$1
    shift
    run timeout 600 "$top_builddir/attestctl" hsm "$command" --config "$dir/signer.yaml" "$@"
}
key() {
    command=$1
    shift
    run "$top_builddir/attestctl" key "$command" --socket "$admin_socket" "$@"
}
signs() {
    run signer_load --count 5 --in-flight 2
    [ "$status" = 0 ]
}
# What is loaded or kept outside, of objects and of sessions, asked of the TPM itself.
held() {
    for kind in transient loaded-session saved-session; do
        timeout 10 tpm2_getcap -T "$TCTI_PLAIN" handles-$kind || echo "cannot be asked for $kind"
    done
}
nothing_held() { [ -z "$(held)" ]; }
quoted() { "$ask" "$signer_socket" call quote "\"nonce\":\"$(printf 'A%.0s' $(seq 43))\"" >"$dir/quote"; }

signer_keystore=tpm2:$TCTI_RM signer_config 'resident: [token]'
ctl seal
expect 0
ctl seal-status
expect 0
signer_start || exit 1
signer_keys || complain "keys could not be made"
key list --json
for alg in EdDSA ES256; do out_has "\"alg\": *\"$alg\""; done

# ---- several at once ----
# The program itself: behind & a function is a shell of its own, and only that would be stopped.
"$top_builddir/tests/support/signer_load" "$signer_socket" "$issuer" --count 1000000 --in-flight 2 \
    --jtis "$dir/jtis" >/dev/null 2>&1 &
load=$!
until_true test -s "$dir/jtis" || complain "it signs nothing"
ctl seal-status
expect 0
out_has "the TPM would unseal them"
run tpm2_createprimary -T "tabrmd:bus_type=session" -c "$dir/primary.ctx"
expect 0
key generate --purpose token --label spare --json
expect 0
spare=$(sed -n 's/.*"kid": *"\([^"]*\)".*/\1/p' "$dir/out")
key destroy --confirm="$spare" -- "$spare"
expect 0
out_has "destroyed: $spare"
until_true quoted || complain "no quote: $(cat "$dir/quote")"
ctl reseal
[ "$status" != 0 ] || complain "sealed anew under a running signer"

# ---- killed, while the TPM works for it ----
signer_kill
kill $load 2>/dev/null
wait $load
until_true nothing_held || complain "of a signer that was killed there is left: $(held)"
signer_start || exit 1
signs || complain "no token after a kill"

# ---- D-Bus goes away, and with it the resource manager; then that alone ----
out_of_reach() {
    signs && complain "a token $1"
    grep -q '"last_rc":10,' "$dir/out" || complain "other than out of reach $1"
    kill -0 "$signer_pid" || complain "no signer any more $1"
}
tabrmd_kill
out_of_reach "without D-Bus"
tabrmd_bus_on && tabrmd_on || complain "D-Bus does not come back"
until_true signs || complain "no token with D-Bus back"
tabrmd_off
out_of_reach "without a resource manager"
tabrmd_on || complain "the resource manager does not come back: $(cat "$dir/tabrmd.log")"
until_true signs || complain "no token with the resource manager back"
signer_stop
[ "$status" = 0 ] || complain "it did not stop well: $status"
run signer_log_verify
expect 0

# ---- sealed anew, and the state moves ----
ctl reseal
expect 0
out_has "sealed to sha256:0,7 and a PIN"
swtpm_secrets_of "$dir/state/sealed.keys" "$dir/pin"
signer_start || exit 1
signs || complain "no token after they were sealed anew"
signer_stop
run tpm2_pcrextend -T "tabrmd:bus_type=session" 7:sha256=0000000000000000000000000000000000000000000000000000000000000001
expect 0
ctl seal-status
expect 1
run timeout 600 "$top_builddir/attest-signer" --config "$dir/signer.yaml"
[ $status -ne 0 ] && [ $status -ne 124 ] || complain "it started with a PCR that moved"
err_has "PCR 7 (sha256) moved"

# ---- the PIN of a token ----
rm -rf "$dir/state"
mkdir "$dir/state"
signer_token
signer_keystore= signer_config
sed -i "/^pin:/,\$d" "$dir/signer.yaml"
printf 'pcrs: sha256:0,7\npin:\n  tpm2: %s\n  tcti: "%s"\n' "$dir/state/pin.sealed" "$TCTI_RM" >>"$dir/signer.yaml"
ctl seal-pin --pin-file "$dir/pin"
expect 0
signer_start || exit 1
signer_keys || complain "keys could not be made with a PIN from the TPM"
signs || complain "no token with a PIN from the TPM"
signer_stop
until_true nothing_held || complain "left in the TPM: $(held)"
exit $failed
