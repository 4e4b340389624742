#!/bin/sh
# Minting on SoftHSM: what a token costs outside the module, and how near the module's own rate it
# comes. Rounds of raw C_Sign and of minting take turns; medians count.
# SPDX-License-Identifier: MIT
. "$top_srcdir/tests/bench/lib.sh"

rounds=5
seconds=$(calc "$BENCH_SECONDS / $rounds")
make_token
write_body
start_signer softhsm 4
start_attestd softhsm

# Tokens; CPU in ns: attestd, the signer, C_Sign, the check after it; records, commits.
counters() {
    "$top_builddir/attestctl" status --socket "$dir/signer-admin.sock" --json >"$work/status.json" ||
        die "no status"
    echo "$(field signatures <"$work/status.json") $(cpu_ns "$attestd_pid") $(cpu_ns "$signer_pid")" \
        "$(field sign_cpu_ns <"$work/status.json") $(field verify_cpu_ns <"$work/status.json")" \
        "$(field log_records <"$work/status.json") $(field log_commits <"$work/status.json")"
}

raw() {
    "$bench/csign" --module "$module" --token bench --pin-file "$work/pin" --threads "$1" \
        --seconds "$(calc "$seconds / 2")" | field per_s
}

mint 1 "$address" >/dev/null || die "minting fails"
for i in $(seq $rounds); do
    raw 1 >>"$work/raw1"
    raw 2 >>"$work/raw2"
    before=$(counters)
    mint "$seconds" "$address" >"$work/load.json" || die "minting fails: $(cat "$work/load.json")"
    after=$(counters)
    field per_s <"$work/load.json" >>"$work/mint"
    field p50_us <"$work/load.json" >>"$work/p50"
    field p99_us <"$work/load.json" >>"$work/p99"
    echo "$before $after" | awk '{
        for (i = 1; i <= 7; i++) d[i] = $(i + 7) - $i
        n = d[1] * 1000; attestd = d[2] / n; signer = d[3] / n; sign = d[4] / n; check = d[5] / n
        printf "%.1f %.1f %.1f %.1f %.1f %.1f\n", attestd + signer - sign - check, attestd,
               signer - sign - check, sign, check, d[6] / d[7] }' >>"$work/cpu"
done
column() { cut -d' ' -f"$1" "$work/cpu" | median; }

ours=$(column 1)
echo "CPU a token: attestd $(column 2) us, attest-signer $(column 3) us beside C_Sign $(column 4) us" \
    "and its check $(column 5) us; $(column 6) records a commit"
echo "SoftHSM end to end, 64 connections: p50 $(median <"$work/p50") us, p99 $(median <"$work/p99") us"
row "mint (a): CPU a token outside C_Sign and its check" "$ours us" "-" "-" "<= 200 us" \
    "$(verdict "$ours <= 200")"
m=$(median <"$work/mint")
for n in 1 2; do
    r=$(median <"$work/raw$n")
    row "mint (d): SoftHSM end to end, tokens/s" "$m" "C_Sign, $n thread(s): $r" \
        "$(calc "$m / $r")" "-" "-"
done
