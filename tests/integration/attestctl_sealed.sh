#!/bin/sh
# What an operator does with sealed keys: sees how they stand, seals them anew, and is told what to do.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap 'swtpm_kill; rm -rf "$dir"' EXIT

swtpm_start
pin_file pin 1234abcd
pin_file owner landlord
mkdir -p "$dir/state"
keys=$dir/state/sealed.keys
# config PCRS [MORE…]
config() {
    {
        printf '%s: %s\n' issuer https://issuer.example keystore "\"tpm2:$TCTI\"" state_dir "$dir/state"
        [ -z "$1" ] || printf 'pcrs: %s\n' "$1"
        shift
        [ $# = 0 ] || printf '%s\n' "$@"
        printf 'pin:\n  file: %s\n' "$dir/pin"
    } >"$dir/signer.yaml"
}
ctl() {
    command=$1
    shift
    run timeout -k 10 600 "$top_builddir/attestctl" hsm "$command" --config "$dir/signer.yaml" "$@"
}

config sha256:0,7,11
ctl seal-status
expect 3
err_has "no sealed keys yet; attestctl hsm seal makes it"
ctl seal
expect 0
swtpm_secrets_of "$keys" "$dir/pin"

ctl seal-status
expect 0
out_has "policy       sha256:0,7,11 and a PIN"
out_has "the one that sealed them"
out_has "of 3 wrong values counted"
out_has "the TPM would unseal them"
ctl seal-status --json
expect 0
out_has '"ok":true'
out_has '"same_tpm":true'

tpm2_pcrextend -T "$TCTI" 11:sha256=0000000000000000000000000000000000000000000000000000000000000001
ctl seal-status
expect 1
out_has "next: put the machine into the state"
grep -q '^11  *0000[0-9a-f]*  [0-9a-f]\{64\}$' "$dir/out" || complain "PCR 11 is not shown with both values"
grep -q '^7  *0000[0-9a-f]*  the same$' "$dir/out" || complain "PCR 7 is not shown as the same"
ctl seal-status --json
expect 1
out_has '"ok":false'
[ "$(grep -o '"moved":true' "$dir/out" | wc -l)" = 1 ] || complain "not exactly one PCR moved"

ctl reseal
expect 1
out_has "PCR 11 (sha256) moved since the keys were sealed; the keys have to be sealed anew while"

# Before an update: out with the PCR that will move; after it: in again.
swtpm_off || complain "no orderly shutdown"
swtpm_on || complain "swtpm does not come back"
config sha256:0,7
ctl reseal
expect 0
out_has "sealed anew $keys, sealed to sha256:0,7 and a PIN"
tpm2_pcrextend -T "$TCTI" 11:sha256=0000000000000000000000000000000000000000000000000000000000000001
ctl seal-status
expect 0
config sha256:0,7,11
ctl reseal
expect 0
ctl seal-status
expect 0
out_has "sha256:0,7,11 and a PIN"
config ""
ctl reseal --json
expect 0
out_has '"pcrs":"sha256:0,7,11","pin":true'

swtpm_off || complain "no orderly shutdown"
ctl seal-status
expect 3
out_has "next: the TPM cannot be asked"
swtpm_on || complain "swtpm does not come back"
tpm2_pcrextend -T "$TCTI" 11:sha256=0000000000000000000000000000000000000000000000000000000000000001
ctl seal-status
expect 0

# With an approver: the update comes unannounced, is approved elsewhere, and revokes what was before.
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/approver.pem" 2>/dev/null ||
    { echo "no openssl: apt-get install openssl"; exit 77; }
chmod 600 "$dir/approver.pem"
openssl pkey -in "$dir/approver.pem" -pubout -out "$dir/approver.pub"
(umask 077 && cp "$dir/approver.pub" "$dir/half.pem")
config sha256:0,7,11
ctl approve-pcrs --key "$dir/approver.pem"
expect 1
out_has "sealed without an approver"
config sha256:0,7,11 "approver: $dir/approver.pub"
# On a full disk nothing changes, in the TPM neither. (The record of the bus is a file, too.)
counters() { tpm2_getcap -T "$TCTI_PLAIN" handles-nv-index | sort; }
before=$(counters)
sed "s|$TCTI|$TCTI_PLAIN|" "$dir/signer.yaml" >"$dir/plain.yaml"
# With room for nothing, and for 512 bytes of a file: what is noted of counters fits, the keys do not.
for room in 0:counters 1:new; do
    (trap '' XFSZ && ulimit -f ${room%:*} && "$top_builddir/attestctl" hsm reseal --config "$dir/plain.yaml" 2>&1) |
        cat >"$dir/out"
    what="reseal on a full disk ($room)"
    out_has "sealed.keys.${room#*:}: "
    [ "$(counters)" = "$before" ] || complain "a counter stays behind: $(counters)"
    [ ! -e "$keys.counters" ] || complain "$what: notes stay behind"
done
ctl reseal
expect 0
ctl seal-status
expect 0
out_has "revoked"
tpm2_pcrextend -T "$TCTI" 11:sha256=0000000000000000000000000000000000000000000000000000000000000002
ctl seal-status
expect 1
out_has "or have this one approved: attestctl hsm approve-pcrs"
ctl reseal
expect 1
out_has "PCR 11 (sha256) moved since the keys were sealed, and none of 0 approvals fits"
ctl seal-status --json
expect 1
cp "$dir/out" "$dir/status.json"
# Without TPM or configuration: only the file and the key.
run "$top_builddir/attestctl" hsm approve-pcrs --key "$dir/approver.pem" --values "$dir/status.json" --out "$dir/ok.json"
expect 0
out_has "approved sha256:0,7,11 with serial"
run "$top_builddir/attestctl" hsm approve-pcrs --key "$dir/half.pem" --values "$dir/status.json"
expect 3
err_has "no PEM file of a P-256 private key"
(umask 077 && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/else.pem" 2>/dev/null)
ctl approve-pcrs --key "$dir/else.pem"
expect 1
out_has "not the key of the approver"
ctl approve-pcrs --key "$dir/approver.pem" --serial 999
expect 2
err_has "beyond what was used"
sed 's/"serial":[0-9]*,/"serial":9,/' "$dir/ok.json" >"$dir/bad.json"
mv "$dir/bad.json" "$keys.approvals/a.json"
sed 's/"7":"0/"7":"1/' "$dir/ok.json" >"$keys.approvals/b.json"
ctl seal-status
expect 1
out_has "^b.json .* not signed by the approver"
mv "$dir/ok.json" "$keys.approvals/c.json"
ctl seal-status
expect 0
out_has "^c.json .* fits"
out_has "the TPM would unseal them, by an approval"
ctl reseal
expect 0
rm "$keys.approvals"/*.json
ctl seal-status
expect 0
out_has "the TPM would unseal them\$"

# A signer that may have a PIN by other ways than a file's: what it would refuse is not made.
rm "$keys"
config sha256:0,7
cp "$dir/signer.yaml" "$dir/with.yaml"
sed -i '/^pin:/,$d' "$dir/signer.yaml"
ctl seal
expect 2
err_has "name the signer's PIN with --pin-file, which may be its credential pin, or say --no-pin"
printf 'pin: {prompt: true}\n' >>"$dir/signer.yaml"
run setsid -w timeout -k 10 600 "$top_builddir/attestctl" hsm seal --config "$dir/signer.yaml" </dev/null
expect 3
err_has "name a file with --pin-file"
[ ! -e "$keys" ] || complain "keys were sealed without the PIN that the signer asks for"
ctl seal --no-pin
expect 0
out_has "without a PIN"
out_has "^sealed_id: [0-9a-f]\{64\}\$"
id=$(sed -n 's/^sealed_id: //p' "$dir/out")
cp "$dir/with.yaml" "$dir/signer.yaml"
run env ATTEST_SIGNER_DEVELOPMENT=true timeout -k 10 600 "$top_builddir/attest-signer" --config "$dir/signer.yaml"
[ $status -ne 0 ] && [ $status -ne 124 ] || complain "it started with keys that ask for no PIN"
err_has "asks for no PIN although there is one"
ctl reseal
expect 3
err_has "if you did, attestctl hsm reseal --force"
ctl reseal --force
expect 0
out_has "^sealed_id: $id\$"
config sha256:0,7 "sealed_id: $(printf %064d 0)"
run env ATTEST_SIGNER_DEVELOPMENT=true timeout -k 10 600 "$top_builddir/attest-signer" --config "$dir/signer.yaml"
[ $status -ne 0 ] && [ $status -ne 124 ] || complain "it started with keys of another id"
err_has "not the file that sealed_id names"
config sha256:0,7 "sealed_id: $id"
ctl reseal
expect 0
config sha256:0,7 "sealed_id: 12"
ctl reseal
[ $status -ne 0 ] || complain "an id of two digits"
err_has "sealed_id: 64 hex digits"
config sha256:0,7

# Secrets are kept from core dumps and from the swap, or it is said. Root would need no limit.
unlocked() {
    if [ "$(id -u)" = 0 ]; then
        sh -c 'ulimit -l 0; exec setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock "$@"' - "$@"
    else
        sh -c 'ulimit -l 0; exec "$@"' - "$@"
    fi
}
if command -v setpriv >/dev/null && ! under_sanitizer; then
    run unlocked timeout -k 10 600 "$top_builddir/attestctl" hsm seal-status --config "$dir/signer.yaml"
    expect 0
    err_has "warning: no locked memory"
    run unlocked timeout -k 10 600 "$top_builddir/attest-signer" --config "$dir/signer.yaml"
    [ $status -ne 0 ] && [ $status -ne 124 ] || complain "it started without locked memory"
    err_has "raise the limit of locked memory"
fi
ctl seal-status
[ ! -s "$dir/err" ] || complain "with locked memory: $(cat "$dir/err")"
kill -STOP "$swtpm_pid"
"$top_builddir/attestctl" hsm seal-status --config "$dir/signer.yaml" >"$dir/held" 2>&1 &
held=$!
hardened() { grep -q '^Max core file size  *0  *0 ' "/proc/$held/limits"; }
until_true hardened || complain "attestctl could leave a core dump"
kill -CONT "$swtpm_pid"
wait $held || complain "seal-status: $(cat "$dir/held")"
# Nor where an approver signs on a machine of his own.
mkfifo "$dir/values"
"$top_builddir/attestctl" hsm approve-pcrs --key "$dir/none" --values "$dir/values" >"$dir/held" 2>&1 &
held=$!
until_true hardened || complain "attestctl could leave a core dump with the approver's key"
kill $held
wait $held

# Of an older copy it is not said that a PCR moved.
cp "$keys" "$dir/older"
ctl reseal
expect 0
cp "$keys" "$dir/newest"
cp "$dir/older" "$keys"
ctl reseal
expect 1
out_has "put the newest back"
if grep -q "sealed anew while" "$dir/out"; then complain "advice for a PCR that moved"; fi
cp "$dir/newest" "$keys"
swtpm_secrets_of "$keys" "$dir/pin"

# A TPM whose owner hierarchy has a password.
swtpm_secret owner "$dir/owner"
tpm2_changeauth -T "$TCTI_PLAIN" -c owner landlord || complain "the owner hierarchy takes no password"
ctl seal-status
expect 3
out_has "the TPM's owner hierarchy has a password: set owner_auth.file"
config sha256:0,7 "owner_auth: {file: $dir/owner}"
ctl reseal
expect 0
rm "$keys"
ctl seal
expect 0
ctl seal-status
expect 0
exit $failed
