#!/bin/sh
# attest-signer is killed while the TPM, without a resource manager, holds its key and its session:
# however often, the next one starts and signs.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap 'signer_kill; swtpm_kill; rm -rf "$dir"' EXIT

swtpm_start
mkdir -p "$dir/state"
printf '%s: %s\n' issuer "$issuer" keystore "\"tpm2:$TCTI\"" pcrs sha256:0,7 resident '[token]' \
    state_dir "$dir/state" signer_socket "$signer_socket" admin_socket "$admin_socket" \
    development true >"$dir/signer.yaml"
run "$top_builddir/attestctl" hsm seal --no-pin --config "$dir/signer.yaml"
expect 0
signer_start || exit 1
signer_keys || complain "keys could not be made"
left() { tpm2_getcap -T "$TCTI_PLAIN" handles-transient; tpm2_getcap -T "$TCTI_PLAIN" handles-loaded-session; }
signs() { [ -s "$dir/jtis" ]; }

most=0
for _ in 1 2 3; do
    rm -f "$dir/jtis"
    "$top_builddir/tests/support/signer_load" "$signer_socket" "$issuer" --count 1000000 --in-flight 1 \
        --jtis "$dir/jtis" >/dev/null 2>&1 &
    load=$!
    until_true signs || complain "it signs nothing"
    signer_kill
    kill $load 2>/dev/null # it ends by itself, unless its last answer was one
    wait $load
    n=$(left | wc -l)
    [ "$n" -gt "$most" ] && most=$n
    signer_start || exit 1
done
[ "$most" -ge 3 ] || complain "nothing was left behind for who comes next"
run signer_load --count 3 --in-flight 1
expect 0
signer_stop
run signer_log_verify
expect 0
swtpm_secrets_of "$dir/state/sealed.keys"
exit $failed
