#!/bin/sh
# The commands of attest that need no daemon: right and wrong use, what they print, how they exit.
set -u
. "$top_srcdir/tests/support/need.sh"
attest=$top_builddir/attest mint=$top_builddir/tests/support/minttoken
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
unset ATTEST_ISSUER ATTEST_SOCKET ATTEST_KEY
cd "$dir" || exit 1
failed=0

fail() {
    echo "cli: $*"
    failed=1
}

# expect STATUS TEXT-OF-STDERR COMMAND…: stdin, if any, comes from the file `in`.
expect() {
    want=$1 text=$2
    shift 2
    "$attest" "$@" <in >out 2>err
    status=$?
    [ $status -eq "$want" ] || fail "attest $*: status $status, not $want: $(cat err)"
    [ "$(wc -l <err)" -le 1 ] || fail "attest $*: more than one line on standard error"
    if [ "$want" -ge 2 ]; then
        [ -s err ] || fail "attest $*: no word on standard error"
    fi
    case "$(cat err)" in *"$text"*) return ;; *"without libcurl"*) built_with CURL || return ;; esac
    fail "attest $*: '$(cat err)' does not say '$text'"
}

says() {
    grep -qF -- "$1" out || fail "not in the answer: $1: $(cat out)"
}

: >in
# A build without libcurl says so wherever it would ask somebody.
built_with CURL && unasked=2 || unasked=3

# ---- the command line itself ----
expect 2 "attest --help"
expect 2 "unknown command 'frobnicate'" frobnicate
expect 0 "" --help
says "token"
expect 0 "" --version
says "0.1.0"
for command in token verify verify-evidence prove inspect keygen attack; do
    expect 0 "" $command --help
    says "attest $command"
    expect 0 "" $command --version
    expect 2 "unknown option '--nonsense'" $command --nonsense
    expect 2 "unknown option '-x'" $command -x
    expect 2 "takes no value" $command --json=1
done
expect 2 "wants a value" verify --issuer
expect 2 "wants a value" verify --issuer=
expect 2 "given twice" verify --issuer a --issuer b
expect 2 "too many arguments" inspect a b
expect 2 "too many arguments" keygen a
expect 2 "--policy is required|preferred|optional or a file, and there is no file 'maybe'" \
    verify --issuer https://a.example --audience https://b.example --policy maybe x
expect 2 "--issuer is missing" verify --audience x
expect 2 "--audience is missing" verify --issuer https://ai.example.com

# ---- verify ----
"$mint" jwks >jwks || exit 1
issuer=https://ai.example.com audience=https://mcp.example.com
verify() {
    want=$1 text=$2
    shift 2
    expect "$want" "$text" verify --issuer $issuer --jwks jwks --audience $audience "$@"
}
"$mint" token >in || exit 1
verify 0 ""
says '"verified":true'
says '"trust_level":"provider"'
says '"subject":"spiffe://ai.example.com/model/claude-sonnet-4"'
says '"error_code":null'
verify 0 "" -
verify 0 "" --json
verify 0 "" "$(cat in)"
verify 0 "" -- "$(cat in)"
ATTEST_ISSUER=$issuer expect 0 "" verify --jwks jwks --audience $audience
verify 0 "" --replay memory
printf '\n\t %s \r\n' "$(cat in)" >padded && mv padded in
verify 0 ""

refused() {
    code=$1 rpc=$2
    shift 2
    verify 1 "" "$@"
    says '"verified":false,"allowed":false'
    says "\"error_code\":$code,\"rpc_code\":$rpc"
    # What a policy lets in was not verified for that.
    verify 1 "" --policy preferred "$@"
    says '"verified":false,"allowed":true,"trust_level":"none"'
    verify 1 "" --policy optional "$@"
    says "\"error_code\":$code"
}
"$mint" token exp 1700000300 iat 1700000000 nbf 1700000000 >in
refused 1001 -32003
"$mint" token nbf 4000000000 iat 4000000000 exp 4000000300 >in
refused 1002 -32002
"$mint" token | sed 's/.....$/AAAAA/' >in
refused 1003 -32002
"$mint" token iss '"https://other.example.com"' >in
refused 1004 -32005
"$mint" token aud '"https://elsewhere.example.com"' >in
refused 1005 -32002
"$mint" token jti '' >in
refused 1007 -32006
echo nonsense >in
refused 1008 -32002
head -c 20000 /dev/zero | tr '\0' a >in
refused 1008 -32002
: >in
refused 1009 -32001
"$mint" token exp "$(($(date +%s) + 2000))" >in
refused 1013 -32006
"$mint" token cnf '{"jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}' >in
refused 1015 -32002
refused 1016 -32002 --proof nonsense
"$mint" jwks | sed 's/"kid":"./"kid":"_/' >jwks
"$mint" token >in
refused 1010 -32002
"$mint" jwks >jwks

