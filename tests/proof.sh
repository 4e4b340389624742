#!/bin/sh
# The proofs at their full size, one after the other: an hour or two, and no part of `make check`,
# where the same tests run smaller.
#
#   make proof [PROOF_ONLY="replay disagree"]
#
# Exit status: 0 all of them hold, 1 one does not, 3 one could not be run.
# SPDX-License-Identifier: MIT
set -u
: "${PROOF_ONLY:=}"
logs=$top_builddir/proof
mkdir -p "$logs" || exit 3
table=$(mktemp "${TMPDIR:-/tmp}/attest-proof.XXXXXX") || exit 3
child=
trap 'rm -f "$table" "$table.rows"' EXIT
trap '[ -z "$child" ] || kill "$child" 2>/dev/null; exit 3' INT TERM HUP

# Name, size, test, what is proved. A test whose size is an environment variable is in here.
cat >"$table" <<'END'
replay    REPLAY_TOKENS=1000000       unit/test_replay_faults        four processes of 64 threads and a Redis that fails: nothing is accepted twice
disagree  DISAGREE_TOKENS=100000      interop/disagree.sh            beside jose and PyJWT: nothing that one of them refuses is accepted
bits      -                           unit/test_bitflips             every bit flip and truncation of the valid tokens is refused
rotations ROLLOVER_LOAD_ROTATIONS=500 integration/rollover_load.sh   keys change under load: no valid token is refused
crashes   ROLLOVER_CRASH_ROUNDS=100   integration/rollover_crash.sh  the signer is killed while keys change: each start finds its way back
schedules SIM_POLICIES=100000         unit/test_rollover_sim         ten years of rotations each: no valid token is refused
tpm       TPM2_MANY=10000             unit/test_tpm2_store           operations of all kinds without a resource manager: nothing is left over
cuts      TPM2_EVERY_CUT=1            unit/test_tpm2_accept          a power cut before each command that adds or removes an approver: the keys open
counters  TPM2_EVERY_CUT=1            unit/test_tpm2_intent          a cut before each command and behind each step of a file, of all that makes counters: none is lost
END

status=0
worse() { [ "$status" -eq 1 ] || status=$1; }

# prove NAME SIZE TEST WHAT
prove() {
    echo "== $1 ($2): $4"
    start=$(date +%s)
    case $3 in
    *.sh) set -- "$1" "$2" "$top_srcdir/tests/$3" sh ;;
    *) set -- "$1" "$2" "$top_builddir/tests/$3" env ;;
    esac
    (
        [ "$2" = - ] || export "${2?}"
        exec "$4" "$3"
    ) >"$logs/$1.log" 2>&1 &
    child=$!
    minutes=0
    while kill -0 $child 2>/dev/null; do
        sleep 1
        [ $((($(date +%s) - start) / 60)) -gt $minutes ] || continue
        minutes=$((minutes + 1))
        echo "   $minutes min: $(tail -n 1 "$logs/$1.log" | tr '\r' '\n' | tail -n 1 | cut -c1-100)"
    done
    wait $child
    case $? in
    0) said=holds ;;
    77) said="could not be run" && worse 3 ;;
    *) said=FAILED && status=1 ;;
    esac
    [ "$said" = holds ] || tail -n 5 "$logs/$1.log"
    printf '%-10s %-28s %6d s  %s\n' "$1" "$2" $(($(date +%s) - start)) "$said" >>"$table.rows"
}

: >"$table.rows"
for name in $PROOF_ONLY; do
    grep -q "^$name " "$table" || { echo "proof: there is no '$name'" >&2; exit 3; }
done
while read -r name size test what <&3; do
    case " ${PROOF_ONLY:-$name} " in *" $name "*) prove "$name" "$size" "$test" "$what" ;; esac
done 3<"$table"
echo
cat "$table.rows"
echo "what they said is in $logs"
exit $status
