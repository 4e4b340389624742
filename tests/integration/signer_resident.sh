#!/bin/sh
# attest-signer whose keys of all three purposes stay in a TPM: tokens by ES256 over a rotation and
# restarts of both, signed key sets, checkpoints; libraries of others verify them, ours only when it
# is allowed to; without the TPM nothing is signed, and with it back everything is.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/rollover.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap 'signer_kill; swtpm_kill; rm -rf "$dir"' EXIT
command -v python3 >/dev/null || exit 77
python= # the distribution's own one has the packages, should another come first
for p in python3 /usr/bin/python3; do
    $p -c 'import jwt, cryptography' 2>/dev/null && python=$p
done
[ "$python" ] || { echo "no PyJWT here: apt-get install python3-jwt python3-cryptography"; exit 77; }
command -v jose >/dev/null || { echo "no jose here: apt-get install jose"; exit 77; }
ctl="$top_builddir/attestctl"
ask="$top_builddir/tests/support/signer_ask"
log_verify="$top_builddir/tests/support/log_verify"

swtpm_start
pin_file pin 1234abcd
mkdir -p "$dir/state"
# config RESIDENT
config() {
    SOFTHSM_MODULE=none rollover_config "resident: $1" 'pcrs: sha256:0,7'
    sed -i "s|^keystore:.*|keystore: \"tpm2:$TCTI\"|; /^module:/d; s/lifetime_max_s: 4/lifetime_max_s: 60/
        s/lifetime_default_s: 3/lifetime_default_s: 60/; s/retire_lag_s: 5/retire_lag_s: 61/
        s/destroy_grace_s: 2/destroy_grace_s: 100/" "$dir/signer.yaml"
}
# token: one, into $dir/token
token() {
    run "$ask" "$signer_socket" call sign "\"iss\":\"$issuer\",\"caller\":\"uid:4711\",\
\"timeout_ms\":15000,\"claims\":{\"audience\":\"https://mcp.example.com\",\"agent_identity\":{\
\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\",\"provider\":\"anthropic\"}}"
    sed -n 's/.*"token":"\([^"]*\)".*/\1/p' "$dir/out" >"$dir/token"
    [ -s "$dir/token" ]
}
# ours OPTION…: what attest says of that token
ours() {
    run "$top_builddir/attest" verify --issuer "$issuer" --audience https://mcp.example.com "$@" \
        "$(cat "$dir/token")"
}
header() { cut -d. -f1 "$dir/token" | tr -- '-_' '+/' | base64 -d 2>/dev/null; }
# theirs: PyJWT and jose
theirs() {
    $python - "$dir/keys/jwks.json" "$dir/token" <<'PY' || return 1
import json, sys
import jwt
keys = json.load(open(sys.argv[1]))["keys"]
text = open(sys.argv[2]).read().strip()
head = jwt.get_unverified_header(text)
key = [k for k in keys if k["kid"] == head["kid"]][0]
assert (head["alg"], key["alg"], key["kty"], key["crv"]) == ("ES256", "ES256", "EC", "P-256"), key
jwt.decode(text, jwt.PyJWK(key).key, algorithms=["ES256"], audience="https://mcp.example.com")
try:
    jwt.decode(text[:-8] + "AAAAAAAA", jwt.PyJWK(key).key, algorithms=["ES256"],
               audience="https://mcp.example.com")
    sys.exit("it verifies anything")
except jwt.InvalidSignatureError:
    pass
PY
    tr -d '\n' <"$dir/token" | jose jws ver -i- -k "$dir/keys/jwks.json" >/dev/null
}

# Off by default, and for a TPM alone.
signer_config_refused() {
    run "$ctl" config check --daemon attest-signer --config "$dir/signer.yaml"
    [ $status -ne 0 ] || complain "accepted: $1"
    grep -q -e "$1" "$dir/err" "$dir/out" || complain "not said: $1: $(cat "$dir/err" "$dir/out")"
}
SOFTHSM_MODULE=none signer_config 'resident: [root]'
signer_config_refused 'resident: for a TPM'
config '[root, tokens]'
signer_config_refused 'root, log and token'