# A policy from a file: it names the audience, and says what the token must hold.
printf 'audiences: [%s]\nissuers:\n  - {issuer: %s, trust: provider}\n' $audience $issuer >policy.yaml
from_file() {
    want=$1 text=$2
    shift 2
    expect "$want" "$text" verify --jwks jwks --policy policy.yaml "$@"
}
"$mint" token >in
from_file 0 "" --issuer $issuer
says '"verified":true'
from_file 2 "--issuer: policy: https://other.example.com is none of its issuers" --issuer https://other.example.com
"$attest" verify --jwks jwks --issuer $issuer --policy - "$(cat in)" <policy.yaml >out 2>err ||
    { cat err; fail "a policy from standard input"; }
says '"verified":true'
expect 2 ".: not a regular file" verify --jwks jwks --issuer $issuer --policy .
from_file 0 "" --issuer $issuer --audience $audience
from_file 2 "--audience: policy: https://other.example is none of its audiences" --issuer $issuer \
    --audience https://other.example
sed 's|^audiences:.*|audiences: [https://other.example, https://mcp.example.com]|' policy.yaml >two.yaml
two() { expect "$1" "" verify --jwks jwks --policy two.yaml --issuer $issuer --audience "$2"; }
two 0 $audience
two 1 https://other.example
says '"error_code":1005'
echo 'require: [cnf]' >>policy.yaml
from_file 1 "" --issuer $issuer
says '"error_code":1007'
echo 'requires: [cnf]' >>policy.yaml
from_file 2 "policy.yaml: line 5: unknown key 'requires'; did you mean 'require'" --issuer $issuer
printf 'issuers: [{issuer: %s, trust: provider}]\n' $issuer >policy.yaml
from_file 2 "no audience" --issuer $issuer
from_file 0 "" --issuer $issuer --audience $audience

head -c 70000 /dev/zero | tr '\0' a >in
verify 3 "longer than"

# Keys that cannot be had are not a verdict on the token.
"$mint" token >in
expect 3 "nowhere" verify --issuer $issuer --jwks nowhere --audience $audience
echo '{"keys":[]}' >empty
expect 3 "--jwks takes" verify --issuer $issuer --jwks empty --audience $audience
# What is no key set is one that could not be had; what is wrong without any key is that all the same.
sed 's/^{"keys":\[\(.*\)\]}$/{"keys":[\1,\1]}/' jwks >twice
expect 3 "one kid is there twice" verify --issuer $issuer --jwks twice --audience $audience
says '"verified":false,"allowed":false'
says '"error_code":1012,"rpc_code":-32002'
expect 1 "one kid is there twice" verify --issuer $issuer --jwks twice --audience $audience x
says '"error_code":1008'
expect 3 "" verify --issuer $issuer --jwks . --audience $audience
expect $unasked "only https" verify --issuer $issuer --jwks http://ai.example.com/jwks --audience $audience
expect $unasked "user in it" verify --issuer $issuer --jwks https://u:p@127.0.0.1/ --audience $audience
expect 2 "" verify --issuer http://ai.example.com --jwks jwks --audience $audience
expect 2 "--alg: " verify --issuer $issuer --jwks jwks --audience $audience --alg HS256
expect 2 "there is no wildcard" verify --issuer $issuer --jwks jwks --audience '*'
from_file 2 "it is the file's algs that count" --issuer $issuer --alg EdDSA
expect 2 "" verify --issuer nonsense --jwks jwks --audience $audience
expect 2 "--replay takes" verify --issuer $issuer --jwks jwks --audience $audience --replay disk
# That memory needs no server is said to whom the server is away, and to nobody who did something wrong.
expect 3 "no Redis is named" verify --issuer $issuer --jwks jwks --audience $audience --replay-password-file nowhere
grep -q "needs no server" err && fail "talked out of Redis: $(cat err)"
if built_with REDIS; then
    expect 3 "; --replay memory needs no server" verify --issuer $issuer --jwks jwks --audience $audience \
        --replay "unix://$dir/none"
