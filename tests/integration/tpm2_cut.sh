#!/bin/sh
# The TPM loses its power before each command in turn while the daemon makes a key, destroys one, and
# starts: what was asked for happens or does not, as attestctl says; minting goes on; and when the TPM
# is back everything does.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/rollover.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap 'signer_kill; swtpm_kill; rm -rf "$dir"' EXIT
ctl="$top_builddir/attestctl"

# No PIN: a TPM counts a power cut after an authorization value as a wrong one.
command -v openssl >/dev/null || { echo "no openssl: apt-get install openssl"; exit 77; }
swtpm_start
mkdir -p "$dir/state"
printf '%s: %s\n' issuer "$issuer" keystore "\"tpm2:$TCTI\"" pcrs sha256:0,2,7,11 \
    state_dir "$dir/state" signer_socket "$signer_socket" admin_socket "$admin_socket" \
    development true >"$dir/signer.yaml"
run "$ctl" hsm seal --no-pin --config "$dir/signer.yaml"
expect 0
signer_start || exit 1
signer_keys || complain "keys could not be made"

mints() {
    run signer_load --count 5 --in-flight 2
    expect 0
}
tpm_back() {
    swtpm_kill
    swtpm_on || complain "swtpm does not come back"
}
kids() { "$ctl" key list --socket "$admin_socket" --json | grep -oE '"kid": *"[^"]*"' | sort -u; }

# before_each NAME COMMAND…: the command with a power cut before its first, second, … message to the
# TPM, until it ends without having come so far; with step set, before each so many. Sets cuts.
before_each() {
    name=$1
    shift
    cuts=0
    while [ $cuts -lt 60 ]; do
        swtpm_cut $((cuts * ${step:-1} + 1))
        run "$@"
        [ $status -ne 124 ] || complain "$name: it hangs after cut $cuts"
        if [ -e "$dir/bus.log.cut" ]; then
            rm "$dir/bus.log.cut"
            expect 0
            return
        fi
        cuts=$((cuts + 1))
        [ $status -eq 0 ] || [ -s "$dir/err" ] || [ -s "$dir/out" ] || complain "$name: it says nothing"
        kill -0 "$signer_pid" || { complain "$name: the signer ended after cut $cuts"; cat "$dir/signer.log"; exit 1; }
        mints
        tpm_back
    done
    complain "$name: no end after $cuts cuts"
}

generate() { timeout 120 "$ctl" key generate --socket "$admin_socket" --purpose token; }
before_each "key generate" generate
[ $cuts -ge 5 ] || complain "key generate: only $cuts cuts"
echo "key generate: $cuts cuts"
swtpm_secrets_of_running "$dir/state/sealed.keys"

for _ in 1 2 3 4 5 6 7 8; do
    run generate
    expect 0
done

# The revoked ones go, one after the other; who was told that it did not happen tries again.
for kid in $(key_kid token created) $(key_kid token published); do
    run key_ctl revoke --reason test -- "$kid"
    expect 0
done
before=$(key_kid token revoked | grep -c .)
destroy() {
    kid=$(key_kid token revoked | head -n 1)
    timeout 120 "$ctl" key destroy --socket "$admin_socket" --confirm "$kid" -- "$kid"
}
before_each "key destroy" destroy
[ $cuts -ge 5 ] || complain "key destroy: only $cuts cuts"
echo "key destroy: $cuts cuts, of $before keys $(key_kid token revoked | grep -c .) are left"
[ "$(key_kid token revoked | grep -c .)" -lt "$before" ] || complain "nothing was destroyed"
swtpm_secrets_of_running "$dir/state/sealed.keys"

