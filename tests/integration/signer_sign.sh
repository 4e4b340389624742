#!/bin/sh
# attest-signer on a real SoftHSM: keys are made, tokens signed and recorded, requests held to their
# sockets, what was accepted is finished when it is told to stop.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
trap 'signer_kill; rm -rf "$dir"' EXIT
ctl="$top_builddir/attestctl"
ask="$top_builddir/tests/support/signer_ask"

signer_token
signer_config 'checkpoint_records: 50'
signer_start || exit 1
grep -q 'event=development' "$dir/signer.log" || complain "development was not announced"

# Without keys nothing is signed, and the reason is said.
run signer_load --count 1
expect 1
out_has '"last_rc":10'
run $ctl status --socket "$admin_socket" --json
expect 0
out_has '"ready": *false'
out_has 'attestctl key generate --purpose token'

signer_keys || complain "keys could not be made"
run $ctl key list --socket "$admin_socket" --json
expect 0
[ "$(grep -o '"state": *"active"' "$dir/out" | wc -l)" = 3 ] || complain "not three active keys"
# A second token key waits.
run $ctl key generate --socket "$admin_socket" --purpose token --label second --json
expect 0
out_has '"state": *"created"'
run $ctl status --socket "$admin_socket" --json
out_has '"ready": *true'

run signer_load --count 300 --in-flight 32 --jtis "$dir/jtis"
expect 0
[ "$(cut -d' ' -f1 "$dir/jtis" | sort -u | wc -l)" = 300 ] || complain "not 300 different jtis"

log_key=$($ctl key list --socket "$admin_socket" --json | tr -d ' \n' | tr '{' '\n' |
    sed -n 's/.*"purpose":"log".*"x":"\([^"]*\)".*/\1/p')
[ -n "$log_key" ] || complain "no log key listed"

# What was accepted is finished: the load runs when the signal comes.
signer_load --count 100000 --in-flight 64 --jtis "$dir/jtis" >"$dir/load.out" &
load_pid=$!
lines_beyond() { [ "$(wc -l <"$dir/jtis")" -gt "$1" ]; }
until_true lines_beyond 400 || complain "the load does not run"
signer_stop
[ "$status" = 0 ] || complain "stopped with status $status"
grep -q 'event=stopped status=0' "$dir/signer.log" || complain "no clean stop in the log"
wait $load_pid
grep -q '"last_rc":8\b' "$dir/load.out" || grep -q '"last_rc":4\b' "$dir/load.out" ||
    complain "the load ended otherwise: $(cat "$dir/load.out")"
[ ! -e "$signer_socket" ] && [ ! -e "$admin_socket" ] || complain "a socket file was left behind"

run signer_log_verify --log-key "$log_key" --tokens "$dir/jtis"
expect 0
out_has '"unrecorded":0'
out_has '"torn":0'
# The last checkpoint, made while stopping, covers all but itself.
seq=$(sed -n 's/.*"seq":\([0-9]*\).*/\1/p' "$dir/out")
out_has "\"checkpoint_seq\":$((seq - 1)),"
out_has '"ops":"start config key.generate '
# Stopped in order, each record is a token that was received.
out_has "\"signs\":$(wc -l <"$dir/jtis"),"

# The same configuration is no record a second time, another one is.
signer_start || exit 1
signer_stop
signer_config 'checkpoint_records: 50' 'lifetime_max_s: 600'
signer_start || exit 1
run $ctl key list --socket "$admin_socket" --json
[ "$(grep -o '"state": *"active"' "$dir/out" | wc -l)" = 3 ] || complain "keys forgotten"
run signer_load --count 5
expect 0
signer_stop
run signer_log_verify --log-key "$log_key" --tokens "$dir/jtis"
expect 0
out_has 'start checkpoint start config checkpoint '

# The PIN is in no record and no log, nor is a token. (Three letters alone would be found in a hash
# every now and then: what begins a token ends at its dot.)
token='eyJ[A-Za-z0-9_-]+\.'
grep -rq 1234abcd "$dir/signer.log" "$dir/state" && complain "the PIN is written down"
grep -qE "$token" "$dir/signer.log" && complain "a token is in the log"
cat "$dir/state/log/"* >"$dir/records"
grep '"op":"checkpoint"' "$dir/records" | grep -qE "$token" || complain "no checkpoint would be seen"
grep -v '"op":"checkpoint"' "$dir/records" | grep -qE "$token" && complain "a token is in a record"

exit $failed
