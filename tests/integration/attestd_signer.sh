#!/bin/sh
# attestd with a real attest-signer behind it, and with all that can go wrong there: not started yet,
# slow, late, token gone, disk failing, killed; callers who leave; both kinds of stopping.
set -u
command -v curl >/dev/null || { echo "no curl: apt-get install curl"; exit 77; }
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/attestd.sh"
trap 'signer_kill; [ -n "$attestd_pid" ] && kill "$attestd_pid"; rm -rf "$dir"' EXIT

SOFTHSM_MODULE=$top_builddir/tests/support/.libs/p11_fault.so
signer_preload=$top_builddir/tests/support/.libs/slowsync.so
[ -r "$SOFTHSM_MODULE" ] && [ -r "$signer_preload" ] || exit 77
mkdir "$dir/objects"
P11_FAULT_DIR=$dir/objects
P11_FAULT_CONTROL=$dir/rules
SLOWSYNC_CONTROL=$dir/disk
SLOWSYNC_UNDER=$dir/state/log
export P11_FAULT_DIR P11_FAULT_CONTROL SLOWSYNC_CONTROL SLOWSYNC_UNDER
tell() { printf '%s\n' "$2" >"$dir/$1.new" && mv "$dir/$1.new" "$dir/$1"; }

json='Content-Type: application/json'
body='{"audience":"https://s.example","agent_identity":{"model_family":"f","model_version":"v","provider":"p"}}'
mint() { curl -s --unix-socket "$dir/mint.sock" -H "$json" -d "$body" "$@" http://a/v1/attestations; }
# minted STATUS: what a request for a token gets
minted() { ask "$1" --unix-socket "$dir/mint.sock" -H "$json" -d "$body" http://a/v1/attestations; }
ready() { curl -sf "http://127.0.0.1:$port/readyz" >/dev/null; }
unready() { ! ready; }
published() { ask 200 "http://127.0.0.1:$port/.well-known/jwks.json"; }
metric_is() { [ "$(metric "$1")" = "$2" ]; }
outcome() { metric "attestd_tokens_total{outcome=\"$1\"}"; }

# ---- the signer comes later ----

tell rules '# nothing'
tell disk ok
pin_file pin 12345678
signer_config 'workers: 4' 'request_timeout_ms: 60000' 'call_timeout_ms: 60000'
sed -i 's/pkcs11:token=attestd/pkcs11:token=attestd%20fault/' "$dir/signer.yaml"
attestd_config "issuer: $issuer" "listen: [\"127.0.0.1:0\", \"unix:$dir/mint.sock\"]" \
    "mint_users: [\"$(id -u)\"]" "signer_socket: $signer_socket" 'sign_timeout_ms: 5000' 'stop_s: 60'
attestd_start
ready && complain 'ready without a signer'
minted 503
signer_start || exit 1
wait_for 30 curl -sf "http://127.0.0.1:$port/.well-known/jwks.json" || complain 'no key set came'
ask 503 "http://127.0.0.1:$port/readyz"
out_has 'attestctl key generate'
ask 404 "http://127.0.0.1:$port/.well-known/jwks.jwt"
out_has 'no root key'
minted 503
signer_keys || complain 'keys could not be made'
wait_for 30 ready || complain 'not ready with keys'

# ---- a token, and the key set ----

minted 201
head_has '^cache-control: no-store'; head_has '^content-type: application/json'
out_has '"token":"ey[^"]*\.[^"]*\.[^"]*"'; out_has '"token_type":"attestation"'
jti=$(sed -n 's/.*"jti":"\([^"]*\)".*/\1/p' "$dir/out")
kid=$(sed -n 's/.*"kid":"\([^"]*\)".*/\1/p' "$dir/out")
grep -rh "$jti" "$dir/state/log" | grep -q "\"caller\":\"uid:$(id -u)\"" || complain 'no record of the caller'
published
head_has '^cache-control: public, max-age=300'; head_has '^access-control-allow-origin: \*'
out_has "\"kid\":\"$kid\""
cp "$dir/out" "$dir/jwks"
etag=$(sed -n 's/^ETag: *\("[^"]*"\).*/\1/p' "$dir/head")
[ -n "$etag" ] || complain 'no strong ETag'
ask 304 -H "If-None-Match: \"x\", $etag" "http://127.0.0.1:$port/.well-known/jwks.json"
[ ! -s "$dir/out" ] || complain 'a body with 304'
ask 200 -H 'If-None-Match: "x"' "http://127.0.0.1:$port/.well-known/jwks.json"
ask 200 -I "http://127.0.0.1:$port/.well-known/jwks.json"
head_has "^etag: $etag"; head_has "^content-length: $(wc -c <"$dir/jwks")"
[ "$(metric 'attestd_keystore_state{state="ready"}')" = 1 ] || complain 'keystore state'
[ -n "$(metric "attestd_key_age_seconds{kid=\"$kid\",purpose=\"token\",state=\"active\"}")" ] ||
    complain 'no age of the key'

# the signer has the last word on claims, and the member is named
ask 400 --unix-socket "$dir/mint.sock" -H "$json" -d "{\"lifetime_s\":901,${body#?}" http://a/v1/attestations
out_has '"member":"lifetime_s"'

# ---- callers who leave while the key works ----

tell rules 'C_Sign take 700'
pids=
for i in 1 2 3 4 5 6 7 8; do
    mint --max-time 0.2 -o /dev/null & pids="$pids $!"
done
wait $pids
wait_for 30 metric_is attestd_sign_queue 0 || complain 'requests are left behind'
wait_for 30 metric_is attestd_connections 0 || complain 'connections are left behind'

# ---- late, gone, not recorded ----

tell rules 'C_Sign take 10000 -4'
before=$(outcome timeout)
minted 503
head_has '^retry-after: '
[ "$(outcome timeout)" = $((before + 1)) ] || complain 'the time-out was not counted'
tell rules '# nothing'
wait_for 30 mint -f -o /dev/null || complain 'no recovery from slowness'

tell rules 'set token absent'
minted 503
head_has '^retry-after: '; head_has 'application/problem+json'
wait_for 30 unready || complain 'ready without a token'
ask 503 "http://127.0.0.1:$port/readyz"
out_has 'key out of reach'
minted 503
out_has 'out of reach'
published
tell rules '# nothing'
wait_for 60 ready || complain 'the token came back, and nobody noticed'
minted 201

tell disk fail
minted 503
out_has 'record'
wait_for 30 unready || complain 'ready without a log'
published
tell disk ok
wait_for 60 ready || complain 'no recovery of the log'
minted 201

# ---- the signer is killed ----

signer_kill
wait_for 30 unready || complain 'ready without a signer'
minted 503
head_has '^retry-after: '
published
cmp -s "$dir/out" "$dir/jwks" || complain 'not the last key set'
ask 200 "http://127.0.0.1:$port/healthz"
signer_start || exit 1
wait_for 60 ready || complain 'not connected again'
minted 201

# ---- what was accepted is finished ----

# For as long as it takes all of them to come, and the stop.
attestd_stop
sed -i 's/^sign_timeout_ms: .*/sign_timeout_ms: 60000/' "$dir/attestd.yaml"
attestd_start
wait_for 30 ready || complain 'not ready'
tell rules 'C_Sign hang'
pids=
for i in 1 2 3 4 5 6 7 8; do
    mint -o "$dir/last.$i" -w '%{http_code}' >"$dir/status.$i" & pids="$pids $!"
done
wait_for 30 metric_is attestd_sign_queue 8 || complain 'not all wait for the signer'
kill "$attestd_pid"
wait_for 30 grep -q event=stopping "$dir/attestd.log" || complain 'it does not stop'
tell rules '# nothing'
attestd_stop
wait $pids
for i in 1 2 3 4 5 6 7 8; do
    [ "$(cat "$dir/status.$i")" = 201 ] || complain "stopped under request $i: $(cat "$dir/status.$i")"
done

# ---- but not for ever ----

sed -i 's/^stop_s: .*/stop_s: 1/' "$dir/attestd.yaml"
tell rules 'C_Sign hang'
attestd_start
wait_for 30 ready || complain 'not ready'
mint -o "$dir/last" -w '%{http_code}' >"$dir/status" & pid=$!
wait_for 30 metric_is attestd_sign_queue 1 || complain 'the request does not wait'
attestd_stop
wait $pid
[ "$(cat "$dir/status")" = 503 ] || complain "hung at the stop: $(cat "$dir/status")"
grep -q 'event=stop_unfinished' "$dir/attestd.log" || complain 'nothing said of what was not finished'
tell rules '# nothing'
exit $failed
