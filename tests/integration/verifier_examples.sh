#!/bin/sh
# The programs of docs/examples do what docs/verifier.md says, against a real issuer: the server lets in
# who shows a token, once, and whoever proves his key; the loop judges a line at a time without a thread.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/issuer.sh"
server=
trap 'stop_daemon "$server"; stop_issuer; rm -rf "$dir"' EXIT
attest=$top_builddir/attest
unset ATTEST_ISSUER ATTEST_SOCKET ATTEST_KEY
audience=https://mcp.example.com
failed=0
fail() {
    echo "verifier_examples: $*"
    failed=1
}

[ -f "$top_builddir/.libs/libattest.so" ] || { echo "no shared library was built"; exit 77; }
variable() { sed -n "s|^$1 = ||p" "$top_builddir/Makefile"; }
compiler=$(variable CC)
command -v "${compiler%% *}" >/dev/null || { echo "no C compiler: apt-get install gcc"; exit 77; }
"$attest" verify --issuer http://127.0.0.1:1 --audience x </dev/null 2>&1 | grep -q "without libcurl" && exit 77
sanitizer=$(variable HARDEN_LDFLAGS | grep -o -- '-fsanitize=[a-z,]*')
# compile NAME LIBRARIES…: warnings are errors, as they may be for whoever starts from it.
compile() {
    name=$1
    shift
    $compiler $sanitizer -Wall -Wextra -Werror -I "$top_srcdir/include" \
        -o "$dir/$name" "$top_srcdir/docs/examples/$name.c" -L "$top_builddir/.libs" -lattest "$@" \
        -lpthread -Wl,-rpath,"$top_builddir/.libs" 2>"$dir/log" || { fail "$name: $(cat "$dir/log")"; exit 1; }
}
compile server $(pkg-config --cflags --libs libmicrohttpd)
compile loop

start_issuer
ask() {
    "$attest" token --socket "$MINT_SOCKET" --audience $audience --model-family claude-4 \
        --model-version claude-sonnet-4 --provider anthropic "$@" || fail "no token"
}

# ---- the server ----
for _ in 1 2 3 4 5; do
    port=$(random_port)
    "$dir/server" "$ISSUER" $audience "$port" 2>"$dir/server.log" &
    server=$!
    waited=0
    until grep -q "^ready" "$dir/server.log" || ! kill -0 $server 2>/dev/null || [ $waited -ge 600 ]; do
        waited=$((waited + 1))
        sleep 0.1
    done
    grep -q "^ready" "$dir/server.log" && break
done
grep -q "^ready" "$dir/server.log" || { cat "$dir/server.log"; exit 1; }
waited=0
until grep -q "^keys_fetched" "$dir/server.log" || [ $waited -ge 600 ]; do
    waited=$((waited + 1))
    sleep 0.1
done
# knock STATUS TEXT OPTIONS…
knock() {
    want=$1 text=$2
    shift 2
    status=$(curl -s --max-time 30 -o "$dir/body" -w '%{http_code}' "$@" "http://127.0.0.1:$port/")
    [ "$status" = "$want" ] || fail "$text: status $status, not $want: $(cat "$dir/body" "$dir/server.log")"
    grep -qF -- "$text" "$dir/body" || fail "'$text' is not in: $(cat "$dir/body")"
}
token=$(ask)
knock 401 '"error_code":1009'
knock 200 "welcome, spiffe://" -H "Authorization: Bearer $token"
grep -q "trust: provider" "$dir/body" || fail "no trust: $(cat "$dir/body")"
knock 401 '"error_code":1006' -H "Authorization: Bearer $token"
knock 401 '"error_code":1008' -H "Authorization: Bearer nonsense"
"$attest" keygen --name agent --output-dir "$dir" >/dev/null || fail "keygen"
token=$(ask --issuer "$ISSUER" --cnf-key "$dir/agent_private.pem")
prove() { echo "$token" | "$attest" prove --audience $audience --key "$dir/agent_private.pem"; }
knock 401 '"error_code":1015' -H "Authorization: Bearer $token"
for _ in 1 2; do
    knock 200 "welcome" -H "Authorization: Bearer $token" -H "Attestation-Proof: $(prove)"
done
curl -s --max-time 30 "http://127.0.0.1:$port/metrics" >"$dir/metrics"
for line in 'attestation_verification_success_total 3' 'attestation_replay_detected_total 1' \
    'attestation_verification_failure_total{code="1015"} 1' 'attestation_jwks_fetch_total 1' \
    'attestation_circuit_breaker_state{issuer="'"$ISSUER"'",state="closed"} 1' \
    'attestation_verification_duration_seconds_count 7'; do
    grep -qxF -- "$line" "$dir/metrics" || fail "no '$line' in $(cat "$dir/metrics")"
done
for event in "verified code=0 issuer=$ISSUER" "replay code=1006" "refused code=1009"; do
    grep -q "^$event" "$dir/server.log" || fail "not told: $event"
done
kill $server
wait $server
[ $? -eq 0 ] || fail "the server did not end well: $(cat "$dir/server.log")"
server=

# ---- the loop ----
token=$(ask)
printf '%s\n%s\nnonsense\n' "$token" "$token" | timeout 60 "$dir/loop" "$ISSUER" $audience >"$dir/out" 2>"$dir/err" ||
    fail "the loop: $(cat "$dir/err")"
printf 'null\n1006\n1008\n' >"$dir/wanted"
sed 's/.*"error_code":\([a-z0-9]*\),.*/\1/' "$dir/out" >"$dir/codes"
cmp -s "$dir/codes" "$dir/wanted" || fail "the loop says $(cat "$dir/out" "$dir/err")"
exit $failed
