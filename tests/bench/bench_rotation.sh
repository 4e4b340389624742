#!/bin/sh
# What rotation costs minting: laps with a rotation every five seconds and laps without take turns on
# the same daemons; the median of the ratios of neighbours counts.
# SPDX-License-Identifier: MIT
. "$top_srcdir/tests/bench/lib.sh"

pairs=7
# A lap without a rotation in it would say nothing: five seconds at least.
seconds=$(calc "$BENCH_SECONDS < 5 ? 5 : $BENCH_SECONDS" 0)
signer_yaml='lifetime_default_s: 5
lifetime_max_s: 5
jwks_max_age_s: 1
rollover: {active_period_s: 86400, jitter_s: 0, publish_lead_s: 2, retire_lag_s: 5, verifier_cache_max_s: 0, propagation_s: 1, skew_s: 0}'
make_token
write_body
sed -i 's/"lifetime_s":300/"lifetime_s":5/' "$work/body.json"
start_signer rotation 4
start_attestd rotation

rotations() { "$top_builddir/attestctl" key list --socket "$dir/signer-admin.sock" --json |
    tr -d ' \n' | grep -o '"retired":[0-9]*' | wc -l; }
rotate() { "$top_builddir/attestctl" key rotate --socket "$dir/signer-admin.sock" >>"$work/rotate.err" 2>&1; }

# lap WITH: tokens per second.
lap() {
    rotator=
    if [ "$1" = with ]; then
        (while rotate || die "no rotation"; do sleep 5; done) &
        rotator=$!
        pids="$pids $rotator"
    fi
    "$bench/load" --connections 64 --seconds "$seconds" --warmup 0.3 --post "$work/body.json" \
        --expect 201 "$address" /v1/attestations >"$work/load.json" || die "minting fails: $(cat "$work/load.json")"
    [ -z "$rotator" ] || stop_pid "$rotator"
    field per_s <"$work/load.json"
}

lap without >/dev/null
for i in $(seq $pairs); do
    # Every second pair the other way round: what warms up or slows down hits both alike.
    if [ $((i % 2)) = 1 ]; then
        a=$(lap without) b=$(lap with)
    else
        b=$(lap with) a=$(lap without)
    fi
    echo "$a" >>"$work/without"
    echo "$b" >>"$work/with"
    calc "$b / $a" >>"$work/ratio"
done
n=$(rotations)
[ "$n" -ge $pairs ] || die "$n rotations in $pairs laps: $(tail -1 "$work/rotate.err")"
r=$(median <"$work/ratio")
echo "$n rotations; ratios of neighbours: $(sort -n "$work/ratio" | tr '\n' ' ')"
row "mint: a rotation every 5 s, tokens/s" "$(median <"$work/with")" \
    "without: $(median <"$work/without")" "$r" ">= 0.95" "$(verdict "$r >= 0.95")"
