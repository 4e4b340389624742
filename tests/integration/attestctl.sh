#!/bin/sh
# attestctl against a running signer: status, keys and log; and what it says when the signer is gone.
set -u
dir=$(mktemp -d) || exit 1
trap 'stop_issuer; rm -rf "$dir"' EXIT
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/issuer.sh"
EXTRA_SIGNER="checkpoint_records: 2"
start_issuer
ctl=$top_builddir/attestctl

run $ctl status --socket "$ADMIN_SOCKET"
expect 0
out_has '^keystore .*ready'
out_has '^token  *active '
run $ctl status --config "$dir/attest-signer.yaml" --json
expect 0
out_has '"keystore":'
out_has '"keys":\['

# The signer's own name for a key is the published one.
run $ctl key list --socket "$ADMIN_SOCKET"
expect 0
kid=$(sed -n 's/^token  *active  *\([^ ]*\) .*/\1/p' "$dir/out")
[ ${#kid} = 43 ] || complain "no kid of 43 characters for the active key"
curl -fsS -o "$dir/jwks.json" "$ISSUER/.well-known/jwks.json" || complain "no key set"
grep -q "\"kid\":\"$kid\"" "$dir/jwks.json" || complain "the active key is not in the key set"

# A further token key waits for its turn; log and root keys are never in the key set.
run $ctl key generate --purpose token --label "the next one" --socket "$ADMIN_SOCKET"
expect 0
out_has '^token  *created .*the next one'
run $ctl key list --socket "$ADMIN_SOCKET"
expect 0
out_has '^token .*the next one'
[ "$(grep -c '^log \|^root ' "$dir/out")" = 2 ] || complain "a log and a root key were to be listed"
sed -n 's/^\(log\|root\)  *active  *\([^ ]*\) .*/\2/p' "$dir/out" >"$dir/others"
curl -fsS "$ISSUER/.well-known/jwks.json" >"$dir/out"
grep -qFf "$dir/others" "$dir/out" && complain "only token keys were to be published"

run $ctl key generate --purpose tokens --socket "$ADMIN_SOCKET"
case $status in 1 | 2) ;; *) complain "an unknown purpose: status $status" ;; esac

# Wrong socket: the request is none of that socket's, and the signer hangs up.
run $ctl status --socket "$SIGNER_SOCKET"
expect 3
err_is_one_line

run $ctl audit show --socket "$ADMIN_SOCKET"
expect 0
run $ctl audit verify "$dir/state/log"
expect 0
out_has '^records  *[1-9]'
run $ctl audit verify --config "$dir/attest-signer.yaml" --json
expect 0
out_has '"ok":true'

# The log key vouches for a part of the chain; another key does not.
waited=0
until $ctl audit verify "$dir/state/log" | grep -q '^checkpoints  *[1-9]'; do
    waited=$((waited + 1))
    [ $waited -lt 600 ] || issuer_failed "no checkpoint in a minute"
    sleep 0.1
done
$ctl key list --json --socket "$ADMIN_SOCKET" | tr '{' '\n' >"$dir/keys.txt"
x_of() { sed -n "s/.*\"purpose\":\"$1\".*\"x\":\"\([^\"]*\)\".*/\1/p" "$dir/keys.txt"; }
run $ctl audit verify --log-key "$(x_of log)" "$dir/state/log"
expect 0
out_has '^checkpoints  *[1-9]'
out_has '^vouched_to  *[1-9]'
run $ctl audit verify --log-key "$(x_of root)" "$dir/state/log"
expect 1
out_has 'did not sign'
run $ctl audit verify --log-key short "$dir/state/log"
expect 2
run $ctl config check "$dir/attest-signer.yaml"
expect 0
run $ctl config check "$dir/attestd.yaml"
expect 0

# A policy that cannot keep its promise is refused with the inequality and its numbers.
wrong_policy() {
    { cat "$dir/attest-signer.yaml"; echo "rollover: {$1}"; } >"$dir/wrong.yaml"
    run $ctl config check --daemon attest-signer "$dir/wrong.yaml"
    expect 1
    out_has "$2"
    run "$top_builddir/attest-signer" --check-config --config "$dir/wrong.yaml"
    expect 1
    err_has "$2"
}
wrong_policy 'publish_lead_s: 3000' 'publish_lead_s 3000 < 3990 = jwks_max_age_s 300 + verifier_cache_max_s 3600'
wrong_policy 'retire_lag_s: 900' 'retire_lag_s 900 < 930 = .*lifetime_max_s 900 + skew_s 30'
wrong_policy 'active_period_s: 100000, jitter_s: 50000' 'active_period_s 100000 - jitter_s 50000 < publish_lead_s 86400'
wrong_policy 'active_period_s: 100000, jitter_s: 0, retire_lag_s: 900000' 'keys in the JWKS at once'

stop_daemon "$SIGNER_PID"
SIGNER_PID=
run $ctl status --socket "$ADMIN_SOCKET"
expect 3
err_has 'start attest-signer'
err_is_one_line
exit $failed
