#!/bin/sh
# A verifier at work: with two threads, while a fetch of keys hangs, under a flood of unknown kids, and counted.
# SPDX-License-Identifier: MIT
. "$top_srcdir/tests/bench/lib.sh"

status=0
if [ "$(nproc)" -ge 2 ]; then
    "$bench/scale" --seconds "$BENCH_SECONDS" || status=3
else
    row "verify a token: by two threads beside one" "one core here" "-" "-" ">= 0.97" "not measured"
fi
for what in hang flood; do
    "$bench/fetching" $what --seconds "$BENCH_SECONDS" || status=3
done
"$bench/seeing" || status=3
exit $status
