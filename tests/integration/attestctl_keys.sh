#!/bin/sh
# Every key command of attestctl against a real signer: what it answers, what it refuses and says to do, the
# drawing, and records that move to a second signer on the same token.
set -u
command -v python3 >/dev/null || { echo "no python3: apt-get install python3"; exit 77; }
dir=$(mktemp -d) || exit 1
second_pid=
trap 'stop_daemon "$second_pid"; stop_issuer; rm -rf "$dir"' EXIT
. "$top_srcdir/tests/support/expect.sh"
. "$top_srcdir/tests/support/issuer.sh"
# A lead that no test outlives, so that "too early" and "planned" stay so; the rest as it has to be.
EXTRA_SIGNER="jwks_max_age_s: 2
rollover: {active_period_s: 86400, jitter_s: 0, publish_lead_s: 3600, retire_lag_s: 1000, verifier_cache_max_s: 3500}"
start_issuer
ctl() {
    command=$1 action=$2
    shift 2
    run "$top_builddir/attestctl" "$command" "$action" --socket "$ADMIN_SOCKET" "$@"
}

# json EXPRESSION FILE: what it says of the object j; the test fails when it is no JSON or not so.
json() {
    python3 -c 'import json, sys
with open(sys.argv[2]) as f: j = json.load(f)
v = eval(sys.argv[1])
print(v if not isinstance(v, bool) else str(v).lower())' "$1" "$2" 2>>"$dir/json.err"
}
json_is() { [ "$(json "$1" "$dir/out")" = true ] || complain "$what: not so: $1"; }
out_lacks() { grep -q -e "$1" "$dir/out" && complain "$what: '$1' on standard output"; }

# kid PURPOSE STATE: of the first such key.
kid() {
    "$top_builddir/attestctl" key list --json --socket "$ADMIN_SOCKET" >"$dir/list.json" || return
    json "[k['kid'] for k in j['keys'] if k['purpose'] == '$1' and k['state'] == '$2'][0]" "$dir/list.json"
}
wait_kid() {
    waited=0
    until [ -n "$(kid "$1" "$2")" ]; do
        waited=$((waited + 1))
        [ $waited -lt 600 ] || issuer_failed "no $1 key becomes $2"
        sleep 0.1
    done
    kid "$1" "$2"
}

# ---- what is there
active=$(kid token active)
standby=$(wait_kid token published)
prefix=$(echo "$standby" | cut -c1-20)
ctl key list
expect 0
out_has "^token  *active  *$active .*retires in"
out_has "^token  *published  *$standby "
out_has '^rollover: next '
ctl key list --json
expect 0
json_is "j['now'] > 0 and j['rollover']['loop'] == 'running' and 'next' not in j"

# ---- which key is meant
ctl key activate abcde
expect 2
err_has 'at least the first 6'
ctl key activate zzzzzzzzzz
expect 3
err_has 'attestctl key list'
err_is_one_line

# ---- too early, and by force
ctl key activate -- "$prefix"
expect 1
out_has '--force --reason'
ctl key activate --json -- "$prefix"
expect 1
json_is "j['ok'] is False and len(j['error']) > 0"
ctl key publish -- "$prefix"
expect 1
out_has 'attestctl key list'

# ---- two rotate at once: one wins, the other is told
for n in 1 2; do
    (
        "$top_builddir/attestctl" key rotate --socket "$ADMIN_SOCKET" >"$dir/rotate$n" 2>&1
        echo $? >"$dir/rotate$n.status"
    ) &
    eval "rotate$n=$!"
done
wait $rotate1 $rotate2
[ "$(sort "$dir"/rotate?.status | tr '\n' ' ')" = "0 1 " ] || {
    complain "of two rotations not one won: $(cat "$dir"/rotate?.status)"
    cat "$dir"/rotate?
}
cat "$dir/rotate1" "$dir/rotate2" >"$dir/out"
what="two rotations"
out_has "^now publishing $standby"
out_has "^it takes over from $active and signs from .*(in [56][0-9] min), when every cache knows it"
out_has '^refused: .*planned'
ctl key list
out_has "^token  *published  *$standby .*signs in [56]"
ctl key rotate --purpose root
expect 2
err_has 'root-rotate'
ctl key rotate --purpose log --json
expect 0
json_is "len(j['from']) == 43 and len(j['to']) == 43 and j['when'] > 0"

