#!/bin/sh
# The replay memory: a million entries in this process, what one takes and what a check costs; and
# Redis, beside redis-benchmark with the same command from as many connections, each with one
# question under way. Rounds take turns; medians count.
# SPDX-License-Identifier: MIT
. "$top_srcdir/tests/bench/lib.sh"

rounds=5
for i in $(seq $rounds); do
    "$bench/replay" memory 1000000 >>"$work/memory" || die "the memory cannot be measured"
done
for name in bytes_each new_ns seen_ns; do
    sed -n "s/.*\"$name\": \([0-9.]*\).*/\1/p" "$work/memory" | median >"$work/$name"
done
bytes=$(cat "$work/bytes_each") new=$(cat "$work/new_ns") seen=$(cat "$work/seen_ns")
row "replay: bytes an entry, 1,000,000 alive" "$bytes" "-" "-" "<= 48" "$(verdict "$bytes <= 48")"
row "replay: CPU of a check, ns (new)" "$new" "-" "-" "<= 1000" "$(verdict "$new <= 1000")"
row "replay: CPU of a check, ns (seen)" "$seen" "-" "-" "<= 1000" "$(verdict "$seen <= 1000")"

have redis-server redis-server && have redis-benchmark redis-tools || exit 3
socket=$work/redis.sock
redis-server --port 0 --unixsocket "$socket" --save '' --dir "$work" >"$work/redis.log" 2>&1 &
pids="$pids $!"
wait_for 10 redis-cli -s "$socket" ping || die "redis-server does not start"
redis-cli -s "$socket" set 'attest:{seen}:epoch' new >/dev/null

seconds=$(calc "$BENCH_SECONDS / $rounds / 2")
for threads in 1 16; do
    : >"$work/ours"
    : >"$work/theirs"
    for i in $(seq $rounds); do
        "$bench/replay" redis "unix://$socket" $threads "$seconds" >"$work/one" ||
            die "the store in Redis cannot be measured"
        per_s=$(field per_s <"$work/one")
        echo "$per_s" >>"$work/ours"
        redis-benchmark -s "$socket" -c $threads -P 1 -n "$(calc "$per_s * $seconds + 1000" 0)" \
            -r 1000000000 -q SET 'attest:{seen}:__rand_int__0123456789abcdef0123456789abcdef0123456789abcdef0123' \
            1 NX PX 2048000 2>"$work/benchmark.err" | tr '\r' '\n' |
            sed -n 's/.* \([0-9.]*\) requests per second.*/\1/p' | tail -1 >>"$work/theirs"
    done
    paste "$work/ours" "$work/theirs" | awk '{ printf "%.3f\n", $1 / $2 }' >"$work/ratio"
    row "replay: entries in Redis/s, $threads connections" "$(median <"$work/ours")" \
        "redis-benchmark SET -P 1: $(median <"$work/theirs")" "$(median <"$work/ratio")" "-" "-"
done
