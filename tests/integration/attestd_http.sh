#!/bin/sh
# attestd without a signer: what it serves all the same, what it refuses and how, who may mint, the
# configuration, and that it goes on after all of it.
set -u
command -v curl >/dev/null || { echo "no curl: apt-get install curl"; exit 77; }
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/attestd.sh"
trap '[ -n "$attestd_pid" ] && kill "$attestd_pid"; rm -rf "$dir"' EXIT

json='Content-Type: application/json'
good='{"audience":"https://s.example","agent_identity":{"model_family":"f","model_version":"v","provider":"p"}}'

# ---- command line and configuration ----

attestd=$top_builddir/attestd
run "$attestd" --help
expect 0; out_has '--insecure-open-mint'
run "$attestd" --version
expect 0; out_has '^attestd [0-9]'
run "$attestd" --nonsense
expect 2
run "$attestd" surplus
expect 2; err_is_one_line
run "$attestd" --config "$dir/missing.yaml"
expect 3; err_is_one_line
printf 'issuer: https://a.example\nlisen: []\n' >"$dir/bad.yaml"
run "$attestd" --config "$dir/bad.yaml"
expect 1; err_has 'line 2'; err_is_one_line
printf 'issuer: http://a.example\n' >"$dir/bad.yaml"
run "$attestd" --check-config --config "$dir/bad.yaml"
expect 1; err_has 'https'
printf 'issuer: https://a.example\nlisten: ["nowhere:x"]\n' >"$dir/bad.yaml"
run "$attestd" --config "$dir/bad.yaml"
expect 1
attestd_config 'mint_users: ["no-such-user-here"]'
run "$attestd" --config "$dir/attestd.yaml"
expect 1; err_has 'no-such-user-here'
attestd_config
run "$attestd" --check-config --config "$dir/attestd.yaml"
expect 0

# ---- without --insecure-open-mint: UNIX users only ----

attestd_config "listen: [\"127.0.0.1:0\", \"unix:$dir/mint.sock\", \"unix:$dir/other.sock\"]" \
    "mint_users: [\"$(id -u)\"]"
attestd_start
ask 401 -H "$json" -d "$good" "http://127.0.0.1:$port/v1/attestations"
head_has '^www-authenticate:'; head_has 'application/problem+json'
ask 503 --unix-socket "$dir/mint.sock" -H "$json" -d "$good" http://a/v1/attestations
head_has '^retry-after: [0-9]'; out_has '"request_id":'
[ "$(metric 'attestd_tokens_total{outcome="denied"}')" = 1 ] || complain 'denied was not counted'
[ "$(metric 'attestd_tokens_total{outcome="signer_away"}')" = 1 ] || complain 'away was not counted'
grep -q 'event=mint outcome=signer_away caller=uid:' "$dir/attestd.log" || complain 'no caller logged'
attestd_stop
[ ! -e "$dir/mint.sock" ] || complain 'the socket file is left'

attestd_config "listen: [\"unix:$dir/mint.sock\"]" 'mint_users: ["65533"]'
attestd_start
ask 401 --unix-socket "$dir/mint.sock" -H "$json" -d "$good" http://a/v1/attestations
attestd_stop

# ---- open minting ----

attestd_config
attestd_start --insecure-open-mint
grep -q 'event=INSECURE_OPEN_MINT' "$dir/attestd.log" || complain 'open minting is not announced'
base=http://127.0.0.1:$port
ask 503 -H "$json" -d "$good" "$base/v1/attestations"
ask 403 -H "$json" -H 'Origin: https://evil.example' -d "$good" "$base/v1/attestations"