# The PIN of a token, in a file of its own: there is one that opens at the end, and counters are not lost.
{
    printf '%s: %s\n' issuer "$issuer" keystore '"pkcs11:token=attestd"' module none pcrs sha256:0,7 \
        state_dir "$dir/state" signer_socket "$dir/p.sock" admin_socket "$dir/p-admin.sock"
    printf 'pin:\n  tpm2: %s\n  tcti: "%s"\n' "$dir/state/pin.sealed" "$TCTI"
} >"$dir/pin.yaml"
pin_file token-pin "$(od -An -v -N12 -tx1 /dev/urandom | tr -d ' ')"
swtpm_secret token-pin "$dir/token-pin"
seal_pin() { timeout 120 "$ctl" hsm seal-pin --config "$dir/pin.yaml" --pin-file "$dir/token-pin"; }
run seal_pin
expect 0
counters() { tpm2_getcap -T "$TCTI_PLAIN" handles-nv-index | grep -c .; }
before=$(counters)
step=9 before_each "seal-pin" seal_pin
echo "seal-pin: $cuts cuts, $before counters before and $(counters) now"
[ $cuts -ge 7 ] || complain "seal-pin: only $cuts cuts"
[ "$(counters)" = "$before" ] || complain "counters: $before before, now $(counters)"
run timeout 60 "$ctl" hsm seal-status --config "$dir/pin.yaml"
expect 0

# The keys of another instance: sealed with an approver, then anew without one, and with him again.
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null |
    openssl pkey -pubout -out "$dir/approver.pub" || complain "no key of an approver"
mkdir -p "$dir/other"
printf '%s: %s\n' issuer "$issuer" keystore "\"tpm2:$TCTI\"" pcrs sha256:0,7 state_dir "$dir/other" \
    signer_socket "$dir/o.sock" admin_socket "$dir/o-admin.sock" >"$dir/without.yaml"
{ cat "$dir/without.yaml" && echo "approver: $dir/approver.pub"; } >"$dir/with.yaml"
seal() { [ -e "$dir/other/sealed.keys" ] || timeout 120 "$ctl" hsm seal --no-pin --config "$dir/with.yaml"; }
reseal() { timeout 120 "$ctl" hsm reseal --force --config "$dir/$1.yaml"; }
before=$(counters)
step=5 before_each "seal" seal
echo "seal: $cuts cuts"
[ $cuts -ge 3 ] || complain "seal: only $cuts cuts"
[ "$(counters)" = $((before + 2)) ] || complain "seal: $before counters before, now $(counters)"
for which in without with; do
    step=9 before_each "reseal $which an approver" reseal $which
    echo "reseal $which an approver: $cuts cuts"
    [ $cuts -ge 3 ] || complain "reseal: only $cuts cuts"
    [ $which = with ] && more=2 || more=1
    [ "$(counters)" = $((before + more)) ] || complain "reseal $which: $before counters before, now $(counters)"
done
left=$(find "$dir" -name '*.counters')
[ -z "$left" ] || complain "left: $left"
swtpm_secrets_of "$dir/other/sealed.keys"

# A start: it ends with an error, or is there with all keys.
all=$(kids)
signer_stop
cuts=0
while [ $cuts -lt 60 ]; do
    swtpm_cut $((cuts + 1))
    signer_start >"$dir/start" || :
    [ -e "$dir/bus.log.cut" ] && break
    if [ -n "${signer_pid:-}" ] && kill -0 "$signer_pid" 2>/dev/null; then
        mints
        signer_stop
    else
        grep -q 'level=error' "$dir/signer.log" || complain "start: no error after cut $cuts"
    fi
    cuts=$((cuts + 1))
    tpm_back
done
rm -f "$dir/bus.log.cut"
[ $cuts -ge 5 ] && [ $cuts -lt 60 ] || complain "start: $cuts cuts"
echo "start: $cuts cuts"
[ "$(kids)" = "$all" ] || complain "after the cuts there are other keys"
mints
signer_stop
run signer_log_verify
expect 0
left=$(tpm2_getcap -T "$TCTI_PLAIN" handles-transient; tpm2_getcap -T "$TCTI_PLAIN" handles-loaded-session)
[ -z "$left" ] || complain "left in the TPM: $left"
swtpm_secrets_of "$dir/state/sealed.keys"
exit $failed
