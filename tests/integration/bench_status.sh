#!/bin/sh
# What `make bench` ends with: a gate that was not measured is not one that was met.
# SPDX-License-Identifier: MIT
set -u
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/tests/bench"
run=$top_srcdir/tests/bench/run.sh

# ends STATUS VERDICT [SCRIPT-STATUS [ANOTHER-VERDICT]]: of a table with such rows.
ends() {
    printf "printf 'row\\ta\\t1\\t1\\t1\\t1\\t%s\\nrow\\tb\\t1\\t1\\t1\\t1\\t%s\\n'; exit %d\n" \
        "$2" "${4:-met}" "${3:-0}" >"$dir/tests/bench/bench_one.sh"
    top_srcdir=$dir BENCH_ONLY=one sh "$run" >"$dir/out" 2>&1
    got=$?
    grep -q "^a .*$2\$" "$dir/out" && [ $got -eq "$1" ] && return
    cat "$dir/out"
    echo "bench_status: '$2', ${3:-0}, '${4:-met}' ends with $got, not $1"
    exit 1
}

ends 0 met
ends 0 -
ends 0 cannot
ends 1 MISSED
ends 3 "not measured"
ends 3 met 3
ends 3 "not measured" 0 MISSED