# ---- drawn
ctl key timeline
expect 0
LC_ALL=C grep -q '[^ -~]' "$dir/out" && complain "not plain ASCII where it is no terminal"
out_has "^token $(echo "$active" | cut -c1-8) active .*#|#"
[ "$(awk 'length > 80' "$dir/out" | grep -cv '^rollover')" = 0 ] || complain "wider than 80 columns"
COLUMNS=60 ctl key timeline
[ "$(awk 'length > 60' "$dir/out" | grep -cv '^rollover')" = 0 ] || complain "wider than COLUMNS"
ctl key timeline --svg
expect 0
python3 -c 'import sys, xml.dom.minidom
d = xml.dom.minidom.parse(sys.argv[1])
assert d.documentElement.tagName == "svg" and len(d.getElementsByTagName("title")) > 3' "$dir/out" ||
    complain "--svg writes no SVG"
ctl key timeline --svg "$dir/life.svg"
expect 0
head -c 5 "$dir/life.svg" | grep -q '<?xml' || complain "--svg FILE does not write it"
ctl key timeline --days 0
expect 2
ctl key timeline --from 2026-02-30
expect 2
ctl key timeline --from 2020-01-01 --to 2020-02-01
expect 0
out_has 'not shown'

# on_terminal INPUT COMMAND…: with a terminal of its own; what that shows goes to $dir/out.
on_terminal() {
    what="$*"
    status=0
    python3 - "$@" >"$dir/out" 2>"$dir/err" <<'END' || status=$?
import os, pty, select, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen, typed = b"", not sys.argv[1]
while True:
    try:
        chunk = os.read(fd, 65536)
    except OSError:
        break
    if not chunk:
        break
    seen += chunk
    if not typed and seen.endswith(b": "):
        os.write(fd, sys.argv[1].encode() + b"\n")
        typed = True
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
}
unset NO_COLOR COLUMNS
TERM=xterm LC_ALL=C.UTF-8 on_terminal "" "$top_builddir/attestctl" key timeline --socket "$ADMIN_SOCKET"
expect 0
out_has '█'
out_has "$(printf '\033')\\["
TERM=xterm NO_COLOR=1 LC_ALL=C.UTF-8 on_terminal "" "$top_builddir/attestctl" key timeline --socket "$ADMIN_SOCKET"
out_has '█'
out_lacks "$(printf '\033')\\["
TERM=xterm NO_COLOR=1 LC_ALL=C on_terminal "" "$top_builddir/attestctl" key timeline --socket "$ADMIN_SOCKET"
out_lacks '█'

# ---- what others pin
root=$(kid root active)
ctl key public
expect 0
json_is "j['kid'] == '$root' and j['kty'] == 'OKP' and j['crv'] == 'Ed25519' and 'd' not in j"
ctl key public --format jwks --purpose token
json_is "j['keys'][0]['kid'] == '$active'"
ctl key public --format pem
expect 0
out_has '^-----BEGIN PUBLIC KEY-----$'
if command -v openssl >/dev/null; then
    x=$(openssl pkey -pubin -in "$dir/out" -outform DER | tail -c 32 | base64 | tr '+/' '-_' | tr -d '=')
    ctl key public
    json_is "j['x'] == '$x'"
fi

# ---- by force, on record
ctl key activate --force -- "$standby"
expect 2
err_has '--reason'
ctl key activate --force --reason "a drill" -- "$standby"
expect 0
out_has "^signing now: $standby"
out_has "^retired: $active; .*until"
grep -h '"op":"key.activate"' "$dir"/state/log/*.jsonl | grep -e "$standby" | grep -q '"reason":"a drill"' ||
    complain "force and its reason are not on record"

# ---- retired, revoked, destroyed
next=$(wait_kid token published)
ctl key destroy --confirm "$standby" -- "$standby"
expect 1
out_has 'created, removed or revoked'
ctl key revoke -- "$standby"
expect 2
err_has '--reason'
ctl key revoke --reason "a drill" -- "$standby"
expect 0
out_has "^revoked: $standby"
out_has '^a verifier that does not pin may accept its tokens until .*(in '
out_has "^no key signs now: the standby does from .*(in "
curl -fsS "$ISSUER/.well-known/jwks.json" >"$dir/out"
out_lacks "$standby"
ctl key revoke --reason "again" -- "$standby"
expect 1
ctl key destroy -- "$standby"
expect 2
err_has "--confirm $standby"
err_is_one_line
ctl key destroy --confirm "$(echo "$standby" | cut -c1-20)" -- "$standby"
expect 1
out_has 'nothing was destroyed'
on_terminal "$next" "$top_builddir/attestctl" key destroy --socket "$ADMIN_SOCKET" -- "$standby"
expect 1
out_has 'nothing was destroyed'
on_terminal "$standby" "$top_builddir/attestctl" key destroy --socket "$ADMIN_SOCKET" -- "$standby"
expect 0
out_has "destroyed: $standby"
ctl key destroy --confirm "$standby" -- "$standby"
expect 1
ctl key retire -- "$next"
case $status in 0 | 1) ;; *) complain "retiring a standby: status $status" ;; esac
ctl key accept-clock --json
expect 0
json_is "j['now'] > 0"
ctl key root-rotate
expect 0
out_has '^now announcing the next root key: '
out_has "in place of $root from .*(in 7 d)"
ctl key root-rotate
expect 1

# ---- more keys than one answer holds: the token holds few at a time, the records all
n=0
while [ $n -lt 70 ]; do
    "$top_builddir/attestctl" key generate --purpose log --socket "$ADMIN_SOCKET" --json >"$dir/out" 2>&1 ||
        issuer_failed "no log key could be made: $(cat "$dir/out")"
    made=$(sed -n 's/.*"kid": *"\([^"]*\)".*/\1/p' "$dir/out")
    "$top_builddir/attestctl" key destroy --socket "$ADMIN_SOCKET" --confirm="$made" -- "$made" >"$dir/out" 2>&1 ||
        issuer_failed "$made could not be destroyed: $(cat "$dir/out")"
    n=$((n + 1))
