#!/bin/sh
# attest against a running issuer: tokens over the UNIX socket, verified with the published keys.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/issuer.sh"
. "$top_srcdir/tests/support/need.sh"
trap 'stop_issuer; rm -rf "$dir"' EXIT
attest=$top_builddir/attest
unset ATTEST_ISSUER ATTEST_SOCKET ATTEST_KEY
need_curl
start_issuer
failed=0
fail() {
    echo "cli_issuer: $*"
    failed=1
}
ask() {
    "$attest" token --audience https://mcp.example.com --model-family claude-4 \
        --model-version claude-sonnet-4 --provider anthropic "$@" 2>"$dir/err"
}
verify() {
    "$attest" verify --audience https://mcp.example.com "$@" >"$dir/verdict" 2>"$dir/err"
}
says() {
    grep -qF -- "$1" "$2" || fail "not said: $1: $(cat "$2")"
}

token=$(ask --socket "$MINT_SOCKET") || fail "no token: $(cat "$dir/err")"
echo "$token" | verify --issuer "$ISSUER" || fail "not verified: $(cat "$dir/verdict" "$dir/err")"
says '"verified":true' "$dir/verdict"
says '"trust_level":"provider"' "$dir/verdict"
verify --issuer "$ISSUER" --jwks "$ISSUER/.well-known/jwks.json" "$token" || fail "by URL of the keys"
curl -fs -o "$dir/jwks.json" "$ISSUER/.well-known/jwks.json"
verify --issuer "$ISSUER" --jwks "$dir/jwks.json" "$token" || fail "by file of the keys"
verify --issuer "$ISSUER" --jwks "$ISSUER/healthz" "$token"
[ $? -eq 3 ] || fail "something that is no key set was taken for one"
verify --issuer "$ISSUER" --jwks "$ISSUER/nowhere" "$token"
[ $? -eq 3 ] || fail "a 404 was taken for a key set"
says '"error_code":1012' "$dir/verdict"
verify --issuer http://127.0.0.1:9 --jwks "$dir/jwks.json" "$token"
[ $? -eq 1 ] || fail "another issuer's token"
says 1004 "$dir/verdict"

# A policy file may trust others than the one whose token is wanted.
other=https://ai.example.com
both() {
    printf '%s\n' "mode: $1" "loopback_http: true" "issuers:" \
        "  - {issuer: $ISSUER, trust: provider, trust_domains: [$2], providers: [anthropic]}" \
        "  - {issuer: '$other', trust: provider, trust_domains: [other.example], providers: [other]}" \
        >"$dir/both.yaml"
    verify --policy "$dir/both.yaml" --issuer "$other" --jwks "$ISSUER/.well-known/jwks.json" "$token"
}
domain=$("$attest" inspect --json "$token" | sed 's|.*spiffe://\([^/]*\)/.*|\1|')
both required "$domain"
[ $? -eq 1 ] || fail "another's token: $(cat "$dir/verdict" "$dir/err")"
says '"verified":false,"allowed":false' "$dir/verdict"
says "the token is of $ISSUER, not of $other" "$dir/verdict"
says '"error_code":1004,"rpc_code":-32005' "$dir/verdict"
both preferred "$domain"
[ $? -eq 1 ] || fail "another's token, preferred: $(cat "$dir/verdict" "$dir/err")"
says '"verified":false,"allowed":true' "$dir/verdict"

# A key that is not in the set is asked for once more, and then unknown.
"$top_builddir/tests/support/minttoken" token iss "\"$ISSUER\"" >"$dir/stranger"
verify --issuer "$ISSUER" <"$dir/stranger"
[ $? -eq 1 ] || fail "a stranger's key: $(cat "$dir/verdict" "$dir/err")"
says '"error_code":1010' "$dir/verdict"

# The environment stands for the options.
token=$(ATTEST_SOCKET=$MINT_SOCKET ask) || fail "by environment: $(cat "$dir/err")"
echo "$token" | ATTEST_ISSUER=$ISSUER verify - || fail "by environment"

ask --socket "$MINT_SOCKET" --output json --deployment-id d-1 \
    --config-hash "sha256:$(printf x | sha256sum | cut -d' ' -f1)" >"$dir/answer" || fail "json"
says '"token_type"' "$dir/answer"
says '"expires_at"' "$dir/answer"

# Bound to a key, by --cnf-key and by --key.
"$attest" keygen --name agent --output-dir "$dir" >/dev/null || fail "keygen"
token=$(ask --socket "$MINT_SOCKET" --issuer "$ISSUER" --cnf-key "$dir/agent_private.pem") ||
    fail "bound: $(cat "$dir/err")"
verify --issuer "$ISSUER" "$token"
says 1015 "$dir/verdict"
proof=$(echo "$token" | "$attest" prove --audience https://mcp.example.com --key "$dir/agent_private.pem")
echo "$token" | verify --issuer "$ISSUER" --proof "$proof" || fail "with proof: $(cat "$dir/verdict")"
# attestd says itself who the issuer is that the proof of the key has to name.
token=$(ask --socket "$MINT_SOCKET" --cnf-key "$dir/agent_private.pem") ||
    fail "bound, by the socket alone: $(cat "$dir/err")"
verify --issuer "$ISSUER" "$token"
says 1015 "$dir/verdict"
ask --socket "$MINT_SOCKET" --issuer http://127.0.0.1:9 --cnf-key "$dir/agent_private.pem" >"$dir/out"
[ $? -eq 1 ] || fail "a proof for another issuer: $(cat "$dir/out" "$dir/err")"
says "cnf_proof: iss" "$dir/out"
ask --socket "$MINT_SOCKET" --issuer "$ISSUER" --key "$dir/agent_private.pem" >"$dir/token" ||
    fail "by --key: $(cat "$dir/err")"
verify --issuer "$ISSUER" <"$dir/token"
says 1015 "$dir/verdict"

# Refusals name the member and what to look at; over TCP nobody is known.
ask --socket "$MINT_SOCKET" --config-hash nonsense >"$dir/out"
[ $? -eq 1 ] || fail "a wrong hash was not refused: $(cat "$dir/err")"
says config_hash "$dir/err"
says "look at --config-hash" "$dir/err"
grep -q "config_hash.*config_hash" "$dir/err" && fail "the member is named twice: $(cat "$dir/err")"
says refused "$dir/out"
ask --socket "$MINT_SOCKET" --config-hash nonsense --json >"$dir/out"
says '"status":400' "$dir/out"
ask --issuer "$ISSUER" >"$dir/out"
[ $? -eq 1 ] || fail "over TCP, unknown: $(cat "$dir/err")"
stop_daemon "$SIGNER_PID"
SIGNER_PID=
ask --socket "$MINT_SOCKET" >"$dir/out"
[ $? -eq 3 ] || fail "without a signer: $(cat "$dir/err")"
says "try again later" "$dir/err"
[ -s "$dir/out" ] && fail "something on standard output that is no token"
exit $failed
