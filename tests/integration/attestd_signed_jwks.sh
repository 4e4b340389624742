#!/bin/sh
# The signed key set from a real signer, by way of attestd, to a verifier that pins the root: renewal, a
# change of the root, a signer that is away, a revocation.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/issuer.sh"
. "$top_srcdir/tests/support/need.sh"
trap 'stop_issuer; rm -rf "$dir"' EXIT
unset ATTEST_ISSUER ATTEST_SOCKET ATTEST_KEY
need_curl
# Long enough for a slow machine to see both sides of the change, and for the set to be renewed meanwhile.
EXTRA_SIGNER='signed_keyset_lifetime_s: 16
jwks_max_age_s: 9
rollover: {root_lead_s: 11, verifier_cache_max_s: 0, propagation_s: 1, skew_s: 1}'
start_issuer
jwt=$ISSUER/.well-known/jwks.jwt
audience=https://mcp.example.com
failed=0
fail() {
    echo "attestd_signed_jwks: $*"
    failed=1
}
ctl() { "$top_builddir/attestctl" key "$@" --socket "$ADMIN_SOCKET"; }
token() {
    "$top_builddir/attest" token --socket "$MINT_SOCKET" --audience $audience --model-family f \
        --model-version v --provider p
}
# verify OPTION…: the token in `token`; the verdict in `out`.
verify() {
    "$top_builddir/attest" verify --issuer "$ISSUER" --audience $audience "$@" <"$dir/token" \
        >"$dir/out" 2>"$dir/err"
}
said() { fail "$*: $(cat "$dir/out" "$dir/err")"; }
# eventually COMMAND…: within a minute.
eventually() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || return 1
        sleep 0.2
    done
}
header() { sed -n "s/^$1: *//Ip" "$dir/head" | tr -d '\r'; }
metric() {
    curl -fs --unix-socket "$METRICS_SOCKET" http://a/metrics |
        awk -v name="$1" '$1 == name { print $2 }'
}

eventually curl -fs -o "$dir/set" -D "$dir/head" "$jwt" || fail "no signed set"
[ "$(header content-type)" = application/jwk-set+jwt ] || fail "type: $(cat "$dir/head")"
[ "$(header cache-control)" = "public, max-age=5" ] || fail "cache: $(cat "$dir/head")"
etag=$(header etag)
case $(curl -s -o /dev/null -w '%{http_code}' -H "If-None-Match: $etag" "$jwt") in
    304 | 200) ;; # it may have been renewed meanwhile
    *) fail "If-None-Match" ;;
esac

ctl public >"$dir/root.jwk" || fail "no root key to pin"
ctl public --format pem >"$dir/root.pem" || fail "no root key in PEM"
"$top_builddir/attest" keygen --name stranger --output-dir "$dir" >/dev/null
token >"$dir/token" || fail "no token"
verify --root-key "$dir/root.jwk" || said "pinned"
verify --root-key "$dir/root.pem" --jwks "$jwt" || said "pinned, PEM, URL"
curl -fs -o "$dir/jwks.jwt" "$jwt"
verify --root-key "$dir/root.jwk" --jwks "$dir/jwks.jwt" || said "pinned, from a file"
verify --root-key "$dir/stranger_public.pem"
[ $? -eq 3 ] || said "another root"
grep -q "not a pinned root" "$dir/err" || said "another root"
verify --root-key "$dir/root.jwk" --jwks "$ISSUER/.well-known/jwks.json"
[ $? -eq 3 ] || said "the unsigned set"
verify --root-key "$dir/root.jwk" --jwks "$ISSUER/nowhere"
[ $? -eq 3 ] || said "nothing there"
grep -q "no signed key set" "$dir/err" || said "nothing there"

[ "$(metric attestd_rollover_running)" = 1 ] || fail "the rotation does not run, by the metrics"
[ "$(metric attestd_signed_jwks_expiry_timestamp_seconds)" -gt "$(date +%s)" ] || fail "no expiry"
[ "$(metric attestd_rotation_due_timestamp_seconds)" -gt "$(date +%s)" ] || fail "no due time"
[ "$(metric attestd_rotation_overdue_timestamp_seconds)" -gt \
    "$(metric attestd_rotation_due_timestamp_seconds)" ] || fail "overdue before due"
curl -fs --unix-socket "$METRICS_SOCKET" http://a/metrics |
    grep -q '^attestd_rollover_next_action_timestamp_seconds{action="' || fail "no next action"
curl -fs "$ISSUER/readyz" | grep -q '"rollover":"running"' || fail "readyz: $(curl -s "$ISSUER/readyz")"

# The root changes: announced, then done; who has pinned both notices nothing.
ctl root-rotate >"$dir/rotate" || fail "root-rotate: $(cat "$dir/rotate")"
announced() { verify --root-key "$dir/root.jwk" && grep -q "about to change" "$dir/err"; }
eventually announced || said "the next root was not announced"
sed 's/.*--root-key: //' "$dir/err" >"$dir/next.jwk"
both() { verify --root-key "$dir/root.jwk" --root-key "$dir/next.jwk"; }
both || said "with both roots pinned"
taken_over() {
    both || fail "refused while the root changed: $(cat "$dir/out" "$dir/err")"
    verify --root-key "$dir/next.jwk"
}
eventually taken_over || said "the next root never signed"
verify --root-key "$dir/root.jwk"
[ $? -eq 3 ] || said "the old root still signs"
kid=$(sed 's/.*"kid":"\([^"]*\)".*/\1/' "$dir/next.jwk")
grep -q -e "$kid" "$dir/err" || said "not said who signs"

# Revoked: 1011 for who pins, with the reason. Who does not pin finds the key gone.
active=$(ctl list --json | tr '{' '\n' | sed -n '/"purpose":"token"/{/"state":"active"/s/.*"kid":"\([^"]*\)".*/\1/p;}')
ctl revoke "$active" --reason "left in a taxi" >"$dir/revoke" || fail "revoke: $(cat "$dir/revoke")"
revoked() { verify --root-key "$dir/next.jwk"; grep -q '"error_code":1011' "$dir/out"; }
eventually revoked || said "the revocation did not arrive"
grep -q "left in a taxi" "$dir/out" || said "without its reason"
verify
grep -q '"error_code":1010' "$dir/out" || said "not pinned"

# The signer is away: what was signed last is served on.
stop_daemon "$SIGNER_PID"
SIGNER_PID=
away() { ! curl -fs -o /dev/null "$ISSUER/readyz"; }
eventually away || fail "ready without a signer"
curl -fs -o "$dir/set" "$jwt" || fail "nothing is served without the signer"
revoked || said "without the signer"
exit $failed
