#!/bin/sh
# Rotation after rotation under full minting load, with verifiers who keep key sets as long as they
# may: every token verifies everywhere, all its life. A rotation takes three seconds: the key set may
# be kept for one, a change may take one to be seen, and plans are made a second ahead.
#
# ROLLOVER_LOAD_ROTATIONS: how many (100; 500 by `make bench-rotation`).
set -u
dir=$(mktemp -d) || exit 1
trap 'stop_issuer; rm -rf "$dir"' EXIT
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/issuer.sh"
. "$top_srcdir/tests/support/keys.sh"
rotations=${ROLLOVER_LOAD_ROTATIONS:-100}
audience=https://mcp.example.com

EXTRA_SIGNER='lifetime_default_s: 2
lifetime_max_s: 2
jwks_max_age_s: 1
rollover:
  active_period_s: 2
  jitter_s: 0
  publish_lead_s: 2
  retire_lag_s: 2
  destroy_grace_s: 1
  overdue_grace_s: 86400
  verifier_cache_max_s: 0
  propagation_s: 1
  skew_s: 0'
EXTRA_ATTESTD='per_address_max: 1000'
start_issuer --insecure-open-mint

cat >"$dir/body.json" <<END
{"audience": "$audience", "agent_identity": {"model_family": "claude-4",
 "model_version": "claude-sonnet-4", "provider": "anthropic"}}
END

ride() {
    run "$top_builddir/tests/support/ride" --issuer "$ISSUER" --audience "$audience" \
        --post "$dir/body.json" --rotations "$1" "127.0.0.1:$ISSUER_PORT"
    cat "$dir/out"
}

ride "$rotations"
expect 0
out_has '"refused":0,'
out_has '"other_answers":0,'
grep -q '"late":0,' "$dir/out" && complain "no token was shown just before it expired"
[ "$(grep -c 'event=rollover_failed' "$dir/signer.log")" = 0 ] || complain "a step failed: $(grep event=rollover_failed "$dir/signer.log" | head -3)"

# That this test can fail: a key that signs before caches know it is refused, and that is seen.
standby() { key_table "$ADMIN_SOCKET" | awk '$2 == "token" && $3 == "published" { print $1 }'; }
hurry() {
    old=$(standby)
    new=$old
    turns=0
    while [ -z "$new" ] || [ "$new" = "$old" ]; do
        turns=$((turns + 1))
        kill -0 "$ATTESTD_PID" && kill -0 "$SIGNER_PID" && [ $turns -le 1200 ] || return 1
        sleep 0.05
        new=$(standby)
    done
    "$top_builddir/attestctl" key activate --socket "$ADMIN_SOCKET" --force --reason 'too early' "$new"
}
# On a slow machine the caches may be there first, or the key may sign already: a few tries.
hurried=
for _ in $(seq 20); do
    hurry >"$dir/hurry" 2>&1 &
    hurry_pid=$!
    ride 4
    wait $hurry_pid && hurried=yes
    [ "$status" = 0 ] || break
done
[ "$hurried" ] || { cat "$dir/hurry"; complain "no activation by force"; }
expect 1
err_has 'refuses a new token'
out_has '"other_answers":0,'
exit $failed
