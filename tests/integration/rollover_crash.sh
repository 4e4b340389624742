#!/bin/sh
# attest-signer is killed at every step of every change of a key, by name, and then at random, while
# tokens are asked for: each start after it finds its way back by itself.
#
# ROLLOVER_CRASH_ROUNDS: random kills (12).
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/keys.sh"
ctl="$top_builddir/attestctl"
fault="$top_builddir/tests/support/attest-signer-fault"
points=$top_srcdir/tests/support/fault_points.txt
rounds=${ROLLOVER_CRASH_ROUNDS:-12}
load_pid=
trap 'kill $load_pid 2>/dev/null; signer_kill; rm -rf "$dir"' EXIT

# --- the list is that of the source

# Points are written out, or follow from the action of a commit.
grep -oh 'fault_point("[a-z_]*", "[a-z_]*")' "$top_srcdir"/src/signer/*.c |
    sed 's/fault_point("\(.*\)", "\(.*\)")/\1.\2/' >"$dir/found"
for file in "$top_srcdir"/src/signer/*.c; do tr '\n' ' ' <"$file"; done |
    grep -o '\(commit\|generate\)(w, *"[a-z_]*"' | sed 's/.*"\(.*\)"/\1.database\n\1.log/' >>"$dir/found"
sort -u "$dir/found" >"$dir/in_source"
sed -n 's/^\(schedule\|command\) //p' "$points" | sort -u >"$dir/in_list"
diff "$dir/in_source" "$dir/in_list" >"$dir/out" || complain "fault points: source (<) and list (>) differ"

# wrong WHAT: with the signer's log beside it.
wrong() {
    tail -n 40 "$dir/signer.log" >"$dir/out"
    complain "$@"
}

# --- what must be true after every start

# A whole pair for each key that is not destroyed, one lease, and no more.
check_token() {
    key_table "$admin_socket" | awk '$10 == 0 { print $1 }' | sort >"$dir/recorded"
    list_token() {
        "$top_builddir/tests/support/p11_kids" "$SOFTHSM_MODULE" pkcs11:token=attestd "$dir/pin" \
            >"$dir/token"
    }
    until_true list_token || { complain "$1: the token cannot be listed"; return; }
    awk '$1 == "private" { print $2 }' "$dir/token" | sort >"$dir/private"
    awk '$1 == "public" { print $2 }' "$dir/token" | sort >"$dir/public"
    awk '$1 == "public" { print $3 }' "$dir/token" | sort >"$dir/kids"
    cp "$dir/token" "$dir/out"
    cmp -s "$dir/private" "$dir/public" || complain "$1: half a key pair is on the token"
    diff "$dir/kids" "$dir/recorded" >"$dir/err" || complain "$1: token (<) and records (>) differ"
    [ "$(grep -c '^data attestd lease$' "$dir/token")" = 1 ] || complain "$1: not one lease"
}

one_active() { [ "$(key_table "$admin_socket" | awk '$2 == "token" && $3 == "active"' | wc -l)" = 1 ]; }
standby_published() { key_table "$admin_socket" | awk '$2 == "token" && $3 == "published"' | grep -q .; }
lines_beyond() { [ "$(wc -l <"$dir/jtis")" -gt "$1" ]; }

# Every time stamp of a key has its event, each event one number, each number one event.
check_events() {
    key_table "$admin_socket" >"$dir/keys"
    cp "$dir/jtis" "$dir/jtis.now"
    signer_log_verify --log-key "$log_key" --tokens "$dir/jtis.now" --events >"$dir/out" 2>"$dir/err" ||
        { complain "$1: the log does not verify"; return; }
    sed 1d "$dir/out" >"$dir/events"
    awk -v keys="$dir/keys" '
    function wrong(what) { print what; bad = 1 }
    {
        if ($1 in op && (op[$1] != $2 || kid[$1] != $3)) wrong("event " $1 " is two")
        if (!($1 in op)) {
            op[$1] = $2; kid[$1] = $3; n[$2, $3]++
            if ($2 == "key.root_rotate") { n["key.generate", $3]++; n["key.publish", $3]++; n["key.rotate", $3]++ }
            took_over[$4]++
            if ($1 > last) last = $1
        }
    }
    END {
        for (i = 1; i <= last; i++) if (!(i in op)) wrong("event " i " has no record")
        while ((getline line < keys) > 0) {
            split(line, k, " ")
            id = k[1]; known[id] = 1
            born = k[6] && k[6] == k[4] && !n["key.activate", id]
            if (n["key.generate", id] != 1) wrong(id ": made " n["key.generate", id] + 0 " times")
            if (n["key.publish", id] + born != (k[5] > 0)) wrong(id ": published, events " n["key.publish", id] + 0)
            if (n["key.revoke", id] + 0 != (k[9] > 0)) wrong(id ": revoked, events " n["key.revoke", id] + 0)
            if (n["key.destroy", id] + 0 != (k[10] > 0)) wrong(id ": destroyed, events " n["key.destroy", id] + 0)
            if (n["key.remove", id] > 1 || (k[8] && k[5] && !n["key.remove", id])) wrong(id ": removed, events " n["key.remove", id] + 0)
            began = n["key.activate", id] + n["key.rotate", id] + took_over[id]
            if (k[6] && !born && !began) wrong(id ": active without an event")
            if (n["key.activate", id] > 1) wrong(id ": activated twice")
        }
        for (i in op) if (!(kid[i] in known)) wrong("event " i " of a key that is not there: " kid[i])
        exit bad
    }' "$dir/events" >"$dir/out" 2>"$dir/err" || complain "$1: events and keys do not agree"
}

# check WHAT: a start, and that all is well.
check() {
    signer_start || { complain "$1: no start"; exit 1; }
    one_active || { key_table "$admin_socket" >"$dir/out"; complain "$1: not one active key"; }
    grep -q 'event=key_missing' "$dir/signer.log" && wrong "$1: a key is missing"
    grep -q 'event=keys_unknown' "$dir/signer.log" && wrong "$1: an orphan on the token"
    until_true standby_published || complain "$1: no standby is published"
    minted=$(wc -l <"$dir/jtis")
    until_true lines_beyond $((minted + 10)) || wrong "$1: nothing is minted"
    signer_stop
    [ "$status" = 0 ] || wrong "$1: stopped with $status"
    # A signer whose loop stands still can be compared with what does not change meanwhile.
    signer_start --passive || { complain "$1: no passive start"; exit 1; }
    check_token "$1"
    signer_stop
}

audit() {
    signer_start --passive || { complain "$1: no passive start"; exit 1; }
    check_events "$1"
    signer_stop
}

# --- a signer whose keys live for seconds

quick() {
    signer_config 'lifetime_default_s: 1' 'lifetime_max_s: 1' 'jwks_max_age_s: 1' 'log_segment_bytes: 262144' \
        'rollover:' "  active_period_s: $1" '  jitter_s: 0' '  publish_lead_s: 2' \
        '  retire_lag_s: 1' '  destroy_grace_s: 1' '  overdue_grace_s: 86400' \
        '  verifier_cache_max_s: 0' '  propagation_s: 1' '  skew_s: 0'
}

signer_token
quick 2
signer_start || exit 1
signer_keys || complain "keys could not be made"
log_key=$(log_key_of "$admin_socket")
[ -n "$log_key" ] || complain "no log key listed"
signer_stop
: >"$dir/jtis"
"$top_builddir/tests/support/signer_load" "$signer_socket" "$issuer" --count 10000000 \
    --in-flight 4 --patient --jtis "$dir/jtis" >"$dir/load.out" &
load_pid=$!

signer_gone() { ! kill -0 "$signer_pid" 2>/dev/null; }

# killed WHAT: it was killed, by itself.
killed() {
    until_true signer_gone || { wrong "$1: not reached"; signer_kill; return; }
    status=0
    wait "$signer_pid" || status=$?
    signer_pid=
    [ "$status" = 137 ] || wrong "$1: ended with $status"
}

for point in $(sed -n 's/^schedule //p' "$points"); do
    : >"$dir/signer.log"
    ATTEST_FAULT_POINT=$point "$fault" --config "$dir/signer.yaml" 2>>"$dir/signer.log" &
    signer_pid=$!
    killed "$point"
    check "$point"
done
audit "by schedule"

# By hand: the standby is ready, so that whatever the active key is, another can follow.
standby_ready() {
    now=$(date +%s)
    key_table "$admin_socket" | awk -v now="$now" '$2 == "token" && $3 == "published" && !$6 && $5 + 2 <= now' | grep -q .
}
another_signs() { [ "$(active_kid)" != "$kid" ]; }
announces() { key_table "$admin_socket" | awk '$2 == "root" && $3 == "published"' | grep -q .; }
active_kid() { key_table "$admin_socket" | awk '$2 == "token" && $3 == "active" { print $1 }'; }

quick 3600
for point in $(sed -n 's/^command //p' "$points"); do
    signer_program=$fault ATTEST_FAULT_POINT=$point
    export ATTEST_FAULT_POINT
    signer_start || complain "$point: no start"
    unset signer_program ATTEST_FAULT_POINT
    until_true standby_ready || complain "$point: no standby gets ready"
    kid=$(active_kid)
    case $point in
    rotate.*) run "$ctl" key rotate --socket "$admin_socket" ;;
    retire.*) run "$ctl" key retire --socket "$admin_socket" "$kid" ;;
    revoke.*) run "$ctl" key revoke --socket "$admin_socket" --reason 'a test' "$kid" ;;
    root_rotate.*)
        for announced in $(key_table "$admin_socket" | awk '$2 == "root" && $3 == "published" { print $1 }'); do
            "$ctl" key revoke --socket "$admin_socket" --reason 'a test' "$announced" >/dev/null
        done
        run "$ctl" key root-rotate --socket "$admin_socket"
        ;;
    esac
    expect 3
    killed "$point"
    check "$point"
    signer_start || exit 1
    case $point in
    root_rotate.*) until_true announces || complain "$point: no root key is announced" ;;
    *) until_true another_signs || complain "$point: $kid signs as before" ;;
    esac
    signer_stop
done
audit "by hand"

# --- at random

quick 2
round=0
while [ $round -lt "$rounds" ]; do
    round=$((round + 1))
    signer_start || { complain "round $round: no start" && break; }
    sleep "$(od -An -N2 -tu2 /dev/urandom | awk '{ print $1 / 65536 * 3 }')"
    signer_kill
    check "round $round"
done
audit "at random"

kill -TERM $load_pid 2>/dev/null
wait $load_pid
load_pid=
run signer_log_verify --log-key "$log_key" --tokens "$dir/jtis"
expect 0
out_has '"unrecorded":0'
exit $failed