# refused STATUS MEMBER BODY
refused() {
    ask "$1" -H "$json" -d "$3" "$base/v1/attestations"
    head_has '^content-type: application/problem+json'
    head_has '^cache-control: no-store'
    out_has "\"status\":$1"
    out_has '"type":"urn:attestd:problem:'
    out_has '"detail":"[^"]'
    out_has '"request_id":"[^"]'
    [ -z "$2" ] || out_has "\"member\":\"$2\""
}
identity='"agent_identity":{"model_family":"f","model_version":"v","provider":"p"}'
refused 400 '' ''
refused 400 '' '{'
refused 400 '' '[]'
refused 400 '' '"a"'
refused 400 '' "$good$good"
refused 400 '' '{"audience":"a","audience":"b"}'
refused 400 '' '{"audience":"\ud800"}'
refused 400 '' "{\"audience\":$(printf '[%.0s' $(seq 200))"
refused 400 '' "{\"audience\":$(printf '{"a":%.0s' $(seq 200))"
refused 400 surplus "{\"surplus\":1,${good#?}"
refused 400 agent_identity.surplus '{"audience":"https://s.example","agent_identity":{"model_family":"f","model_version":"v","provider":"p","surplus":1}}'
refused 400 audience "{$identity}"
refused 400 audience "{\"audience\":1,$identity}"
refused 400 audience "{\"audience\":[],$identity}"
refused 400 agent_identity '{"audience":"https://s.example"}'
refused 400 agent_identity.provider '{"audience":"https://s.example","agent_identity":{"model_family":"f","model_version":"v"}}'
refused 400 agent_identity.model_version '{"audience":"https://s.example","agent_identity":{"model_family":"f","model_version":7,"provider":"p"}}'
refused 400 lifetime_s "{\"lifetime_s\":\"300\",${good#?}"
refused 400 lifetime_s "{\"lifetime_s\":1.5,${good#?}"
refused 400 cnf "{\"cnf\":7,${good#?}"
refused 400 cnf_proof "{\"cnf\":{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}},${good#?}"

head -c 16385 /dev/zero | tr '\0' ' ' >"$dir/large"
ask 413 -H "$json" --data-binary "@$dir/large" "$base/v1/attestations"
head -c 3000000 /dev/zero | tr '\0' ' ' >"$dir/huge"
ask 413 -H "$json" -H 'Expect: 100-continue' --data-binary "@$dir/huge" "$base/v1/attestations"
ask 415 -H 'Content-Type: text/json' -d "$good" "$base/v1/attestations"
ask 415 -H 'Content-Type:' -d "$good" "$base/v1/attestations"
ask 503 -H 'Content-Type: application/json; charset=utf-8' -d "$good" "$base/v1/attestations"
ask 501 -H "$json" -H 'Transfer-Encoding: chunked' -d "$good" "$base/v1/attestations"
ask 405 "$base/v1/attestations"
head_has '^allow: POST'
ask 405 -X DELETE "$base/.well-known/jwks.json"
head_has '^allow: GET, HEAD'
ask 404 "$base/metrics"
ask 404 "$base/v1/attestations/"
ask 404 "http://127.0.0.1:$admin_port/.well-known/jwks.json"

# ---- what is served ----

ask 200 "$base/healthz"
ask 503 "$base/readyz"
out_has '"ready":false'; out_has 'attest-signer'
ask 503 "$base/.well-known/jwks.json"
head_has '^retry-after:'
for document in openid-configuration oauth-authorization-server; do
    ask 200 "$base/.well-known/$document"
    head_has '^access-control-allow-origin: \*'; head_has '^content-type: application/json'
    out_has '"jwks_uri":"http://127.0.0.1/.well-known/jwks.json"'
done
ask 200 -I "$base/.well-known/openid-configuration"
ask 200 --http1.0 "$base/healthz"
ask 200 "http://127.0.0.1:$admin_port/healthz"
ask 200 "http://127.0.0.1:$admin_port/metrics"
head_has '^content-type: text/plain; version=0.0.4'
out_has '^attestd_http_requests_total{route="/healthz",status="200"} '
out_has '^attestd_signer_up 0'
attestd_stop
grep -q 'event=stopped' "$dir/attestd.log" || complain 'no word at the end'

# ---- the door ----

mkfifo "$dir/silence"
exec 3<>"$dir/silence"
# silent_ones TIMEOUT_MS: attestd, and two that send nothing
silent_ones() {
    attestd_config 'per_address_max: 2' "request_timeout_ms: $1"
    attestd_start
    curl -s -m 60 "telnet://127.0.0.1:$port" <"$dir/silence" & one=$!
    curl -s -m 60 "telnet://127.0.0.1:$port" <"$dir/silence" & two=$!
}
silent_ones_gone() {
    kill $one $two 2>/dev/null
    wait $one $two 2>/dev/null
    attestd_stop
}
# they hold both places
silent_ones 60000
inside() { [ "$(metric attestd_connections)" = 2 ]; }
wait_for 20 inside || complain 'the silent ones did not get in'
full() { ! curl -sf "http://127.0.0.1:$port/healthz"; }
wait_for 20 full || complain 'a third connection got in'
silent_ones_gone
# until the deadline
silent_ones 1000
late() { [ "$(metric 'attestd_refused_total{reason="request_late"}')" -ge 2 ]; }
wait_for 20 late || complain 'late connections were not counted'
wait_for 20 curl -sf "http://127.0.0.1:$port/healthz" || complain 'the silent ones were not sent away'
silent_ones_gone
exit $failed
