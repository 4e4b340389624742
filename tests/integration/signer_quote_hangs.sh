#!/bin/sh
# A TPM that hangs in a quote, which strangers can ask for: sealed keys sign on, a revocation takes
# effect and is published, and what needs the TPM does again once it answers.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/swtpm.sh"
command -v jq >/dev/null || { echo "no jq: apt-get install jq"; exit 77; }
trap 'signer_kill; swtpm_kill; rm -rf "$dir"' EXIT
ctl=$top_builddir/attestctl
ask=$top_builddir/tests/support/signer_ask

swtpm_start
pin_file pin 1234abcd
SOFTHSM_MODULE=none signer_config 'pcrs: sha256:0,7' 'call_timeout_ms: 600000' "keyset_dir: $dir/keys"
sed -i "s|^keystore:.*|keystore: \"tpm2:$TCTI\"|; /^module:/d" "$dir/signer.yaml"
mkdir -p "$dir/state"
"$ctl" hsm seal --config "$dir/signer.yaml" >/dev/null || exit 1
signer_start || exit 1
signer_keys || complain "keys could not be made"

nonce=$(printf 'A%.0s' $(seq 43))
quote() { "$ask" "$signer_socket" call quote "\"nonce\":\"$nonce\""; }
token() {
    run "$ask" "$signer_socket" call sign "\"iss\":\"$issuer\",\"caller\":\"uid:4711\",\
\"timeout_ms\":15000,\"claims\":{\"audience\":\"https://mcp.example.com\",\"agent_identity\":{\
\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\",\"provider\":\"anthropic\"}}"
}
published() { [ "$(jq '.keys | length' "$dir/keys/jwks.json")" = "$1" ]; }

token
expect 0
until_true published 2 || complain "no standby is published"
kid=$("$ctl" key list --socket "$admin_socket" --json |
    jq -r '.keys[] | select(.purpose == "token" and .state == "active").kid')

# ---- it hangs ----
kill -STOP "$swtpm_pid"
quote >/dev/null & # whoever asks gives up before the TPM does
asked=$!
# busy: with that one, or, had it come first, with this one
busy() { quote >"$dir/busy" && return 1; grep -q 'one quote a second' "$dir/busy"; }
until_true busy || complain "no quote is under way: $(cat "$dir/busy")"
token
expect 0
run "$ctl" key revoke --socket "$admin_socket" --reason test -- "$kid"
expect 0
until_true published 1 || complain "the revocation is not published"
grep -q -e "$kid" "$dir/keys/jwks.json" && complain "the wrong key is not published"
token
[ "$status" != 0 ] || complain "a revoked key signs"

# ---- it goes on ----
kill -CONT "$swtpm_pid"
wait $asked && complain "evidence of a key set with a key that is revoked"
again() { sleep 0.2 && quote >"$dir/quote"; }
until_true again || complain "no quote any more"
"$ctl" key generate --socket "$admin_socket" --purpose token >/dev/null || complain "no key is made any more"
signer_stop
[ "$status" = 0 ] || complain "the signer did not stop well: $status"
left=$(tpm2_getcap -T "$TCTI" handles-transient; tpm2_getcap -T "$TCTI" handles-loaded-session)
[ -z "$left" ] || complain "left in the TPM: $left"
swtpm_secrets_of "$dir/state/sealed.keys" "$dir/pin"
exit $failed
