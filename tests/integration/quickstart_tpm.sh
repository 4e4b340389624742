#!/bin/sh
# The quickstart on a software TPM with the programs of this build: each step holds, a second run
# unseals the keys of the first, nothing is left running, a token of SoftHSM can stand beside, and no
# secret crosses the bus to the TPM.
set -u
. "$top_srcdir/tests/support/port.sh"
for program in curl bash swtpm; do
    command -v $program >/dev/null || { echo "no $program"; exit 77; }
done

# What it calls loads our module where it asks for that of swtpm (tests/support/tcti_log.c).
module=libtss2-tcti-swtpm.so.0
behind=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p | sed -n "s,^.*$module.* => ,,p" | head -n 1)
[ -n "$behind" ] || { echo "no $module: apt-get install libtss2-dev"; exit 77; }
dir=$(mktemp -d) || exit 1
run=$dir/run
mkdir "$dir/modules"
ln -s "$(cd "$top_builddir" && pwd)/tests/support/.libs/tcti_log.so" "$dir/modules/$module"
quickstart() {
    LD_LIBRARY_PATH=$dir/modules TCTI_LOG=$dir/bus.log,$behind \
        bash "$top_srcdir/scripts/quickstart" --dir "$run" --build-dir "$top_builddir" "$@"
}
trap 'quickstart --stop >/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
failed=0
complain() {
    echo "quickstart --tpm: $*"
    failed=1
}

# Runs it on random ports until one is free.
once() {
    for _ in 1 2 3 4 5; do
        port=$(random_port)
        quickstart --port $port --once "$@" >"$dir/out" 2>&1 && return 0
        grep -q "Port $port is taken" "$dir/out" || break
    done
    cat "$dir/out"
    return 1
}
kids_of() { sed -n 's/^    //p' "$dir/out" | grep "^$1" | grep -oE '[A-Za-z0-9_-]{43}' | sort; }

once --tpm || { complain "the first run failed"; exit 1; }
grep -q '^Every step held' "$dir/out" || complain "it does not say that every step held"
grep -q '(made: root log token)' "$dir/out" || complain "the first run made no keys"
grep -q 'keys sealed by the TPM' "$dir/out" || complain "no TPM sealed them"
kids=$(kids_of '\(root\|log\) ')
[ -n "$kids" ] || complain "no key is shown"
[ -f "$run/state-tpm/sealed.keys" ] || complain "no sealed keys"
[ ! -e "$run/softhsm" ] && [ ! -e "$run/pin" ] || complain "SoftHSM was there too"
quickstart --stop | grep -q '^nothing runs' || complain "--once leaves something running"
[ -z "$(find "$run" ! -type s -perm /077 | head -n 1)" ] || complain "a file is open to others"

recorded=$(wc -c <"$dir/bus.log")
[ "$recorded" -gt 0 ] || complain "nothing was recorded"
once --tpm || { complain "the second run failed"; exit 1; }
[ "$(wc -c <"$dir/bus.log")" -gt "$recorded" ] || complain "nothing of the second run was recorded"
grep -q 'the ones from before' "$dir/out" || complain "the second run made new keys"
[ "$kids" = "$(kids_of '\(root\|log\) ')" ] || complain "the second run shows other keys"

# Serving, and stopped by another.
port=$(random_port)
bash "$top_srcdir/scripts/quickstart" --dir "$run" --build-dir "$top_builddir" --tpm --port $port \
    >"$dir/served" 2>&1 </dev/null &
server=$!
for _ in $(seq 3000); do
    grep -q '^Serving' "$dir/served" && break
    kill -0 $server 2>/dev/null || break
    sleep 0.1
done
if grep -q '^Serving' "$dir/served"; then
    pid=$(cat "$run/swtpm.pid")
    kill -0 "$pid" || complain "no TPM runs"
    tcti=$(sed -n 's/^keystore: "tpm2:\(.*\)"$/\1/p' "$run"/*.yaml | head -n 1)
    for _ in 1 2 3 4 5; do # keys may be changed between the two
        cp "$run/state-tpm/sealed.keys" "$dir/sealed"
        "$top_builddir/tests/support/sealed_secrets" "$tcti" "$dir/sealed" >"$dir/secrets" && break
    done
    [ "$(grep -c seed "$dir/secrets")" -ge 3 ] || complain "the secrets of the sealed keys could not be had"
    quickstart --stop | grep -q '^stopped' || complain "--stop stops nothing"
    kill -0 "$pid" 2>/dev/null && complain "the TPM goes on after --stop"
elif ! grep -q "Port $port is taken" "$dir/served"; then
    cat "$dir/served"
    complain "it does not serve"
fi
[ $failed = 0 ] || kill $server 2>/dev/null # it may still be on its way to serve
wait $server
"$top_builddir/tests/support/find_secrets" "$dir/secrets" bus "$dir/bus.log" || complain "a secret crossed the bus"
exit $failed