config '[root, log, token]'
run "$ctl" hsm seal --config "$dir/signer.yaml"
expect 0
signer_start || exit 1
signer_keys || complain "keys could not be made"
until_true key_count token published 1 || complain "no standby was published"
key_ctl list --json | grep -q EdDSA && complain "a key that is not resident"
until_true test -s "$dir/keys/jwks.jwt" || complain "no signed key set"

# The root key in both forms, and what both sets are worth with and without leave.
run key_ctl public --purpose root
expect 0
out_has '"kty": *"EC"'
cp "$dir/out" "$dir/root.jwk"
run key_ctl public --purpose root --format pem
expect 0
openssl pkey -pubin -in "$dir/out" -noout -text | grep -q prime256v1 || complain "no PEM of P-256"
cp "$dir/out" "$dir/root.pem"
token || complain "no token: $(cat "$dir/out" "$dir/err")"
header | grep -q '"alg":"ES256"' || complain "not by ES256: $(header)"
theirs || complain "others do not verify it"
ours --jwks "$dir/keys/jwks.json"
expect 1
out_has 'alg ES256 is not allowed'
ours --jwks "$dir/keys/jwks.json" --alg ES256
expect 0
for root in jwk pem; do
    ours --jwks "$dir/keys/jwks.jwt" --root-key "$dir/root.$root" --alg ES256
    expect 0
done
ours --jwks "$dir/keys/jwks.jwt" --root-key "$dir/root.jwk"
expect 1
cp "$dir/token" "$dir/first"

# A rotation; then both go away and come back. The old key's token is good, so is the new one's.
first=$(key_kid token active) second=$(key_kid token published)
sleep 3
run key_ctl rotate --json
expect 0
until_true key_state "$second" active || complain "the rotation did not take place"
signer_stop
[ "$status" = 0 ] || complain "it did not stop well: $status"
swtpm_secrets_of "$dir/state/sealed.keys" "$dir/pin"
swtpm_off || complain "no orderly shutdown"
swtpm_on || complain "swtpm does not come back"
signer_start || exit 1
token || complain "no token after the restart: $(cat "$dir/out" "$dir/err")"
header | grep -q -e "$second" || complain "not by the new key"
theirs || complain "others do not verify it after the rotation"
cp "$dir/first" "$dir/token"
theirs || complain "others do not verify the old one any more"
run signer_load --count 100 --in-flight 8
expect 0
run "$ctl" status --socket "$admin_socket"
out_has "sealed by a TPM"

# Without the TPM the answer is that the key is out of reach; with it back it is a token again.
swtpm_kill
token && complain "a token without the TPM"
[ $status = 10 ] || complain "other than out of reach: $status $(cat "$dir/out" "$dir/err")"
swtpm_on || complain "swtpm does not come back"
until_true token || complain "no token with the TPM back: $(cat "$dir/out" "$dir/err")"
theirs || complain "others do not verify it after the TPM was gone"
run key_ctl destroy -- "$first"
signer_stop

# Checkpoints: the log key vouches for the log, by both programs that look.
signer_start || exit 1
log_key=$(key_ctl list --json | python3 -c "
import json, sys
print(next(k['x'] + '.' + k['y'] for k in json.load(sys.stdin)['keys'] if k['purpose'] == 'log'))")
until_true token || complain "no token"
signer_stop
run "$ctl" audit verify --log-key "$log_key" "$dir/state/log"
expect 0
run "$ctl" audit verify --log-key "${log_key%%.*}" "$dir/state/log"
[ $status -ne 0 ] || complain "half a log key is enough"
run "$log_verify" "$dir/state/log" "$issuer" --log-key "$log_key"
expect 0
out_has '"torn":0'

# New keys are sealed ones again where nothing is resident; those that are there stay what they are.
config '[]'
signer_start || exit 1
run key_ctl generate --purpose token --label sealed --json
expect 0
key_ctl list --json | grep -q '"alg": *"EdDSA"' || complain "no sealed key"
token || complain "no token by the resident key"
header | grep -q ES256 || complain "another key signs"
signer_stop
swtpm_secrets_of "$dir/state/sealed.keys" "$dir/pin"
exit $failed
