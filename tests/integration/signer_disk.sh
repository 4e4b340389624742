#!/bin/sh
# The disk under the issuance log fails, is full, is read-only: no token is released, the key set
# says so, and service resumes by itself in a new segment.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
trap 'signer_kill; rm -rf "$dir"' EXIT
ctl="$top_builddir/attestctl"

SLOWSYNC_CONTROL=$dir/disk
SLOWSYNC_UNDER=$dir/state
export SLOWSYNC_CONTROL SLOWSYNC_UNDER
signer_preload=$top_builddir/tests/support/.libs/slowsync.so
[ -r "$signer_preload" ] || exit 77
disk() { printf '%s' "$1" >"$dir/disk.new" && mv "$dir/disk.new" "$dir/disk"; }
status_says() { $ctl status --socket "$admin_socket" --json | tr -d ' \n' | grep -q -e "$1"; }

# stop_ends WHERE: a stop is carried out without the disk, and is none that went well.
stop_ends() {
    kill -TERM "$signer_pid"
    until_true grep -q event=stopped "$dir/signer.log" || { complain "a stop has no end $1"; disk ok; }
    status=0
    wait "$signer_pid" || status=$?
    signer_pid=
    [ "$status" = 3 ] || complain "stopped with $status $1"
}

# Nothing is under way, and there is no key that could sign a last checkpoint: what only closing the
# records asks of a disk that hangs.
disk ok
signer_token
signer_config 'stop_s: 1'
signer_start || exit 1
disk hang
stop_ends "on a disk that hangs, idle"

SLOWSYNC_UNDER=$dir/state/log
disk ok
signer_config
signer_start || exit 1
signer_keys || complain "keys could not be made"
run signer_load --count 20 --in-flight 4 --jtis "$dir/jtis"
expect 0

for fault in fail full readonly; do
    before=$(wc -l <"$dir/jtis")
    disk $fault
    run signer_load --count 50 --in-flight 8 --jtis "$dir/jtis"
    expect 1
    out_has '"received":0,'
    out_has '"last_rc":16,'
    [ "$(wc -l <"$dir/jtis")" = "$before" ] || complain "$fault: a token was released"
    status_says '"log":"failed"' || complain "$fault: status does not say so"
    status_says '"ready":false' || complain "$fault: still ready"
    run $ctl key generate --socket "$admin_socket" --purpose token --label "$fault"
    [ "$status" = 0 ] && complain "$fault: a key was made without a record"
    disk ok
    until_true status_says '"ready":true' || complain "$fault: no recovery"
    run signer_load --count 20 --in-flight 4 --jtis "$dir/jtis"
    expect 0
done
grep -q event=issuance_log_failed "$dir/signer.log" || complain "the failure was not logged"

# It fails under load and comes back: those who go on asking are served.
# The program itself: behind & a function is a shell of its own, and only that would be stopped.
"$top_builddir/tests/support/signer_load" "$signer_socket" "$issuer" --count 1000000 --in-flight 32 \
    --patient --jtis "$dir/jtis" >"$dir/load.out" &
load_pid=$!
lines_beyond() { [ "$(wc -l <"$dir/jtis")" -gt "$1" ]; }
until_true lines_beyond 200
disk fail
until_true status_says '"log":"failed"' || complain "no failure under load"
disk full
disk ok
served=$(wc -l <"$dir/jtis")
until_true lines_beyond $((served + 500)) || until_true lines_beyond $((served + 500)) ||
    complain "the load is not served any more"
kill $load_pid
wait $load_pid

# A start on a failing disk: serving, not ready; then by itself.
signer_stop
[ "$status" = 0 ] || complain "stopped with $status"
disk fail
signer_start || exit 1
run signer_load --count 1
expect 1
out_has '"last_rc":16,'
disk ok
until_true status_says '"ready":true' || complain "no recovery after the start"
run signer_load --count 20 --jtis "$dir/jtis"
expect 0
disk fail
run signer_load --count 1
signer_stop
[ "$status" = 0 ] || complain "stopped with $status on a failing disk"

# A disk that does not answer at all: a revocation is carried out, and a stop has an end.
disk ok
signer_config 'stop_s: 1' 'request_timeout_ms: 500'
signer_start || exit 1
until_true status_says '"ready":true' || complain "not ready before the disk hangs"
disk hang
run signer_load --count 1
expect 1
until_true status_says 'awritehangs' || complain "a disk that hangs is not said"
kid=$($ctl key list --socket "$admin_socket" | awk '$1 == "token" && $2 == "published" { print $3; exit }')
run $ctl key revoke --socket "$admin_socket" --reason 'while the disk hangs' -- "$kid"
expect 0
signer_stop
[ "$status" = 3 ] || complain "stopped with $status on a disk that hangs"

# The same when nobody waits for the disk any more: the record of a key hangs, which is made or not.
disk ok
signer_start || exit 1
until_true status_says '"ready":true' || complain "not ready before the disk hangs again"
disk hang
record_hangs() {
    run $ctl key generate --socket "$admin_socket" --purpose token --label hangs
    status_says 'awritehangs'
}
until_true record_hangs || complain "a disk that hangs is not said"
stop_ends "on a disk that hangs, and nobody waits for"

disk ok
run signer_log_verify --tokens "$dir/jtis"
expect 0
out_has '"unrecorded":0'
out_has '"torn":0'
out_has 'recovered'

exit $failed
