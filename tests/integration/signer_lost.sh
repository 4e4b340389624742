#!/bin/sh
# A module that hangs or loses its token: what waits is answered, and when no worker is left the
# signer ends by itself for the service manager to start it again.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
trap 'signer_kill; rm -rf "$dir"' EXIT
ctl="$top_builddir/attestctl"

SOFTHSM_MODULE=$top_builddir/tests/support/.libs/p11_fault.so
[ -r "$SOFTHSM_MODULE" ] || exit 77
pin_file pin 12345678
mkdir "$dir/objects"
P11_FAULT_DIR=$dir/objects
P11_FAULT_CONTROL=$dir/rules
export P11_FAULT_DIR P11_FAULT_CONTROL
rules() { printf '%s\n' "$@" >"$dir/rules.new" && mv "$dir/rules.new" "$dir/rules"; }
status_says() { $ctl status --socket "$admin_socket" --json | tr -d ' \n' | grep -q -e "$1"; }

rules '# nothing'
signer_config 'workers: 2' 'call_timeout_ms: 2000' 'request_timeout_ms: 20000'
sed -i 's/pkcs11:token=attestd/pkcs11:token=attestd%20fault/' "$dir/signer.yaml"
signer_start || exit 1
signer_keys || complain "keys could not be made"
run signer_load --count 50 --in-flight 8 --jtis "$dir/jtis"
expect 0

# A wrong signature is not released and leaves no record.
rules 'C_Sign wrong'
run signer_load --count 1
expect 1
out_has '"received":0'
rules '# nothing'
run signer_load --count 10 --in-flight 2 --patient --jtis "$dir/jtis"
expect 0

# The token goes away and comes back.
rules 'set token absent'
run signer_load --count 1
expect 1
out_has '"last_rc":1[0-9]*,'
until_true status_says '"keystore":"keyoutofreach"' || complain "the lost token is not said"
until_true status_says '"ready":false' || complain "ready without a token"
rules '# nothing'
until_true status_says '"ready":true' || complain "no recovery"
run signer_load --count 50 --in-flight 8 --jtis "$dir/jtis"
expect 0

# Every call hangs: all are answered, the process ends, and not with 0.
rules 'C_Sign hang'
run signer_load --count 40 --in-flight 40
expect 1
out_has '"received":0'
gone() { ! kill -0 "$signer_pid" 2>/dev/null; }
until_true gone || complain "it goes on without a worker"
status=0
wait "$signer_pid" || status=$?
signer_pid=
[ "$status" = 3 ] || complain "ended with $status"
grep -q 'state="lost"' "$dir/signer.log" || complain "the loss was not logged"

rules '# nothing'
signer_start || exit 1
run signer_load --count 50 --in-flight 8 --jtis "$dir/jtis"
expect 0
signer_stop
[ "$status" = 0 ] || complain "stopped with $status"
run signer_log_verify --tokens "$dir/jtis"
expect 0
out_has '"unrecorded":0'
out_has "\"signs\":$(wc -l <"$dir/jtis"),"

exit $failed
