#!/bin/sh
# Runs the benches one after the other and prints one table of what they found.
#
#   make bench [BENCH_SECONDS=10] [BENCH_ONLY="verify verifier bound replay mint tpm rotation disk jwks memory"]
#
# BENCH_SECONDS is about what each figure is measured for. Exit status: 0 every gate met, 1 one was
# missed, 3 something could not be measured: a bench that fails, or a row that says "not measured",
# because a peer is not here or the machine has one core. A peer that cannot do it is no such row.
# SPDX-License-Identifier: MIT
set -u
: "${BENCH_SECONDS:=10}" "${BENCH_ONLY:=verify verifier bound replay mint tpm rotation disk jwks memory}"
export BENCH_SECONDS top_srcdir top_builddir
rows=$(mktemp "${TMPDIR:-/tmp}/attest-bench-rows.XXXXXX") || exit 3
trap 'rm -f "$rows" "$rows.one" "$rows.times"' EXIT
status=0

# CPU seconds: of the whole machine since it started, and of what this shell started and waited for.
machine_s() {
    awk -v hz="$(getconf CLK_TCK)" '$1 == "cpu" { printf "%.2f\n", ($2 + $3 + $4 + $7 + $8 + $9) / hz }' /proc/stat
}
# (`times` has to run in this shell itself, so the answer is left in $ours.)
read_ours() {
    times >"$rows.times"
    ours=$(awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); s += t[1] * 60 + t[2] }
        print s }' "$rows.times")
}
# Rates mean little when others compete for the same cores; let the reader know.
say_others() {
    echo "$* $(cut -d' ' -f1 /proc/uptime)" | awk -v cores="$(nproc)" '{
        printf "(others used %.0f %% of the %d cores meanwhile)\n",
               100 * (($2 - $1) - ($4 - $3)) / ($6 - $5) / cores, cores }'
}

echo "bench: $(nproc) cores, load $(cut -d' ' -f1-3 /proc/loadavg), $BENCH_SECONDS s a figure"
for name in $BENCH_ONLY; do
    echo "== $name"
    read_ours
    before=$ours machine=$(machine_s) up=$(cut -d' ' -f1 /proc/uptime)
    sh "$top_srcdir/tests/bench/bench_$name.sh" >"$rows.one"
    [ $? -eq 0 ] || { echo "bench: $name could not be measured" >&2; status=3; }
    grep -v '^row	' "$rows.one"
    read_ours
    say_others "$machine" "$(machine_s)" "$before" "$ours" "$up"
    sed -n 's/^row	//p' "$rows.one" >>"$rows"
done

echo
awk -F'\t' '
BEGIN { split("what\tfigure\tbeside\tratio\tgate\tverdict", h, "\t"); for (i = 1; i <= 6; i++) { w[i] = length(h[i]); c[0, i] = h[i] } }
{ n++; for (i = 1; i <= 6; i++) { c[n, i] = $i; if (length($i) > w[i]) w[i] = length($i) } }
END {
    for (r = 0; r <= n; r++) {
        for (i = 1; i < 6; i++) printf "%-" w[i] "s  ", c[r, i]
        print c[r, 6]
    }
}' "$rows"
if grep -q 'not measured$' "$rows"; then
    echo "bench: something could not be measured"
    status=3
fi
if grep -q 'MISSED$' "$rows"; then
    echo "bench: a gate was missed"
    [ $status -ne 0 ] || status=1
fi
exit $status
