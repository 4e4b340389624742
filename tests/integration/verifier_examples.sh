#!/bin/sh
# The programs of docs/examples do what docs/verifier.md says, against a real issuer: the server lets in
# who shows a token, once between all that share a Redis, and whoever proves his key; the loop judges a line at a time without a thread.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/issuer.sh"
. "$top_srcdir/tests/support/need.sh"
servers= redis=
stop_all() {
    [ -z "$redis" ] || kill -CONT "$redis" 2>/dev/null
    for pid in $servers $redis; do
        stop_daemon "$pid"
    done
    stop_issuer
    rm -rf "$dir"
}
trap stop_all EXIT
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
need_curl
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

for port in 0 abc 80x ' 80' +80 65536 99999 4294967376; do
    timeout 10 "$dir/server" https://ai.example.com $audience "$port" 2>"$dir/err"
    [ $? -eq 2 ] || fail "the server took port '$port': $(cat "$dir/err")"
done

start_issuer
ask() {
    "$attest" token --socket "$MINT_SOCKET" --audience $audience --model-family claude-4 \
        --model-version claude-sonnet-4 --provider anthropic "$@" || fail "no token"
}

# until_said TEXT FILE: a line that begins so is there, or nobody writes any more, or a minute has passed.
until_said() {
    waited=0
    until grep -qs "^$1" "$2" || ! kill -0 $server 2>/dev/null || [ $waited -ge 600 ]; do
        waited=$((waited + 1))
        sleep 0.1
    done
    grep -qs "^$1" "$2"
}
# start_server LOG EVENT OPTIONS…: sets server and port, and waits until that was told of the keys.
start_server() {
    log=$1 event=$2
    shift 2
    for _ in 1 2 3 4 5; do
        port=$(random_port)
        "$dir/server" "$@" "$ISSUER" $audience "$port" 2>"$dir/$log" &
        server=$!
        servers="$servers $server"
        until_said ready "$dir/$log" && break
    done
    until_said "$event" "$dir/$log" || { cat "$dir/$log"; exit 1; }
}

# ---- the server ----
"$top_builddir/attestctl" key public --socket "$ADMIN_SOCKET" >"$dir/root.jwk" || fail "no root key"
start_server server.log keys_fetched -k "$dir/root.jwk"
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
knock 200 "welcome, spiffe://" -H "Authorization: bearer $token"
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
for line in 'attestation_verification_success_total 3' 'attestation_token_cache_hits_total 1' 'attestation_replay_detected_total 1' \
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

# ---- another's root: this issuer's key sets are worth nothing ----
timeout 10 "$dir/server" -k "$dir/none.jwk" "$ISSUER" $audience 9 2>"$dir/err"
[ $? -eq 3 ] || fail "a root that is not there: $(cat "$dir/err")"
"$top_builddir/attestctl" key public --purpose token --format jwk --socket "$ADMIN_SOCKET" >"$dir/other.jwk" ||
    fail "no other key"
start_server other.log 'keys_fetch_failed code=1010' -k "$dir/other.jwk"
knock 503 '"error_code":1012' -H "Authorization: Bearer $(ask)"

# ---- two servers and one Redis ----
# welcome_again: a pause that is over is noticed at the next token, or one of those after it.
welcome_again() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        curl -s --max-time 30 -H "Authorization: Bearer $(ask)" "http://127.0.0.1:$port/" >"$dir/body"
        grep -q welcome "$dir/body" && return
        sleep 1
    done
    fail "Redis is back, and nobody is let in: $(cat "$dir/body" "$dir/two.log")"
}
shared() {
    "$redis_server" --port 0 --unixsocket "$dir/redis.sock" --save "" --appendonly no --dir "$dir" \
        --maxmemory-policy noeviction >"$dir/redis.log" 2>&1 &
    redis=$!
    # New, and nobody has forgotten anything: else tokens of before, and of minutes, would be refused.
    waited=0
    until "$redis_cli" -e -s "$dir/redis.sock" set 'attest:{seen}:epoch' new nx >"$dir/redis.cli" 2>&1; do
        waited=$((waited + 1))
        [ $waited -lt 600 ] || { fail "Redis does not answer: $(cat "$dir/redis.cli")"; break; }
        sleep 0.1
    done
    start_server one.log keys_fetched -r "unix://$dir/redis.sock"
    token=$(ask)
    knock 200 "welcome" -H "Authorization: Bearer $token"
    start_server two.log keys_fetched -k "$dir/root.jwk" -r "unix://$dir/redis.sock"
    knock 401 '"error_code":1006' -H "Authorization: Bearer $token"
    kill -STOP $redis
    for _ in 1 2 3; do
        knock 503 '"error_code":1014' -D "$dir/head" -H "Authorization: Bearer $(ask)"
    done
    grep -qi "^retry-after: 60" "$dir/head" || fail "not told when to try again: $(cat "$dir/head")"
    grep -q "^replay_store code=1014 issuer=- state=unhealthy ." "$dir/two.log" ||
        fail "not told that Redis is away: $(cat "$dir/two.log")"
    kill -CONT $redis
    welcome_again
    grep -q "^replay_store code=0 issuer=- state=healthy ." "$dir/two.log" ||
        fail "not told that Redis is back: $(cat "$dir/two.log")"
    curl -s --max-time 30 "http://127.0.0.1:$port/metrics" >"$dir/metrics"
    grep -qxF 'attestation_replay_state{state="healthy"} 1' "$dir/metrics" || fail "$(cat "$dir/metrics")"
}
if built_with REDIS; then
    need_redis
    shared
fi

# ---- the loop ----
token=$(ask)
{ printf '%s\n%s\n' "$token" "$token" && head -c 40000 /dev/zero | tr '\0' a && printf '\nnonsense'; } | timeout 600 "$dir/loop" "$ISSUER" $audience "$dir/root.jwk" >"$dir/out" 2>"$dir/err" ||
    fail "the loop: $(cat "$dir/err")"
printf 'null\n1006\n1008\n1008\n' >"$dir/wanted"
sed 's/.*"error_code":\([a-z0-9]*\),.*/\1/' "$dir/out" >"$dir/codes"
cmp -s "$dir/codes" "$dir/wanted" || fail "the loop says $(cat "$dir/out" "$dir/err")"
exit $failed
