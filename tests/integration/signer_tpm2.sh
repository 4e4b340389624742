#!/bin/sh
# attest-signer with keys sealed by a TPM: they are made, sign tokens, and sign them again after a
# restart of both; a PCR that moved is named, a file that is gone or damaged is not replaced.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap 'signer_kill; swtpm_kill; rm -rf "$dir"' EXIT

swtpm_start
pin_file pin 1234abcd
mkdir -p "$dir/state"
{
    printf '%s: %s\n' issuer "$issuer" keystore "\"tpm2:$TCTI\"" pcrs sha256:0,2,7,11 \
        state_dir "$dir/state" signer_socket "$signer_socket" admin_socket "$admin_socket" \
        development true
    printf 'pin:\n  file: %s\n' "$dir/pin"
} >"$dir/signer.yaml"
keys=$dir/state/sealed.keys
ctl="$top_builddir/attestctl"
# One that has to refuse; should it start, it is ended, with a status that nobody expects.
refused() {
    run timeout -k 10 600 "$top_builddir/attest-signer" --config "$dir/signer.yaml"
    [ $status -ne 0 ] && [ $status -ne 124 ] || complain "it started: $1"
    err_has "$2"
}

refused "without sealed keys" "no sealed keys yet"
run $ctl hsm seal --config "$dir/signer.yaml"
expect 0
out_has "sealed to sha256:0,2,7,11 and a PIN"
cp "$keys" "$dir/first"
run $ctl hsm seal --config "$dir/signer.yaml"
expect 1
cmp -s "$keys" "$dir/first" || complain "hsm seal replaced the keys that were there"

signer_start || exit 1
signer_keys || complain "keys could not be made"
run $ctl status --socket "$admin_socket"
out_has "sealed by a TPM"
run $ctl key list --socket "$admin_socket" --json
[ "$(grep -o '"alg": *"EdDSA"' "$dir/out" | grep -c .)" -ge 3 ] && ! grep -q ES256 "$dir/out" ||
    complain "keys in the TPM, and nobody asked for those"
run signer_load --count 50 --in-flight 4
expect 0
refused "beside another" "another process"

# Without the TPM, and after a restart of both.
swtpm_off || complain "no orderly shutdown"
run signer_load --count 20 --in-flight 4
expect 0
signer_stop
[ "$status" = 0 ] || complain "it did not stop well: $status"
swtpm_on || complain "swtpm does not come back"
signer_start || exit 1
run signer_load --count 20 --in-flight 4
expect 0
signer_stop
run signer_log_verify
expect 0
swtpm_secrets_of "$keys" "$dir/pin"

tpm2_pcrextend -T "$TCTI" 7:sha256=0000000000000000000000000000000000000000000000000000000000000001
refused "with a PCR that moved" "PCR 7 (sha256) moved"
swtpm_off
swtpm_on || complain "swtpm does not come back"

printf 'wrong\n' >"$dir/pin"
refused "with a wrong PIN" "refuses the authorization value"
printf '1234abcd\n' >"$dir/pin"

cp "$keys" "$dir/good"
head -c 200 "$dir/good" >"$keys"
refused "with a file that was cut short" "damaged or cut short"
cp "$dir/first" "$keys"
refused "with a copy from before the keys" "put the newest back"
cp "$dir/good" "$keys"
signer_start || exit 1
run signer_load --count 20 --in-flight 4
expect 0
signer_stop
left=$(tpm2_getcap -T "$TCTI" handles-transient; tpm2_getcap -T "$TCTI" handles-loaded-session)
[ -z "$left" ] || complain "left in the TPM: $left"
exit $failed
