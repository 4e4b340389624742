#!/bin/sh
# A wall clock that jumps: nothing is retired, removed or destroyed by it and no token is made,
# until it is right again or an operator says that it is.
set -u
dir=$(mktemp -d) || exit 1
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/signer.sh"
. "$top_srcdir/tests/support/rollover.sh"
trap 'signer_kill; rm -rf "$dir"' EXIT
command -v python3 >/dev/null || exit 77

signer_preload=$top_builddir/tests/support/.libs/clockjump.so
[ -r "$signer_preload" ] || exit 77
CLOCKJUMP_FILE=$dir/offset
export CLOCKJUMP_FILE
set_clock() { echo "$1" >"$dir/offset.new" && mv "$dir/offset.new" "$dir/offset"; }
said() { grep -q "event=$1" "$dir/signer.log"; }
mints() { signer_load --count 1 >/dev/null 2>&1; }
refuses() { ! mints; }
keys() { key_ctl list --json | sed 's/.*"keys"://'; }

set_clock 0
signer_token
rollover_config
signer_start || exit 1
signer_keys || complain "keys could not be made"
until_true key_count token published 1 || complain "no standby was published"
until_true mints || complain "no tokens with a good clock"
before=$(keys)

# A year ahead everything would be due at once.
set_clock 31622400
until_true said clock_jumped || complain "the jump was not seen"
until_true refuses || complain "tokens of the future are made"
run key_ctl rotate
expect 1
out_has clock
sleep 1
[ "$(key_ctl list --json | python3 -c '
import json, sys
print(sorted((k["kid"], k["created"], k.get("retired"), k.get("destroyed")) for k in json.load(sys.stdin)["keys"]))')" = \
    "$(echo "{\"keys\":$before" | python3 -c '
import json, sys
print(sorted((k["kid"], k["created"], k.get("retired"), k.get("destroyed")) for k in json.load(sys.stdin)["keys"]))')" ] ||
    complain "keys were changed by a clock that jumped"

# It is seen by the next process too.
signer_stop
signer_start || exit 1
until_true said clock_jumped || complain "the jump was forgotten by a restart"
mints && complain "tokens of the future are made after a restart"

# Right again, and it goes on by itself; accepted, and it goes on too.
set_clock 0
until_true said clock_back || complain "the clock is right again and that is not seen"
until_true mints || complain "no tokens though the clock is right again"
set_clock 600
until_true refuses || complain "tokens are made ten minutes ahead"
run key_ctl accept-clock
expect 0
until_true mints || complain "no tokens though the clock was accepted"
signer_stop
cat "$dir"/state/log/*.jsonl | grep -q '"op":"clock.accept","by_s":\(599\|60[0-9]\),' ||
    complain "that the clock was accepted is not recorded"
run signer_log_verify
expect 0
exit $failed
