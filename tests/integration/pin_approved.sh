#!/bin/sh
# The PIN of a token under an approver, on a TPM whose owner hierarchy has a password: an update is
# approved elsewhere, and the signer starts again; neither without the owner's password.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap 'signer_kill; swtpm_kill; rm -rf "$dir"' EXIT

command -v openssl >/dev/null || { echo "no openssl: apt-get install openssl"; exit 77; }
swtpm_start
softhsm_start
for name in pin so; do pin_file $name "$(od -An -v -N12 -tx1 /dev/urandom | tr -d ' ')"; done
ctl="$top_builddir/attestctl"
"$ctl" hsm init --module "$SOFTHSM_MODULE" --label attestd --so-pin-file "$dir/so" \
    --pin-file "$dir/pin" >/dev/null || exit 1
swtpm_secret pin "$dir/pin"
pin_file owner "landlord-$(od -An -v -N8 -tx1 /dev/urandom | tr -d ' ')"
swtpm_secret owner "$dir/owner"
tpm2_changeauth -T "$TCTI_PLAIN" -c owner "$(cat "$dir/owner")" || complain "the owner hierarchy takes no password"
(umask 077 && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/approver.pem" 2>/dev/null)
openssl pkey -in "$dir/approver.pem" -pubout -out "$dir/approver.pub" || complain "no key of an approver"

sealed=$dir/state/pin.sealed
mkdir -p "$dir/state"
signer_config
sed -i '/^pin:/,$d' "$dir/signer.yaml"
{
    printf 'pcrs: sha256:0,11\napprover: %s\n' "$dir/approver.pub"
    printf 'pin:\n  tpm2: %s\n  tcti: "%s"\n' "$sealed" "$TCTI"
} >>"$dir/signer.yaml"
cp "$dir/signer.yaml" "$dir/ownerless.yaml"
printf 'owner_auth:\n  file: %s\n' "$dir/owner" >>"$dir/signer.yaml"

ctl() {
    command=$1
    shift
    run timeout 600 "$ctl" hsm "$command" --config "$dir/signer.yaml" "$@"
}
refused() {
    run timeout 600 "$top_builddir/attest-signer" --config "$dir/signer.yaml"
    [ $status -ne 0 ] && [ $status -ne 124 ] || complain "it started: $1"
    err_has "$2"
}
serves() {
    signer_start || exit 1
    run signer_load --count 5 --in-flight 2
    expect 0
    signer_stop
}
update() {
    tpm2_pcrextend -T "$TCTI_PLAIN" 11:sha256=0000000000000000000000000000000000000000000000000000000000000001 ||
        complain "PCR 11 does not move"
}
counters() { tpm2_getcap -T "$TCTI_PLAIN" handles-nv-index | grep -c .; }

# The password is asked for before anything is made.
run timeout 600 "$ctl" hsm seal-pin --config "$dir/ownerless.yaml" --pin-file "$dir/pin"
expect 1
out_has "owner hierarchy has a password: set owner_auth.file"
[ "$(counters)" = 0 ] && [ ! -e "$sealed" ] || complain "something was made without the owner's password"
ctl seal-pin --pin-file "$dir/pin"
expect 0
[ "$(counters)" = 2 ] || complain "$(counters) counters for a PIN with an approver"
[ -z "$(find "$dir/state" -name '*.fresh*' -o -name '*.counters')" ] || complain "something is left beside the PIN"
signer_start || exit 1
signer_keys || complain "keys could not be made"
signer_stop
cp "$dir/signer.yaml" "$dir/good.yaml"
cp "$dir/ownerless.yaml" "$dir/signer.yaml"
refused "without the owner's password" "owner hierarchy has a password"
cp "$dir/good.yaml" "$dir/signer.yaml"

# An update: approved without the TPM, by another's key not.
update
refused "with a PCR that moved" "PCR 11 (sha256) moved since the keys were sealed, and none of 0 approvals fits"
ctl seal-status --json
expect 1
cp "$dir/out" "$dir/status.json"
(umask 077 && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/else.pem" 2>/dev/null)
approve() { run "$ctl" hsm approve-pcrs --key "$dir/$1.pem" --values "$dir/status.json" --out "$dir/$1.json"; }
approve else
expect 0
cp "$dir/else.json" "$sealed.approvals/else.json"
refused "with an approval of somebody else" "none of 1 approvals fits"
approve approver
expect 0
cp "$dir/approver.json" "$sealed.approvals/update.json"
ctl seal-status
expect 0
out_has "by an approval"
serves
# What was recorded is revoked with its use: the state before opens no more.
swtpm_off || complain "no orderly shutdown"
swtpm_on || complain "swtpm does not come back"
refused "in the state before" "revoked by a later approval"
update
serves

# Sealed anew, to what is now: no approval is needed any more.
ctl reseal
expect 0
rm "$sealed.approvals"/*.json
serves
# A new PIN file in its place has the approver, too, and its own line: what was signed for the one
# before opens nothing here.
ctl seal-pin --pin-file "$dir/pin"
expect 0
[ "$(counters)" = 2 ] || complain "$(counters) counters after the second"
serves
swtpm_off || complain "no orderly shutdown"
swtpm_on || complain "swtpm does not come back"
cp "$dir/approver.json" "$sealed.approvals/old.json"
refused "with an approval for the file before" "none of 1 approvals fits"
ctl approve-pcrs --key "$dir/approver.pem" --out "$dir/here.json"
expect 0
cp "$dir/here.json" "$sealed.approvals/here.json"
serves

# Without an approver, and with him again; sealed by an approval that opens until then.
grep -v '^approver:' "$dir/good.yaml" >"$dir/signer.yaml"
ctl reseal
expect 0
[ "$(counters)" = 1 ] || complain "$(counters) counters without an approver"
serves
cp "$dir/good.yaml" "$dir/signer.yaml"
ctl reseal --force
expect 0
[ "$(counters)" = 2 ] || complain "$(counters) counters with him again"
serves
tpm2_changeauth -T "$TCTI_PLAIN" -c owner -p "$(cat "$dir/owner")" || complain "the owner's password stays"
swtpm_secrets_of "$sealed"
left=$(tpm2_getcap -T "$TCTI_PLAIN" handles-transient; tpm2_getcap -T "$TCTI_PLAIN" handles-loaded-session)
[ -z "$left" ] || complain "left in the TPM: $left"
exit $failed
