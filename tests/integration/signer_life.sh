#!/bin/sh
# Every key command on a real token: what it does, what it refuses, and what the key sets and the
# issuance log say of it afterwards. With LIFE=sealed, the same of keys that a TPM has sealed. The
# signer's clock is the test's to move on: periods are longer than the test takes on any machine.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/rollover.sh"
. "$top_srcdir/tests/support/swtpm.sh"
trap 'signer_kill; swtpm_kill; rm -rf "$dir"' EXIT
command -v python3 >/dev/null || exit 77
ask="$top_builddir/tests/support/signer_ask"
signer_preload=$top_builddir/tests/support/.libs/clockjump.so
[ -r "$signer_preload" ] || exit 77
CLOCKJUMP_FILE=$dir/offset
export CLOCKJUMP_FILE
clock_s=0 period_s=10000
# the_period_passes: what was begun before has come to its end.
the_period_passes() {
    clock_s=$((clock_s + period_s))
    echo $clock_s >"$dir/offset.new" && mv "$dir/offset.new" "$dir/offset"
}

seal() { :; }
secrets() { :; } # of the keys that there are now
if [ "${LIFE:-}" = sealed ]; then
    signer_sealed
    seal() { "$top_builddir/attestctl" hsm seal --config "$dir/signer.yaml" >/dev/null; }
    secrets() { swtpm_secrets_of_running "$dir/state/sealed.keys" "$dir/pin"; }
else
    signer_token
fi
active_period_s=1000000 destroy_grace_s=1000000 publish_lead_s=$period_s retire_lag_s=$period_s \
    root_lead_s=$period_s clock_jump_max_s=1000000 rollover_config
seal || complain "nothing was sealed"
signer_start || exit 1
key_ctl list --json | grep -q '"loop":"waiting"' || complain "without a key it is not waiting"
signer_keys || complain "keys could not be made"
until_true key_count token published 1 || complain "no standby was published"
secrets
first=$(key_kid token active)
second=$(key_kid token published)

# Too early, unless forced, and force needs a reason.
run $ask "$admin_socket" call key.activate '"kid":"'"$second"'","force":true'
expect 3
out_has reason
run key_ctl retire -- "$second"
expect 1
run $ask "$admin_socket" call key.activate '"kid":"1111111111111111111111111111111111111111111"'
expect 5

# Two at once: one wins, the other is told.
run key_ctl rotate --json
expect 0
out_has "\"from\":\"$first\",\"to\":\"$second\""
run key_ctl rotate
expect 1
out_has planned
the_period_passes
until_true key_state "$second" active || complain "the rotation did not take place"
key_state "$first" retired || complain "two keys are active"
grep -q -e "$first" "$dir/keys/jwks.json" || complain "a retired key left the key set at once"
until_true key_count token published 1 || complain "no new standby after the rotation"
run signer_load --count 20 --in-flight 4
expect 0

# Both sets have it out at once, and the signed one says why.
third=$(key_kid token published)
the_period_passes
run key_ctl revoke --reason 'found in a backup' --json -- "$second"
expect 0
out_has "\"active\":\"$third\""
out_has accepted_until
gone() { ! grep -q -e "$second" "$dir/keys/jwks.json"; }
until_true gone || complain "a revoked key is still in the key set"
revoked() { signed_set "[r['reason'] for r in p['revoked'] if r['kid'] == '$second']" |
    grep -q 'found in a backup'; }
until_true revoked || complain "the signed key set does not tell of the revocation"
run key_ctl revoke --reason again -- "$second"
expect 1
key_state "$third" active || complain "the standby did not take over"
run signer_load --count 20 --in-flight 4
expect 0
until_true key_count token published 1 || complain "no new standby after the revocation"

# Without a standby that is ready nobody signs, and it says so; then somebody does.
fourth=$(key_kid token published)
run key_ctl retire -- "$third"
expect 1
run key_ctl retire --force --reason 'try without' -- "$third"
expect 0
run signer_load --count 1
expect 1
the_period_passes
until_true key_state "$fourth" active || complain "the standby did not take over"
until_true signer_load --count 5 >"$dir/out" || complain "no tokens after a retirement"

