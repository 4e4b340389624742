#!/bin/sh
# Resident memory while 64 connections mint, what one more connection costs, and how long each
# daemon takes from its start until it says READY=1.
# SPDX-License-Identifier: MIT
. "$top_srcdir/tests/bench/lib.sh"

make_token
write_body
start_signer memory 4
start_attestd memory

# The largest of what is seen while the load goes on.
mint "$BENCH_SECONDS" "$address" >"$work/load.json" &
load_pid=$!
attestd_kib=0 signer_kib=0
while kill -0 $load_pid 2>/dev/null; do
    a=$(rss_kib "$attestd_pid") s=$(rss_kib "$signer_pid")
    [ "$a" -gt $attestd_kib ] && attestd_kib=$a
    [ "$s" -gt $signer_kib ] && signer_kib=$s
    sleep 0.1
done
wait $load_pid || die "minting fails: $(cat "$work/load.json")"
# What the module itself takes, in a process that does nothing but sign, with as many sessions, as
# many times: SoftHSM 2.6.1 loses some 67 bytes at each C_SignInit with an Ed25519 key.
"$top_builddir/attestctl" status --socket "$dir/signer-admin.sock" --json >"$work/status.json" ||
    die "no status"
"$bench/csign" --module "$module" --token bench --pin-file "$work/pin" --threads 4 --seconds 3600 \
    --count "$(field signatures <"$work/status.json")" >"$work/csign.json" || die "csign fails"
module_kib=$(($(field after_kib <"$work/csign.json") - $(field before_kib <"$work/csign.json")))
mib() { calc "$1 / 1024" 1; }
row "memory: attestd, 64 connections minting" "$(mib $attestd_kib) MiB" "-" "-" "<= 14 MiB" \
    "$(verdict "$attestd_kib <= 14 * 1024")"
beyond_kib=$((signer_kib - module_kib))
row "memory: attest-signer beyond the module's" "$(mib $beyond_kib) MiB" \
    "module $(mib $module_kib) MiB" "-" "<= 16 MiB" "$(verdict "$beyond_kib <= 16 * 1024")"

# connection_kib PID ADDRESS [--tls]: KiB for each of 1,000 that stay open.
connection_kib() {
    pid=$1
    shift
    mkfifo "$work/in"
    before=$(rss_kib "$pid")
    "$bench/hold" --connections 1000 "$@" /.well-known/jwks.json <"$work/in" >"$work/held" \
        2>"$work/hold.err" &
    hold_pid=$!
    exec 9>"$work/in"
    wait_for 60 grep -q held "$work/held" || die "1,000 connections do not stand"
    during=$(rss_kib "$pid")
    exec 9>&-
    wait $hold_pid
    rm "$work/in"
    calc "($during - $before) / 1000" 1
}
row "memory: one more plain connection" "$(connection_kib "$attestd_pid" "$address") KiB" \
    "-" "-" "-" "-"
stop_pid "$attestd_pid"

if have openssl openssl; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
        -keyout "$work/tls.key" -out "$work/tls.pem" 2>"$work/openssl.err" || die "no certificate"
    start_attestd memory "tls: {certificate: $work/tls.pem, key: $work/tls.key}"
    row "memory: one more TLS connection" "$(connection_kib "$attestd_pid" --tls "$address") KiB" \
        "-" "-" "-" "-"
    stop_pid "$attestd_pid"
fi

# start NAME CONFIG ARGUMENT…: the median of nine starts.
start() {
    name=$1
    shift
    for i in 1 2 3 4 5 6 7 8 9; do
        "$bench/ready" -- "$top_builddir/$name" "$@" >>"$work/$name.ready" 2>>"$work/$name.err" ||
            die "$name does not get ready"
    done
    ms=$(while read -r line; do echo "$line" | field ready_ms; done <"$work/$name.ready" | median)
    cpu=$(while read -r line; do echo "$line" | field cpu_ms; done <"$work/$name.ready" | median)
    row "start to ready: $name" "$ms ms" "CPU $cpu ms" "-" "< 300 ms" "$(verdict "$ms < 300")"
}
start attestd --config "$work/memory/attestd.yaml" --insecure-open-mint
stop_pid "$signer_pid"
start attest-signer --config "$work/memory/signer.yaml"
