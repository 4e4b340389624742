#!/bin/sh
# The quickstart with the programs of this build: each step holds, a second run keeps the keys, --stop
# stops a run that serves, a port that is taken is said.
set -u
. "$top_srcdir/tests/support/need.sh"
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/port.sh"
need_curl
command -v curl >/dev/null || { echo "no curl: apt-get install curl"; exit 77; }
command -v bash >/dev/null || { echo "no bash"; exit 77; }
dir=$(mktemp -d) || exit 1
softhsm_start
run=$dir/run
quickstart() { bash "$top_srcdir/scripts/quickstart" --dir "$run" --build-dir "$top_builddir" "$@"; }
trap 'quickstart --stop >/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
failed=0
complain() {
    echo "quickstart: $*"
    failed=1
}
give_up() {
    complain "$1"
    cat "$dir/out"
    exit 1
}

# Runs it on random ports until one is free: 3 says that a step did not hold.
once() {
    for _ in 1 2 3 4 5; do
        port=$(random_port)
        quickstart --port $port "$@" >"$dir/out" 2>&1 && return 0
        grep -q "Port $port is taken" "$dir/out" || return 1
    done
    return 1
}

once --once || give_up "the first run failed"
grep -q '^Every step held' "$dir/out" || give_up "the first run does not say that every step held"
grep -q '(made: root log token)' "$dir/out" || give_up "the first run made no keys"
kids_of() { sed -n 's/^    //p' "$dir/out" | grep "^$1" | grep -oE '[A-Za-z0-9_-]{43}' | sort; }
kids=$(kids_of '\(root\|log\) ')
signing=$(kids_of 'token *active')
[ -n "$kids" ] && [ -n "$signing" ] || give_up "no key is shown"
grep -q '^ *[0-9]*\. rotate the token key .*ok  to '"$signing" "$dir/out" ||
    complain "the key that signs is not the one that was rotated to"
[ -n "$(kids_of 'token *retired')" ] || complain "no key has retired"
grep -q '^    token .*[#|].*|' "$dir/out" || complain "no life of a key is drawn"
head -c 5 "$run/timeline.svg" | grep -q '<?xml' || complain "there is no timeline.svg"
quickstart --stop | grep -q '^nothing runs' || complain "--once leaves something running"

once --once || give_up "the second run failed"
grep -q 'the ones from before' "$dir/out" || complain "the second run made new keys"
[ "$kids" = "$(kids_of '\(root\|log\) ')" ] || complain "the second run shows other root and log keys"
[ "$signing" = "$(kids_of 'token *retired' | grep -xF -e "$signing")" ] ||
    complain "the second run did not go on from the key that signed"

# No PIN in any process's arguments or log; files of this user's only.
pin=$(cat "$run/pin")
grep -rqF "$pin" "$run/log" && complain "the PIN is in a log"
[ "$(stat -c %a "$run/pin")" = 600 ] || complain "the PIN file is open to others"
[ -z "$(find "$run" ! -type s -perm /077 | head -n 1)" ] || complain "a file is open to others: $(find "$run" ! -type s -perm /077 | head -n 3)"

# Serving, a second start takes over; --stop ends it.
port=$(random_port)
bash "$top_srcdir/scripts/quickstart" --dir "$run" --build-dir "$top_builddir" --port $port \
    >"$dir/served" 2>&1 </dev/null &
server=$!
for _ in $(seq 3000); do
    grep -q '^Serving' "$dir/served" && break
    kill -0 $server 2>/dev/null || break
    sleep 0.1
done
if grep -q '^Serving' "$dir/served"; then
    curl -fsS "http://127.0.0.1:$port/.well-known/jwks.json" | grep -q '"keys"' || complain "no key set is served"
    mkdir "$dir/other"
    bash "$top_srcdir/scripts/quickstart" --dir "$dir/other" --build-dir "$top_builddir" --port $port --once \
        >"$dir/out" 2>&1 && complain "two may serve on one port"
    grep -q "Port $port is taken" "$dir/out" || complain "a taken port is not said: $(cat "$dir/out")"
    quickstart --stop | grep -q '^stopped' || complain "--stop stops nothing"
elif ! grep -q "Port $port is taken" "$dir/served"; then
    cat "$dir/served"
    complain "it does not serve"
fi
[ $failed = 0 ] || kill $server 2>/dev/null # it may still be on its way to serve
wait $server
status=$?
[ $status -eq 0 ] || grep -q "Port $port is taken" "$dir/served" || complain "after --stop the exit status is $status"

bash "$top_srcdir/scripts/quickstart" --port 0 >/dev/null 2>&1
[ $? -eq 2 ] || complain "--port 0 is not wrong use"
bash "$top_srcdir/scripts/quickstart" --frobnicate >/dev/null 2>&1
[ $? -eq 2 ] || complain "an unknown option is not wrong use"
exit $failed
