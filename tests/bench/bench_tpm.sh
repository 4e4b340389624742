#!/bin/sh
# Minting from seeds that a TPM has sealed, beside the same daemons with keys in ordinary memory;
# and what two processes and a durable log cost there, where signing costs least. Laps take turns;
# the median of the ratios of neighbours counts.
# SPDX-License-Identifier: MIT
. "$top_srcdir/tests/bench/lib.sh"

[ -x "$bench/attest-signer-memory" ] || { echo "bench: built without TPM 2.0" >&2; exit 3; }
have swtpm swtpm || exit 3
rounds=15
seconds=$(calc "$BENCH_SECONDS / $rounds")
write_body

# start_swtpm NAME: one of its own for each signer, because a TPM has one user at a time.
start_swtpm() {
    mkdir "$work/tpm.$1"
    port=$(free_port)
    swtpm socket --tpm2 --server type=tcp,port="$port",bindaddr=127.0.0.1 \
        --ctrl type=tcp,port=$((port + 1)),bindaddr=127.0.0.1 --tpmstate "dir=$work/tpm.$1,mode=0600" \
        --flags not-need-init,startup-clear 2>"$work/swtpm.$1.err" &
    pids="$pids $!"
    tcti=swtpm:host=127.0.0.1,port=$port
}
seal() {
    tries=0
    until "$top_builddir/attestctl" hsm seal --no-pin --config "$dir/signer.yaml" >"$work/seal.err" 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 50 ] || die "nothing could be sealed"
        sleep 0.1
    done
}

# A disk would hide what signing costs: the logs of the two are in memory, and a third one's is not.
shm=$(mktemp -d /dev/shm/attest-bench.XXXXXX) || exit 3
trap 'clean_up; rm -rf "$shm"' EXIT
start_swtpm sealed
signer_keystore="keystore: \"tpm2:$tcti\"
pcrs: sha256:0,2,7,11" signer_before=seal signer_state=$shm/sealed
start_signer sealed 4
start_attestd sealed
sealed=$address sealed_pids="$signer_pid $attestd_pid"
start_swtpm resident
signer_keystore="keystore: \"tpm2:$tcti\"
pcrs: sha256:0,2,7,11
resident: [token]" signer_state=$shm/resident
start_signer resident 4
start_attestd resident
resident=$address
signer_keystore="keystore: \"tpm2:memory\"" signer_before=: signer_state=$shm/plain
signer_program=$bench/attest-signer-memory
start_signer plain 4
plain_pid=$signer_pid plain_socket=$dir/signer.sock
start_attestd plain
plain=$address plain_pids="$signer_pid $attestd_pid"
signer_state=
start_signer disk 4
start_attestd disk
disk=$address

cpu_of() { echo $(($(cpu_ns "$1") + $(cpu_ns "$2"))); }

lap() {
    mint "$seconds" "$2" >"$work/load.json" || die "minting fails: $(cat "$work/load.json")"
    field per_s <"$work/load.json" >>"$work/lap.$1"
    field p50_us <"$work/load.json" >>"$work/p50.$1"
}
for address in $sealed $resident $plain $disk; do mint 0.3 "$address" >/dev/null || die "minting fails"; done
sealed_before=$(cpu_of $sealed_pids) plain_before=$(cpu_of $plain_pids)
for i in $(seq $rounds); do
    # Every second round the other way round: what warms up or slows down hits both alike.
    if [ $((i % 2)) = 0 ]; then lap sealed "$sealed" && lap plain "$plain"; else
        lap plain "$plain" && lap sealed "$sealed"
    fi
    lap resident "$resident"
    lap disk "$disk"
done
# ratio ONE OTHER: of the laps of one round
ratio() { paste "$work/lap.$1" "$work/lap.$2" | awk '{ print $1 / $2 }' | median; }

# cpu NAME BEFORE PIDS: microseconds a token, of both daemons, all its laps together
cpu() {
    tokens=$(awk -v s="$seconds" '{ n += $1 * (s + 0.3) } END { printf "%.0f", n }' "$work/lap.$1")
    calc "($(cpu_of $3) - $2) / $tokens / 1000" 1
}
echo "CPU a token, both daemons, about: from a sealed seed $(cpu sealed "$sealed_before" "$sealed_pids") us," \
    "in memory $(cpu plain "$plain_before" "$plain_pids") us"
r=$(ratio sealed plain)
row "tpm (a): minting from a sealed seed, tokens/s" "$(median <"$work/lap.sealed")" \
    "in memory: $(median <"$work/lap.plain")" "$(calc "$r")" ">= 0.95" "$(verdict "$r >= 0.95")"
row "tpm (b): in memory, log on a disk, tokens/s" "$(median <"$work/lap.disk")" \
    "log in memory: $(median <"$work/lap.plain")" "$(calc "$(ratio disk plain)")" "-" "-"
echo "what the log waits for a disk: p50 $(median <"$work/p50.disk") us, without one" \
    "$(median <"$work/p50.plain") us"

row "tpm (d): ES256 by a key in the TPM, tokens/s" "$(median <"$work/lap.resident")" \
    "sealed: $(median <"$work/lap.sealed")" "$(calc "$(ratio resident sealed)")" "-" "-"
echo "a token by a key in the TPM (here swtpm): p50 $(median <"$work/p50.resident") us"

# A request there and back that asks for nothing: what it is that there are two processes.
count=$(calc "$BENCH_SECONDS * 5000" 0)
before=$(cpu_ns "$plain_pid")
"$top_builddir/tests/support/signer_load" "$plain_socket" https://attest.example.com --ping \
    --count "$count" --in-flight 64 >"$work/ping.json" || die "no answer to pings"
signer=$(calc "($(cpu_ns "$plain_pid") - $before) / $count / 1000")
client=$(field cpu_us <"$work/ping.json")
row "tpm (c): CPU of the way between the two processes" "$(calc "$signer + $client") us a request" \
    "attest-signer $signer, its client $client" "-" "-" "-"