fi
# Nothing listens on port 1 of 127.0.0.1 in any sane place.
away() {
    want=$1
    shift
    expect "$want" "--jwks FILE" verify --issuer http://127.0.0.1:1 --audience $audience "$@"
}
if ! built_with CURL; then
    away 3
else
    away 1
    says '"error_code":1004,"rpc_code":-32005'
    "$mint" token iss '"http://127.0.0.1:1"' >in
    away 3
    says '"allowed":false'
    says '"error":"keys could not be fetched","error_code":1012,"rpc_code":-32002'
    for mode in preferred optional; do
        away 3 --policy $mode
        says '"verified":false,"allowed":true'
        says '"error_code":1012'
    done
    : >in
    away 1
    says '"error_code":1009'
    away 1 --policy optional
    says '"error_code":1009'
    "$mint" token >in
fi
verify_full() {
    "$attest" verify --issuer $issuer --jwks jwks --audience $audience <in >/dev/full 2>err
}
if [ -e /dev/full ]; then
    verify_full
    [ $? -eq 3 ] || fail "an answer that could not be written was given as done"
    for program in attest attestctl attestd attest-signer; do
        for option in --help --version; do
            "$top_builddir/$program" $option >/dev/full 2>err
            [ $? -eq 3 ] || fail "$program $option that could not be written was given as done"
            [ "$(wc -l <err)" -eq 1 ] || fail "$program $option: not one line: $(cat err)"
        done
    done
fi

# ---- keygen ----
umask 022
expect 3 "keys/deep: the directory above it is not there; mkdir -p" keygen --name agent --output-dir keys/deep
[ -e keys ] && fail "a path of directories was made"
mkdir keys
expect 0 "made the directory keys/deep" keygen --name agent --output-dir keys/deep --comment "build bot"
says "fingerprint"
[ "$(stat -c %a keys/deep/agent_private.pem)" = 600 ] || fail "private key is not 600"
[ "$(stat -c %a keys/deep/agent_public.pem)" = 644 ] || fail "public key is not 644"
grep -q "^build bot$" keys/deep/agent_public.pem || fail "no comment in the public file"
before=$(cat keys/deep/agent_private.pem)
expect 3 "already there" keygen --name agent --output-dir keys/deep
rm keys/deep/agent_public.pem
expect 3 "already there" keygen --name agent --output-dir keys/deep
[ "$before" = "$(cat keys/deep/agent_private.pem)" ] || fail "a private key was overwritten"
expect 0 "" keygen --extract-public keys/deep/agent_private.pem
cp out public.pem
expect 0 "" keygen --fingerprint public.pem
cp out fingerprint
grep -qE '^[0-9a-f]{64}$' fingerprint || fail "no fingerprint: $(cat fingerprint)"
expect 0 "" keygen --fingerprint keys/deep/agent_private.pem
cmp -s out fingerprint || fail "both halves have one fingerprint"
if command -v openssl >/dev/null; then
    openssl pkey -in keys/deep/agent_private.pem -pubout 2>/dev/null | cmp -s - public.pem ||
        fail "openssl reads another public key"
    openssl pkey -pubin -in public.pem -outform DER 2>/dev/null | tail -c 32 | sha256sum |
        cut -d' ' -f1 | cmp -s - fingerprint || fail "openssl and sha256sum find another fingerprint"
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null >ec.pem && chmod 600 ec.pem
    expect 3 "not an Ed25519 key" keygen --fingerprint ec.pem
    openssl pkey -in keys/deep/agent_private.pem -aes128 -passout pass:secret 2>/dev/null >locked.pem
    chmod 600 locked.pem
    expect 3 "not an Ed25519 key" keygen --extract-public locked.pem
