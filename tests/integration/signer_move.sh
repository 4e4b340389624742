#!/bin/sh
# Two signers and one token: the second does not start, says who holds it, takes the records over as
# a passive one, and only then the token; the first notices and makes no more tokens.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/rollover.sh"
trap 'signer_kill; kill -KILL "${first_pid:-}" 2>/dev/null; rm -rf "$dir"' EXIT
command -v python3 >/dev/null || exit 77
ctl="$top_builddir/attestctl"

signer_token
rollover_config
signer_start || exit 1
signer_keys || complain "keys could not be made"
until_true key_count token published 1 || complain "no standby was published"
run key_ctl export-records "$dir/records.json"
expect 0
grep -q '"seed"\|"d":' "$dir/records.json" && complain "there is more than records in the export"
instance=$($ctl status --socket "$admin_socket" --json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["instance"])')
active=$(key_kid token active)
first_pid=$signer_pid first_admin=$admin_socket first_signer=$signer_socket
cp "$dir/signer.log" "$dir/first.log"

# The second host: the same token, a state of its own.
mkdir "$dir/run2"
signer_socket=$dir/run2/signer.sock admin_socket=$dir/run2/signer-admin.sock
sed -i "s,$dir/state,$dir/state2,; s,$dir/run/,$dir/run2/,; s,$dir/keys,$dir/keys2," \
    "$dir/signer.yaml"
run "$top_builddir/attest-signer" --config "$dir/signer.yaml"
expect 3
err_has "held by $instance"
err_has take-over

signer_start --passive || exit 1
run key_ctl generate --purpose token
expect 1
run signer_load --count 1
expect 1
sed 's/issuer.example.com/other.example.com/' "$dir/records.json" >"$dir/other.json"
run key_ctl import-records "$dir/other.json"
[ "$status" != 0 ] || complain "records of another issuer were imported"
run key_ctl import-records "$dir/records.json"
expect 0
[ "$(key_kid token active)" = "$active" ] || complain "the imported keys are others"
run key_ctl import-records "$dir/records.json"
[ "$status" != 0 ] || complain "records were imported twice"
run signer_load --count 1
expect 1
[ ! -e "$dir/keys2/jwks.json" ] || complain "a passive signer wrote key sets"

# What was imported stays passive without being told.
signer_stop
signer_start || exit 1
run signer_load --count 1
expect 1
run key_ctl take-over --confirm 00000000-0000-4000-8000-000000000000
[ "$status" != 0 ] || complain "taken from one who does not hold it"
run key_ctl take-over --confirm "$instance"
expect 0
run signer_load --count 20 --in-flight 4 --patient
expect 0
run key_ctl rotate
expect 0

# The first one sees that, by itself or when it is asked to change something.
run "$top_builddir/attestctl" key rotate --socket "$first_admin"
expect 1
lost() { "$top_builddir/attestctl" status --socket "$first_admin" --json | tr -d ' \n' |
    grep -q '"ready":false'; }
until_true lost || complain "who lost the token goes on"
run "$top_builddir/tests/support/signer_load" "$first_signer" "$issuer" --count 1
expect 1
signer_stop
[ "$status" = 0 ] || complain "stopped with $status"
run "$top_builddir/tests/support/log_verify" "$dir/state2/log" "$issuer"
expect 0

# A copied state directory is the same instance twice: one of the two finds that it is not the one,
# which is the earlier, unless the other was started while that was still settling.
kill -KILL "$first_pid" && wait "$first_pid" 2>/dev/null
cp -R "$dir/state2" "$dir/state3"
signer_start || exit 1
first_pid=$signer_pid
mv "$dir/signer.log" "$dir/copied.log" # it goes on writing there
mkdir "$dir/run3"
signer_socket=$dir/run3/signer.sock admin_socket=$dir/run3/signer-admin.sock
sed -i "s,$dir/state2,$dir/state3,; s,$dir/run2/,$dir/run3/,; s,$dir/keys2,$dir/keys3," \
    "$dir/signer.yaml"
signer_start || exit 1
lost_by() { grep -l event=lease_lost "$dir/copied.log" "$dir/signer.log" | grep -c .; }
one_lost() { [ "$(lost_by)" = 1 ]; }
until_true one_lost || complain "lost by $(lost_by) of two signers that have one state"
exit $failed
