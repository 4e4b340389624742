#!/bin/sh
# kill -9 under load, again and again: the next start has every record of a released token, each
# once, and no torn one.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
trap 'signer_kill; rm -rf "$dir"' EXIT
ctl="$top_builddir/attestctl"
rounds=15

signer_token
# Small segments and frequent checkpoints, so that the kill meets those too.
signer_config 'log_segment_bytes: 65536' 'checkpoint_records: 20'
signer_start || exit 1
signer_keys || complain "keys could not be made"
log_key=$($ctl key list --socket "$admin_socket" --json | tr -d ' \n' | tr '{' '\n' |
    sed -n 's/.*"purpose":"log".*"x":"\([^"]*\)".*/\1/p')

: >"$dir/jtis"
"$top_builddir/tests/support/signer_load" "$signer_socket" "$issuer" --count 10000000 \
    --in-flight 64 --patient --jtis "$dir/jtis" >"$dir/load.out" &
load_pid=$!
trap 'kill $load_pid 2>/dev/null; signer_kill; rm -rf "$dir"' EXIT
lines_beyond() { [ "$(wc -l <"$dir/jtis")" -gt "$1" ]; }

round=0
while [ $round -lt $rounds ]; do
    round=$((round + 1))
    before=$(wc -l <"$dir/jtis")
    until_true lines_beyond $((before + round * 7)) || complain "round $round: the load does not run"
    signer_kill
    signer_start || { complain "round $round: no start" && break; }
    # It cuts before it serves; the log is read while it is being written.
    tail=$(cp "$dir/jtis" "$dir/jtis.now" && signer_log_verify --log-key "$log_key" 2>&1 >"$dir/out")
    [ -z "$tail" ] || complain "round $round: $tail"
done
kill -TERM $load_pid 2>/dev/null
wait $load_pid
signer_stop
[ "$status" = 0 ] || complain "stopped with $status"

run signer_log_verify --log-key "$log_key" --tokens "$dir/jtis"
expect 0
out_has '"unrecorded":0'
out_has '"torn":0'
[ "$(grep -o 'start ' "$dir/out" | wc -l)" = $((rounds + 1)) ] || complain "not every start recorded"
# Records without a released token are at most the requests in flight at each crash.
signs=$(sed -n 's/.*"signs":\([0-9]*\).*/\1/p' "$dir/out")
extra=$((signs - $(wc -l <"$dir/jtis")))
[ $extra -ge 0 ] && [ $extra -le $((rounds * 64 + 64)) ] || complain "$extra records too many"

# What was cut off, behind the back of the database's head, is noticed.
last=$(ls "$dir/state/log" | sort | tail -n 1)
cp -r "$dir/state" "$dir/kept"
rm "$dir/state/log/$last"
run "$top_builddir/attest-signer" --config "$dir/signer.yaml"
expect 3
err_has 'known to have been written'
err_has 'accept-log-cut'
signer_start --accept-log-cut || exit 1
signer_stop
signer_start || exit 1
signer_stop
run signer_log_verify --log-key "$log_key"
expect 0
out_has 'cut_off'

exit $failed
