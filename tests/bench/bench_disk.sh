#!/bin/sh
# Minting where waiting is what costs: a module that takes 4 ms for a signature without using the
# CPU, with 8 sessions, as an HSM on a network does; and the same over a disk whose fsync takes
# 10 ms longer. Rounds of both take turns; medians count.
# SPDX-License-Identifier: MIT
. "$top_srcdir/tests/bench/lib.sh"

rounds=5
seconds=$(calc "$BENCH_SECONDS / $rounds")
ceiling=2000 # 8 sessions, 4 ms each
fault=$top_builddir/tests/support/.libs/p11_fault.so
slow=$top_builddir/tests/support/.libs/slowsync.so
[ -r "$fault" ] && [ -r "$slow" ] || die "no $fault or no $slow"
printf 'set label bench\nset pin 28374651\nC_Sign take 4\n' >"$work/rules"
(umask 077 && echo 28374651 >"$work/pin")
write_body

signer_env="P11_FAULT_CONTROL=$work/rules P11_FAULT_DIR=$work/objects"
mkdir "$work/objects"
start_signer fast 8 "$fault"
start_attestd fast
fast=$address
signer_env="P11_FAULT_CONTROL=$work/rules LD_PRELOAD=$slow SLOWSYNC_MS=10 SLOWSYNC_UNDER=$work/slow/state SLOWSYNC_COUNT=$work/syncs"
start_signer slow 8 "$fault"
start_attestd slow
slow=$address

records() { cat "$work"/slow/state/log/* | wc -l; }
syncs() { wc -c <"$work/syncs"; }

for a in $fast $slow; do mint 1 "$a" >/dev/null || die "minting fails"; done
for i in $(seq $rounds); do
    P11_FAULT_CONTROL=$work/rules P11_FAULT_DIR=$work/objects "$bench/csign" --module "$fault" \
        --token bench --pin-file "$work/pin" --threads 8 --seconds "$(calc "$seconds / 2")" |
        field per_s >>"$work/alone"
    mint "$seconds" "$fast" >"$work/load.json" || die "minting fails: $(cat "$work/load.json")"
    field per_s <"$work/load.json" >>"$work/b"
    r=$(records) s=$(syncs)
    mint "$seconds" "$slow" >"$work/load.json" || die "minting fails: $(cat "$work/load.json")"
    field per_s <"$work/load.json" >>"$work/c"
    calc "($(records) - $r) / ($(syncs) - $s)" 1 >>"$work/each"
done
paste "$work/b" "$work/c" | awk '{ printf "%.3f\n", $2 / $1 }' >"$work/ratio"

b=$(median <"$work/b") c=$(median <"$work/c") each=$(median <"$work/each") ratio=$(median <"$work/ratio")
echo "the module alone, C_Sign from 8 threads: $(median <"$work/alone") a second"
row "mint (b): 8 sessions of 4 ms, tokens/s" "$b" "8 / 4 ms: $ceiling" "$(calc "$b / $ceiling")" ">= 0.95" \
    "$(verdict "$b / $ceiling >= 0.95")"
row "mint (c): the same, fsync 10 ms slower" "$c" "(b) $b" "$ratio" ">= 0.90" \
    "$(verdict "$ratio >= 0.90")"
row "mint (c): records an fsync" "$each" "-" "-" ">= 10" "$(verdict "$each >= 10")"
