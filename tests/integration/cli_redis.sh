#!/bin/sh
# attest verify with a Redis: new, used, emptied, away. Each run starts anew.
set -u
. "$top_srcdir/tests/support/need.sh"
need_redis
dir=$(mktemp -d) || exit 1
redis=
stop_redis() {
    [ -z "$redis" ] || kill -9 "$redis" 2>/dev/null
    [ -z "$redis" ] || wait "$redis" 2>/dev/null
    redis=
    rm -f "$dir/redis.sock"
}
trap 'stop_redis; rm -rf "$dir"' EXIT
mint=$top_builddir/tests/support/minttoken
failed=0
fail() {
    echo "cli_redis: $*"
    failed=1
}
start_redis() {
    "$redis_server" --port 0 --unixsocket "$dir/redis.sock" --save "" --appendonly no --dir "$dir" \
        >"$dir/redis.log" 2>&1 </dev/null &
    redis=$!
    waited=0
    until "$redis_cli" -s "$dir/redis.sock" ping >/dev/null 2>&1; do
        waited=$((waited + 1))
        [ $waited -lt 600 ] || { echo "no Redis: $(cat "$dir/redis.log")"; exit 1; }
        sleep 0.1
    done
}
ask() {
    token=$1
    shift
    "$top_builddir/attest" verify --issuer https://ai.example.com --jwks "$dir/jwks" \
        --audience https://mcp.example.com --replay "unix://$dir/redis.sock" "$@" - \
        <"$dir/$token" >"$dir/verdict" 2>"$dir/err"
}
# The machine may be too slow for a question, which is 1014 too, in other words than a loss has. Then
# it is asked again; what the question was about may count as seen.
too_slow() { grep -q "no answer" "$dir/err"; }

# accepted TOKEN: which is made here.
accepted() {
    for _ in 1 2 3 4 5 6 7 8; do
        "$mint" token >"$dir/$1" || exit 1
        ask "$1" && return
        too_slow || break
    done
    fail "$1 is not accepted: $(cat "$dir/verdict" "$dir/err")"
}
# verify STATUS TEXT TOKEN [OPTION...]: its status, and what the verdict has to say.
verify() {
    want=$1 text=$2
    shift 2
    for _ in 1 2 3 4 5 6 7 8; do
        ask "$@"
        status=$?
        too_slow || break
    done
    [ $status -eq "$want" ] && grep -qF -- "$text" "$dir/verdict" ||
        fail "$token: status $status, $want and $text expected: $(cat "$dir/verdict" "$dir/err")"
}
"$mint" jwks >"$dir/jwks" || exit 1
now=$(date +%s)
"$mint" token iat $((now - 100)) nbf $((now - 100)) exp $((now + 800)) >"$dir/early"

# One that nobody ever wrote to holds what is dated since it started.
start_redis
accepted one
verify 1 '"error_code":1006' one
accepted two
verify 3 '"error_code":1014,"rpc_code":-32002' early

# A proof is no older than its token.
"$top_builddir/attest" keygen --name agent --output-dir "$dir" >"$dir/cli" 2>&1
"$mint" token cnf "$(printf '{"jwk":{"kty":"OKP","crv":"Ed25519","x":"%s"}}' \
    "$(grep -v -- ----- "$dir/agent_public.pem" | base64 -d | tail -c 32 | base64 | tr '+/' '-_' | tr -d '=\n')")" \
    >"$dir/bound" || exit 1
for _ in 1 2 3 4 5 6 7 8; do
    "$top_builddir/attest" prove --audience https://mcp.example.com --key "$dir/agent_private.pem" \
        <"$dir/bound" >"$dir/proof" 2>"$dir/cli" || fail "no proof: $(cat "$dir/cli")"
    ask bound --proof "$(cat "$dir/proof")" || too_slow || break
done
grep -qF '"verified":true' "$dir/verdict" || fail "bound: $(cat "$dir/verdict" "$dir/err")"

# Emptied, it could have held anything.
"$redis_cli" -s "$dir/redis.sock" flushall >"$dir/cli" 2>&1
verify 3 '"error_code":1014' one
grep -qF "knows nothing of before" "$dir/err" || fail "$(cat "$dir/err")"
verify 3 '"error_code":1014' one

# Away: what is good is not let in, and what is bad is bad.
stop_redis
"$mint" token >"$dir/three" || exit 1
verify 3 '"verified":false,"allowed":false,"trust_level":"none"' three
grep -qF '"error":"replay store unavailable","error_code":1014,"rpc_code":-32002}' "$dir/verdict" ||
    fail "$(cat "$dir/verdict")"
members() { grep -o '"[a-z_]*":' "$dir/verdict"; }
members >"$dir/members"
one_line() { [ "$(wc -l <"$dir/err")" -eq 1 ] || fail "not one line: $(cat "$dir/err")"; }
one_line
grep -qF -- "--replay memory needs no server" "$dir/err" || fail "$(cat "$dir/err")"
verify 3 '"verified":false,"allowed":true' three --policy preferred
echo nonsense >"$dir/nonsense"
verify 1 '"error_code":1008' nonsense
members | cmp -s - "$dir/members" || fail "other members than $(cat "$dir/members"): $(cat "$dir/verdict")"
"$mint" token aud '"https://elsewhere.example.com"' >"$dir/elsewhere"
verify 1 '"error_code":1005' elsewhere
cp "$dir/nonsense" "$dir/jwks" # and the keys with it
verify 3 '"error_code":1012' three
one_line
grep -qF -- "--jwks takes" "$dir/err" || fail "$(cat "$dir/err")"
exit $failed
