#!/bin/sh
# The PIN of a PKCS#11 token, sealed by a TPM: attest-signer starts without a PIN on any disk, and
# not when a PCR moved, nor from a file that was damaged or an older one put back.
set -u
. "$top_srcdir/tests/support/need.sh"
need_root # for it alone the signer's memory is to be read
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap 'signer_kill; swtpm_kill; rm -rf "$dir"' EXIT

swtpm_start
softhsm_start
new_pin() { od -An -v -N12 -tx1 /dev/urandom | tr -d ' ' >"$dir/$1" && chmod 600 "$dir/$1"; }
new_pin pin
new_pin so
ctl="$top_builddir/attestctl"
"$ctl" hsm init --module "$SOFTHSM_MODULE" --label attestd --so-pin-file "$dir/so" \
    --pin-file "$dir/pin" >/dev/null || exit 1
swtpm_secret pin "$dir/pin"
sealed=$dir/state/pin.sealed
mkdir -p "$dir/state"
signer_config
sed -i '/^pin:/,$d' "$dir/signer.yaml"
cp "$dir/signer.yaml" "$dir/bare.yaml"
printf 'pin:\n  tpm2: %s\n  tcti: "%s"\n' "$sealed" "$TCTI" >>"$dir/signer.yaml"

refused() {
    run timeout -k 10 600 "$top_builddir/attest-signer" --config "$dir/signer.yaml"
    [ $status -ne 0 ] && [ $status -ne 124 ] || complain "it started: $1"
    err_has "$2"
}
seal_pin() { run "$ctl" hsm seal-pin --config "$dir/signer.yaml" --pin-file "$dir/pin" "$@"; }

# One way to the PIN; and it is for a token.
sed 's/^pin:/pin:\n  file: x/' "$dir/signer.yaml" >"$dir/two.yaml"
run "$top_builddir/attest-signer" --check-config --config "$dir/two.yaml"
expect 1
err_has 'pin: one of file, prompt and tpm2'
sed 's/^keystore:.*/keystore: "tpm2:"/' "$dir/signer.yaml" >"$dir/two.yaml"
run "$top_builddir/attest-signer" --check-config --config "$dir/two.yaml"
expect 1
err_has 'pin.tpm2: for a PKCS#11 token'
run "$ctl" hsm seal-pin --config "$dir/bare.yaml" --pin-file "$dir/pin"
expect 2
refused "without a sealed PIN" "pin.tpm2: .*no sealed keys yet"
seal_pin
[ $status -ne 0 ] || complain "a PIN was sealed to nothing"
err_has "set pcrs"
echo 'pcrs: sha256:0,7' >>"$dir/signer.yaml"
seal_pin
expect 0
out_has "sealed the PIN to sha256:0,7"
run "$ctl" hsm seal --config "$dir/signer.yaml"
expect 2
[ "$(stat -c %a "$sealed")" = 600 ] || complain "the mode of the sealed PIN: $(stat -c %a "$sealed")"

signer_start || exit 1
signer_keys || complain "keys could not be made"
run signer_load --count 20 --in-flight 4
expect 0
# In the signer the PIN stands where secrets stand, and SoftHSM keeps no copy either.
if ! under_sanitizer; then
    sort -u "$dir/secrets" >"$dir/secret"
    run "$top_builddir/tests/support/find_secrets" "$dir/secret" pid "$signer_pid" guarded
    expect 0
fi
# A restart of both.
signer_stop
swtpm_off || complain "no orderly shutdown"
swtpm_on || complain "swtpm does not come back"
run "$ctl" hsm seal-status --config "$dir/signer.yaml"
expect 0
signer_start || exit 1
run signer_load --count 20 --in-flight 4
expect 0
signer_stop

# The PIN stands in none of the files that a signer has.
for file in "$sealed" "$dir/signer.log" "$dir/signer.yaml" "$dir/state/records.db"; do
    run "$top_builddir/tests/support/find_secrets" "$dir/secrets" file "$file"
    expect 0
done

swtpm_secrets_of "$sealed"

# An older copy, with the PIN before.
cp "$sealed" "$dir/older"
printf 'other-pin-of-nobody\n' >"$dir/other"
chmod 600 "$dir/other"
swtpm_secret other "$dir/other"
run "$ctl" hsm seal-pin --config "$dir/signer.yaml" --pin-file "$dir/other"
expect 0
refused "with the PIN of another token" "PIN"
cp "$dir/older" "$sealed"
refused "with an older copy" "counter that belongs to the sealed keys is gone"
rm "$sealed"
seal_pin
expect 0

# A new PIN gets a new file: nothing of one that others may have made, its PCRs neither, and no
# slot of the TPM is lost.
counters() { tpm2_getcap -T "$TCTI_PLAIN" handles-nv-index | sort; }
before=$(counters | wc -l)
sed -i 's/^pcrs:.*/pcrs: sha256:0/' "$dir/signer.yaml"
seal_pin
expect 0
out_has "sealed the PIN to sha256:0 in"
[ "$(counters | wc -l)" = "$before" ] || complain "counters: $before before, now $(counters)"
[ ! -e "$sealed.fresh" ] && [ ! -e "$sealed.fresh.lock" ] || complain "something is left beside the PIN"
sed -i 's/^pcrs:.*/pcrs: sha256:0,7/' "$dir/signer.yaml"
seal_pin
expect 0

cp "$sealed" "$dir/good"
head -c 300 "$dir/good" >"$sealed"
refused "with a file that was cut short" "damaged or cut short"
for at in 60 500 560 620; do
    cp "$dir/good" "$sealed"
    printf 'XYZ' | dd of="$sealed" bs=1 seek=$at conv=notrunc 2>/dev/null
    refused "with a file that was changed at $at" "pin.tpm2: "
done
cp "$dir/good" "$sealed"

tpm2_pcrextend -T "$TCTI_PLAIN" 7:sha256=0000000000000000000000000000000000000000000000000000000000000001
refused "with a PCR that moved" "PCR 7 (sha256) moved"
run "$ctl" hsm seal-status --config "$dir/signer.yaml"
expect 1
out_has "7"
swtpm_off
swtpm_on || complain "swtpm does not come back"
signer_start || exit 1
signer_stop

# Before an update: without PCR 7, which then moves.
sed -i 's/^pcrs:.*/pcrs: sha256:0/' "$dir/signer.yaml"
refused "while it is sealed to others" "other PCRs"
run "$ctl" hsm reseal --config "$dir/signer.yaml"
expect 0
tpm2_pcrextend -T "$TCTI_PLAIN" 7:sha256=0000000000000000000000000000000000000000000000000000000000000001
signer_start || exit 1
run signer_load --count 20 --in-flight 4
expect 0
left=$(tpm2_getcap -T "$TCTI_PLAIN" handles-transient; tpm2_getcap -T "$TCTI_PLAIN" handles-loaded-session)
[ -z "$left" ] || complain "left in the TPM: $left"
exit $failed
