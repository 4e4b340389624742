#!/bin/sh
# The next request of an agent whose bound token is known already, beside one bare signature.
# SPDX-License-Identifier: MIT
. "$top_srcdir/tests/bench/lib.sh"
seconds=$BENCH_SECONDS
[ "$seconds" -le 60 ] || seconds=60
"$bench/bound" --seconds "$seconds"