done
ctl key list --json
expect 0
json_is "len(j['keys']) > 70 and len(set(k['kid'] for k in j['keys'])) == len(j['keys'])"

# ---- to a second signer on the same token
ctl key export-records "$dir/records.json"
expect 0
out_has 'stay on the token'
ctl key export-records
cmp -s "$dir/out" /dev/null && complain "nothing is exported to standard output"
json_is "j['format'] == 'attestd-key-records/1' and j['total'] == len(j['keys']) and len(j['keys'][0]['id']) == 32"
ctl key import-records "$dir/records.json"
expect 1
out_has 'passive'
ADMIN1=$ADMIN_SOCKET
mkdir "$dir/two"
second() {
    sed -e "s#$dir/state#$dir/two/state#" -e "s#: $dir/signer.sock#: $dir/two/signer.sock#" \
        -e "s#: $dir/admin.sock#: $dir/two/admin.sock#" "$dir/attest-signer.yaml" >"$dir/two/signer.yaml"
    : >"$dir/two/log"
    "$top_builddir/attest-signer" --config "$dir/two/signer.yaml" "$@" >>"$dir/two/log" 2>&1 &
    second_pid=$!
    wait_for $second_pid "$dir/two/log"
}
second && complain "a second signer on the token started"
grep -q 'held by' "$dir/two/log" || complain "it does not say who holds the token: $(cat "$dir/two/log")"
second --passive || issuer_failed "no passive signer: $(cat "$dir/two/log")"
ADMIN_SOCKET=$dir/two/admin.sock
sed 's#"issuer": *"[^"]*"#"issuer": "https://other.example"#' "$dir/records.json" >"$dir/other.json"
ctl key import-records "$dir/other.json"
expect 1
out_has 'https://other.example'
ctl key import-records "$dir/records.json"
expect 0
out_has 'records imported'
ctl key list --json
cp "$dir/out" "$dir/list2.json"
ctl key import-records "$dir/records.json"
expect 1
kids="sorted(k['kid'] for k in j['keys'])"
[ "$(json "$kids" "$dir/list2.json")" = "$(json "$kids" "$dir/records.json")" ] || complain "not the same keys"
ctl key rotate
expect 1
ctl key take-over
expect 2
holder=$(sed -n 's/.*--confirm \([0-9a-f-]*\)$/\1/p' "$dir/err")
[ ${#holder} = 36 ] || complain "it does not say whom to confirm"
ctl key take-over --confirm 00000000-0000-4000-8000-000000000000
expect 1
on_terminal "$holder" "$top_builddir/attestctl" key take-over --socket "$ADMIN_SOCKET"
expect 0
out_has "before it was $holder"
ctl key list --json
json_is "j['rollover']['loop'] != 'passive'"

# The first one notices, and mints nothing any more.
ADMIN_SOCKET=$ADMIN1
waited=0
until "$top_builddir/attestctl" status --json --socket "$ADMIN_SOCKET" >"$dir/out" &&
    [ "$(json "j['ready']" "$dir/out")" = false ]; do
    waited=$((waited + 1))
    [ $waited -lt 600 ] || issuer_failed "the first signer goes on"
    sleep 0.1
done
ctl key rotate
expect 1
exit $failed
