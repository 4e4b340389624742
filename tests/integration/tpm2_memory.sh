#!/bin/sh
# What stands in the memory of both daemons while keys sealed by a TPM sign tokens: seeds, wrapping
# key, authority and PIN in attest-signer's locked memory that no core dump has, and nowhere else in
# it; none of them in attestd. Neither leaves a core dump.
set -u
. "$top_srcdir/tests/support/need.sh"
need_root # for it alone their memory is to be read
command -v gcore >/dev/null || { echo "no gcore: apt-get install gdb"; exit 77; }
command -v curl >/dev/null || { echo "no curl: apt-get install curl"; exit 77; }
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/attestd.sh"
. "$top_srcdir/tests/support/swtpm.sh"
sleeper=
trap 'kill $sleeper $attestd_pid 2>/dev/null; signer_kill; swtpm_kill; rm -rf "$dir"' EXIT
under_sanitizer && { echo "nothing to be learned of a build with a sanitizer"; exit 0; }
find_secrets=$top_builddir/tests/support/find_secrets
cd "$dir" || exit 1

swtpm_start
od -An -v -N12 -tx1 /dev/urandom | tr -d ' ' >"$dir/pin"
chmod 600 "$dir/pin"
mkdir -p "$dir/state"
{
    printf '%s: %s\n' issuer "$issuer" keystore "\"tpm2:$TCTI\"" pcrs sha256:0,7 \
        state_dir "$dir/state" signer_socket "$signer_socket" admin_socket "$admin_socket" \
        development true
    printf 'pin:\n  file: %s\n' "$dir/pin"
} >"$dir/signer.yaml"
run "$top_builddir/attestctl" hsm seal --config "$dir/signer.yaml"
expect 0
signer_start || exit 1
attestd_config "issuer: $issuer" "listen: [\"127.0.0.1:0\", \"unix:$dir/mint.sock\"]" \
    "mint_users: [\"$(id -u)\"]" "signer_socket: $signer_socket"
attestd_start
body='{"audience":"https://s.example","agent_identity":{"model_family":"f","model_version":"v","provider":"p"}}'
mint() {
    for _ in 1 2 3 4 5 6 7 8; do
        ask 201 --unix-socket "$dir/mint.sock" -H 'Content-Type: application/json' -d "$body" \
            http://a/v1/attestations
    done
}

# seen WHEN: of the keys that there are now. The file is copied because the signer holds it.
seen() {
    mint
    sleep 1.2 # one quote a second
    ask 200 "http://127.0.0.1:$port/.well-known/attestation-evidence?nonce=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    cp "$dir/state/sealed.keys" "$dir/copy.keys"
    "$top_builddir/tests/support/sealed_secrets" "$TCTI_PLAIN" "$dir/copy.keys" "$dir/pin" \
        >"$dir/now" || complain "$1: the sealed keys do not open"
    # What uses the attestation key is derived anew for each quote, and wiped.
    grep attestation-key "$dir/now" >"$dir/auth"
    grep -v attestation-key "$dir/now" >"$dir/kept"
    mv "$dir/kept" "$dir/now"
    run "$find_secrets" "$dir/auth" pid "$signer_pid"
    expect 0
    [ "$(grep -c seed "$dir/now")" -ge 3 ] || complain "$1: less than three seeds"
    cat "$dir/now" >>"$dir/secrets"
    swtpm_secret pin "$dir/pin"
    tail -n 1 "$dir/secrets" >>"$dir/now"
    run "$find_secrets" "$dir/now" pid "$signer_pid" guarded
    expect 0
    run "$find_secrets" "$dir/now" pid "$attestd_pid"
    expect 0
}

for purpose in log token root; do
    run "$top_builddir/attestctl" key generate --socket "$admin_socket" --purpose $purpose
    expect 0
done
wait_for 30 curl -sf "http://127.0.0.1:$port/readyz" || complain "not ready"
seen "after making them"
signer_stop
signer_start || exit 1
wait_for 30 curl -sf "http://127.0.0.1:$port/readyz" || complain "not ready again"
seen "after unsealing them"

# That what looks would find them elsewhere.
sh -c 'read -r a <"$0"; : "$a"; : >"$1"; while sleep 1; do :; done' "$dir/pin" "$dir/asleep" &
sleeper=$!
until_true test -e "$dir/asleep"
grep pin "$dir/now" >"$dir/pin-alone"
run "$find_secrets" "$dir/pin-alone" pid $sleeper
expect 1
run "$find_secrets" "$dir/pin-alone" pid $sleeper guarded
expect 1
run "$find_secrets" "$dir/now" pid "$signer_pid"
expect 1

# gdb leaves out what a core dump leaves out.
for pid in $signer_pid $attestd_pid; do
    run gcore -o "$dir/core" "$pid"
    expect 0
    run "$find_secrets" "$dir/now" file "$dir/core.$pid"
    expect 0
    grep -q '^Max core file size *0 *0 ' "/proc/$pid/limits" || complain "core dumps of $pid are not off"
done
# Where others leave a core file, they leave none, even with the limit lifted from outside.
cores() { ls "$dir" | grep -c -e '^core$' -e '^core\.[0-9]*$'; }
rm -f "$dir"/core*
(ulimit -c unlimited 2>/dev/null && cd "$dir" && exec sleep 100) &
sleeper="$sleeper $!"
until_true grep -q sleep "/proc/$!/cmdline"
kill -SEGV $!
wait $! 2>/dev/null
[ "$(cores)" = 1 ] || echo "(this machine leaves no core files here)"
rm -f "$dir"/core*
for pid in $signer_pid $attestd_pid; do
    prlimit --pid "$pid" --core=unlimited: 2>/dev/null
    kill -SEGV "$pid"
    wait "$pid" 2>/dev/null
done
signer_pid= attestd_pid=
[ "$(cores)" = 0 ] || complain "a daemon left a core file: $(ls "$dir")"
exit $failed
