#!/bin/sh
# What others see of sealed keys and of their lock: tpm2-tools read the policy that we claim in the
# object's public area; a start with a wrong PIN costs one try and no more, lockout is said and
# tried no further, and goes by what the TPM's owner does about it.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap 'signer_kill; swtpm_kill; rm -rf "$dir"' EXIT
ctl="$top_builddir/attestctl"

swtpm_start
od -An -v -N12 -tx1 /dev/urandom | tr -d ' ' >"$dir/pin"
chmod 600 "$dir/pin"
cp -p "$dir/pin" "$dir/right"
mkdir -p "$dir/state"
{
    printf '%s: %s\n' issuer "$issuer" keystore "\"tpm2:$TCTI\"" pcrs sha256:0,2,7,11 \
        state_dir "$dir/state" signer_socket "$signer_socket" admin_socket "$admin_socket" \
        development true
    printf 'pin:\n  file: %s\n' "$dir/pin"
} >"$dir/signer.yaml"
run "$ctl" hsm seal --config "$dir/signer.yaml"
expect 0
keys=$dir/state/sealed.keys
swtpm_secrets_of "$keys" "$dir/pin"

# ---- the policy ----

# A TPM2B_PUBLIC of a sealed object begins, behind its length, with TPM_ALG_KEYEDHASH and SHA-256.
at=$(LC_ALL=C grep -obUaP '\x00\x08\x00\x0b' "$keys" | head -n 1 | cut -d: -f1)
len=$(od -An -j$((at - 2)) -N2 -tu1 "$keys" | awk '{ print $1 * 256 + $2 + 2 }')
tail -c +$((at - 1)) "$keys" | head -c "$len" >"$dir/sealed.pub"
run tpm2_print -t TPM2B_PUBLIC "$dir/sealed.pub"
expect 0
out_has 'value: keyedhash'
out_has 'value: fixedtpm|fixedparent$'
policy=$(sed -n 's/^authorization policy: //p' "$dir/out")
# The same by commands that are not ours.
tools() { "$@" >/dev/null 2>"$dir/err" || complain "$*"; }
tools tpm2_startauthsession -T "$TCTI_PLAIN" -S "$dir/trial"
tools tpm2_policypcr -T "$TCTI_PLAIN" -S "$dir/trial" -l sha256:0,2,7,11 -L "$dir/digest"
tools tpm2_policyauthvalue -T "$TCTI_PLAIN" -S "$dir/trial" -L "$dir/digest"
tools tpm2_flushcontext -T "$TCTI_PLAIN" "$dir/trial"
[ "$(od -An -v -tx1 "$dir/digest" | tr -d ' \n')" = "$policy" ] ||
    complain "the policy in the object is $policy"

# The key above all of it is the TCG's storage primary, as others make it: x and y of zeros, each
# behind its length in the order of this machine.
zeros() { printf '\040\000' && head -c 128 /dev/zero; }
[ "$(printf '\001\000' | od -An -tu2 | tr -d ' ')" = 1 ] || zeros() { printf '\000\040' && head -c 128 /dev/zero; }
{ zeros && zeros; } >"$dir/unique"
tools tpm2_createprimary -T "$TCTI_PLAIN" -C o -g sha256 -G ecc256:null:aes128cfb -u "$dir/unique" -c "$dir/primary.ctx" \
    -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
tools tpm2_flushcontext -T "$TCTI_PLAIN" -t
tools tpm2_readpublic -T "$TCTI_PLAIN" -c "$dir/primary.ctx" -n "$dir/name"
tools tpm2_flushcontext -T "$TCTI_PLAIN" -t
run "$ctl" hsm seal-status --config "$dir/signer.yaml"
out_has "name  *$(od -An -v -tx1 "$dir/name" | tr -d ' \n')\$"

# ---- the lock ----

failures() { tpm2_getcap -T "$TCTI_PLAIN" properties-variable | sed -n 's/^TPM2_PT_LOCKOUT_COUNTER: 0x//p'; }
refused() {
    run timeout -k 10 600 "$top_builddir/attest-signer" --config "$dir/signer.yaml"
    [ $status -eq 1 ] || complain "status $status, not 1, which is never tried again: $1"
    err_has "$2"
}
signer_start || exit 1
signer_keys || complain "keys could not be made"
signer_stop
[ "$(failures)" = 0 ] || complain "the right PIN was counted: $(failures)"
printf 'wrong-wrong-wrong\n' >"$dir/pin"
max=$(tpm2_getcap -T "$TCTI_PLAIN" properties-variable | sed -n 's/^TPM2_PT_MAX_AUTH_FAIL: 0x//p')
for n in $(seq $((0x$max))); do
    refused "wrong PIN $n" "refuses the authorization value"
    [ "$((0x$(failures)))" = "$n" ] || complain "wrong PIN $n was counted as $(failures)"
done
cp -p "$dir/right" "$dir/pin"
sent=$(wc -c <"$dir/bus.log")
refused "in lockout" "lockout"
[ "$((0x$(failures)))" = "$n" ] || complain "lockout was tried against: $(failures)"
# TPM2_Unseal (0x15e) with sessions (0x8002), from this place in the log on.
unseals() { tail -c +$(($1 + 1)) "$dir/bus.log" | LC_ALL=C grep -aoP '\x80\x02....\x00\x00\x01\x5e' | LC_ALL=C grep -ac .; }
[ "$(unseals 0)" -ge "$n" ] || complain "TPM2_Unseal was not seen where it was sent"
[ "$(unseals "$sent")" -le 1 ] || complain "TPM2_Unseal was sent $(unseals "$sent") times in lockout"
run "$ctl" hsm seal-status --config "$dir/signer.yaml"
expect 1
tools tpm2_dictionarylockout -T "$TCTI_PLAIN" --clear-lockout
signer_start || exit 1
run signer_load --count 5 --in-flight 2
expect 0
exit $failed
