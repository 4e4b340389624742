#!/bin/sh
# attest verify --root-key: keys from a signed key set and from nowhere else; what is said when it will
# not do. No daemon: the sets come from files.
set -u
attest=$top_builddir/attest mint=$top_builddir/tests/support/minttoken
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
unset ATTEST_ISSUER ATTEST_SOCKET ATTEST_KEY
cd "$dir" || exit 1
issuer=https://ai.example.com
failed=0
fail() {
    echo "cli_root_key: $*"
    failed=1
}

# expect STATUS CODE TEXT OPTIONS…: of verifying the token in `token`; CODE in the verdict ("none": there is
# no verdict), TEXT on standard error.
expect() {
    want=$1 code=$2 text=$3
    shift 3
    "$attest" verify --issuer $issuer --audience https://mcp.example.com "$@" <token >out 2>err
    status=$?
    [ $status -eq "$want" ] || fail "$*: status $status, not $want: $(cat out err)"
    [ "$(wc -l <err)" -le 1 ] || fail "$*: more than one line on standard error"
    case "$(cat err)" in *"$text"*) ;; *) fail "$*: '$(cat err)' does not say '$text'" ;; esac
    case $code in
        none) [ ! -s out ] || fail "$*: a verdict: $(cat out)" ;;
        *) grep -q "\"error_code\":$code," out || fail "$*: not $code: $(cat out)" ;;
    esac
}
kid_of() { sed 's/.*"kid":"\([^"]*\)".*/\1/'; }

"$mint" token >token || exit 1
"$mint" jwks >jwks
"$mint" root 7 >root.jwk
"$mint" root 8 >other.jwk
"$mint" signed 7 0 >set.jwt

expect 0 null "" --jwks set.jwt --root-key root.jwk
[ -s err ] && fail "a word too many: $(cat err)"
expect 0 null "" --jwks set.jwt --root-key other.jwk --root-key root.jwk
printf '{"keys":[%s,%s]}\n' "$(cat other.jwk)" "$(cat root.jwk)" >roots.jwks
expect 0 null "" --jwks set.jwt --root-key roots.jwks
x=$(sed 's/.*"x":"\([^"]*\)".*/\1/' root.jwk)
{
    echo '-----BEGIN PUBLIC KEY-----'
    { printf '\060\052\060\005\006\003\053\145\160\003\041\000'
      printf '%s=' "$x" | tr -- '-_' '+/' | base64 -d; } | base64 -w 0
    printf '\n-----END PUBLIC KEY-----\n'
} >root.pem
expect 0 null "" --jwks set.jwt --root-key root.pem

# By nobody else's word.
expect 3 1012 "is not a pinned root" --jwks set.jwt --root-key other.jwk
grep -q "is not a pinned root; if the issuer has changed its root" err || fail "what next: $(cat err)"
expect 3 1012 "jwks.jwt" --jwks jwks --root-key root.jwk
"$attest" verify --issuer https://ai.example.org --audience https://x.example.com --jwks set.jwt --root-key root.jwk \
    <token >out 2>err
[ $? -eq 1 ] || fail "another issuer's set, and a token that is of neither" # without any key
grep -q -- "--jwks must be of the --issuer" err || fail "another issuer's set: $(cat err)"
tr 'A-Ma-m' 'a-mA-M' <set.jwt >bent.jwt
expect 3 1012 "" --jwks bent.jwt --root-key root.jwk
: >empty
expect 3 1012 "" --jwks empty --root-key root.jwk
head -c 70000 /dev/zero | tr '\0' a >long
expect 3 none "" --jwks long --root-key root.jwk

# Too old, too new, revoked.
"$mint" signed 7 3640 >old.jwt
expect 3 1012 "signer is not running" --jwks old.jwt --root-key root.jwk
"$mint" signed 7 -300 >early.jwt
expect 3 1012 "clock" --jwks early.jwt --root-key root.jwk
"$mint" signed 7 0 revoked >revoked.jwt
expect 1 1011 "" --jwks revoked.jwt --root-key root.jwk
grep -q "stolen" out || fail "not said why it was revoked: $(cat out)"
"$mint" token exp 1700000300 iat 1700000000 nbf 1700000000 >token
expect 1 1001 "" --jwks set.jwt --root-key root.jwk
"$mint" token >token

# A change ahead: said once, with the key to pin, until it is pinned.
"$mint" signed 7 0 next 8 >change.jwt
expect 0 null "about to change" --jwks change.jwt --root-key root.jwk
sed 's/.*--root-key: //' err >next.jwk
"$mint" signed 8 0 >changed.jwt
expect 0 null "" --jwks changed.jwt --root-key next.jwk
expect 0 null "" --jwks change.jwt --root-key root.jwk --root-key next.jwk
[ -s err ] && fail "said although it is pinned: $(cat err)"
expect 3 1012 "$(kid_of <next.jwk)" --jwks changed.jwt --root-key root.jwk

# What is no root key.
"$attest" keygen --name own --output-dir . >/dev/null || fail keygen
expect 3 none "private key" --jwks set.jwt --root-key own_private.pem
expect 3 none "--root-key takes" --jwks set.jwt --root-key nowhere
expect 3 none "--root-key takes" --jwks set.jwt --root-key empty
expect 3 none "--root-key takes" --jwks set.jwt --root-key set.jwt
sed 's/}$/,"d":"AAAA"}/' root.jwk >private.jwk
expect 3 none "private" --jwks set.jwt --root-key private.jwk
expect 3 none "at most" --jwks set.jwt $(for i in 1 2 3 4 5 6 7 8 9; do
    "$mint" root $((i + 10)) >r$i
    echo "--root-key r$i"
done)
expect 2 none "given twice" --jwks set.jwt --jwks set.jwt --root-key root.jwk
exit $failed