fi
chmod 644 keys/deep/agent_private.pem
expect 3 "chmod 600" keygen --fingerprint keys/deep/agent_private.pem
expect 3 "chmod 600" keygen --extract-public keys/deep/agent_private.pem
chmod 600 keys/deep/agent_private.pem
expect 3 "nowhere" keygen --fingerprint nowhere
expect 3 "not a file" keygen --fingerprint .
: >nothing
expect 3 "key file has" keygen --fingerprint nothing
echo junk >junk
expect 3 "not an Ed25519 key" keygen --fingerprint junk
expect 2 "--name is missing" keygen
expect 2 "one thing at a time" keygen --name x --fingerprint junk
expect 2 "--name takes" keygen --name ../x
expect 2 "--name takes" keygen --name .x
expect 2 "--comment takes" keygen --name x --comment "$(printf 'a\nb')"
expect 2 "--comment takes" keygen --name x --comment "-----BEGIN PRIVATE KEY-----"
expect 2 "--format is pem|json" keygen --name x --format der
expect 3 "" keygen --name x --output-dir junk
if [ -e /dev/full ]; then
    "$attest" keygen --name full >/dev/full 2>err
    [ $? -eq 3 ] || fail "keys whose names could not be printed were given as done"
    grep -q "the keys are in full_private.pem and full_public.pem" err || fail "not told of its keys: $(cat err)"
    [ "$(wc -l <err)" -eq 1 ] || fail "not one line: $(cat err)"
fi
expect 0 "" keygen --name y --format json
says '"public_key_file":"y_public.pem"'
if [ "$(id -u)" -ne 0 ]; then
    mkdir sealed && chmod 500 sealed
    expect 3 "sealed" keygen --name x --output-dir sealed
fi

# ---- inspect ----
"$mint" token >in
expect 0 "" inspect
says "NOTHING WAS VERIFIED"
says '"iss": "https://ai.example.com"'
expect 0 "" inspect --json
says '"verified":false'
expect 0 "" inspect --json "$(cat in)"
for bad in nonsense a.b a.b.c.d e30.e30.+ e30.W10.=; do
    echo "$bad" >in
    expect 1 "" inspect
    says "not a token"
    expect 1 "" inspect --json
    says '"error":'
done
: >in
expect 1 "" inspect

# ---- prove ----
"$mint" token cnf "$(printf '{"jwk":{"kty":"OKP","crv":"Ed25519","x":"%s"}}' \
    "$(grep -v -- ----- public.pem | base64 -d | tail -c 32 | base64 | tr '+/' '-_' | tr -d '=\n')")" >in
cp in bound
verify 1 "" && says 1015
expect 0 "" prove --audience $audience --key keys/deep/agent_private.pem
proof=$(cat out)
verify 0 "" --proof "$proof"
says '"verified":true'
says '"cnf"'
ATTEST_KEY=keys/deep/agent_private.pem expect 0 "" prove --audience $audience
[ -s err ] && fail "a warning of nothing: $(cat err)"
# What a server would refuse is said, and refused.
expect 0 "warning: the token is not meant for https://elsewhere.example.com" \
    prove --audience https://elsewhere.example.com --key keys/deep/agent_private.pem
verify 1 "" --proof "$(cat out)"
says 1016
cp bound in
expect 0 "warning: the token is bound to another key than that of y_private.pem" \
    prove --audience $audience --key y_private.pem
verify 1 "" --proof "$(cat out)"
says 1016
"$mint" token >in
expect 0 "warning: the token is bound to no key" prove --audience $audience --key keys/deep/agent_private.pem
verify 1 "" --proof "$proof"
says 1016
expect 2 "--key is missing" prove --audience $audience
expect 2 "public key" prove --audience $audience --key public.pem
expect 3 "nowhere" prove --audience $audience --key nowhere
echo nonsense >in
expect 3 "no token" prove --audience $audience --key keys/deep/agent_private.pem

# ---- token, without a daemon ----
: >in
wish="--audience $audience --model-family claude-4 --model-version claude-sonnet-4 --provider anthropic"
# shellcheck disable=SC2086
{
    expect 2 "whom to ask" token $wish
    expect 2 "--audience is missing" token --socket nowhere
    expect 2 "--provider is missing" token --socket nowhere --audience x --model-family a --model-version b
    expect 2 "--output is token|json" token --socket nowhere $wish --output xml
    expect 3 "nowhere: No such file or directory; is attestd running" token --socket nowhere $wish
    ATTEST_SOCKET=nowhere expect 3 "nowhere" token $wish
    expect 3 "is attestd running" token --issuer http://127.0.0.1:1 $wish
    expect $unasked "only https" token --issuer http://ai.example.com $wish
    expect 3 "nowhere: No such file" token --socket nowhere $wish --cnf-key keys/deep/agent_private.pem
    expect 2 "the private one" token --issuer $issuer --socket nowhere $wish --cnf-key public.pem
    expect 3 "nokey" token --issuer $issuer --socket nowhere $wish --cnf-key nokey
}
exit $failed