# The end of a key: only by its name, twice, and only when nothing is left to be verified by it.
run $ask "$admin_socket" call key.destroy '"kid":"'"$second"'","confirm":"'"$first"'"'
expect 3
run $ask "$admin_socket" call key.destroy '"kid":"'"$fourth"'","confirm":"'"$fourth"'"'
expect 3
secrets
run $ask "$admin_socket" call key.destroy '"kid":"'"$second"'","confirm":"'"$second"'"'
expect 0
out_has destroyed
run $ask "$admin_socket" call key.destroy '"kid":"'"$second"'","confirm":"'"$second"'"'
expect 6

# The log key gives way to another; the root key to one that was announced before.
old_log=$(key_kid log active)
run key_ctl rotate --purpose log
expect 0
key_count log active 1 || complain "not one log key is active"
both() { [ "$(signed_set "sorted(k['kid'] for k in p['log_keys']).__len__()")" = 2 ]; }
until_true both || complain "the signed set forgot the log key $old_log"
root=$(key_kid root active)
run key_ctl root-rotate --json
expect 0
next=$(sed -n 's/.*"to":"\([^"]*\)".*/\1/p' "$dir/out")
announced() { [ "$(signed_set "p.get('next_root', {}).get('kid')")" = "$next" ]; }
until_true announced || complain "the next root key is not announced"
run key_ctl root-rotate
expect 1
the_period_passes
by_next() { cut -d. -f1 "$dir/keys/jwks.jwt" | base64 -d 2>/dev/null | grep -q -e "$next"; }
until_true by_next || complain "the next root key does not sign"
[ "$(signed_set "'next_root' in p")" = False ] || complain "it still announces"
[ "$(key_kid root retired)" = "$root" ] || complain "the old root key is not retired"

# Over a restart, of the TPM too where there is one, all of them are what they were.
key_ctl list --json | grep -oE '"(kid|state|alg)": *"[^"]*"' >"$dir/before"
secrets
signer_stop
[ "$status" = 0 ] || complain "stopped with $status"
if [ -n "$swtpm_pid" ]; then
    swtpm_off || complain "no orderly shutdown"
    swtpm_on || complain "swtpm does not come back"
fi
signer_start || exit 1
key_ctl list --json | grep -oE '"(kid|state|alg)": *"[^"]*"' >"$dir/after"
cmp "$dir/before" "$dir/after" || complain "other keys after a restart"
grep -q ES256 "$dir/after" && complain "a key that is not of Ed25519, and nobody asked for it"
run signer_load --count 20 --in-flight 4
expect 0
secrets

# What was done is in the log, once each, and the log holds.
signer_stop
[ "$status" = 0 ] || complain "stopped with $status"
run signer_log_verify
expect 0
cat "$dir"/state/log/*.jsonl >"$dir/log"
python3 - "$dir/log" <<'PY' || complain "the log does not tell of each change once"
import collections, json, sys
events, ops = collections.Counter(), collections.Counter()
for line in open(sys.argv[1]):
    r = json.loads(line)
    if r["op"].startswith("key."):
        events[r["event"]] += 1
        ops[r["op"], r["caller"] == "rollover"] += 1
        assert ("when" in r) <= (r["op"] in ("key.rotate", "key.root_rotate", "key.activate", "key.retire")), r
assert set(events.values()) == {1}, events
assert sorted(events) == list(range(1, len(events) + 1)), events
for op in "generate rotate revoke retire destroy root_rotate activate".split():
    op = "generate" if op == "root_rotate" else op
    assert ops["key." + op, False], (op, ops)
assert ops["key.publish", True] and ops["key.generate", True], ops
PY

# No seed, of those that are destroyed neither, stands in what the signer leaves behind.
if [ -n "$swtpm_pid" ]; then
    [ "$(grep -c '^seed-' "$dir/secrets")" -ge 8 ] || complain "few seeds are known"
    for file in "$dir/log" "$dir/signer.log" "$dir"/state/records.db* "$dir"/keys/* "$dir/state/sealed.keys"; do
        run "$top_builddir/tests/support/find_secrets" "$dir/secrets" file "$file"
        expect 0
    done
fi
exit $failed
