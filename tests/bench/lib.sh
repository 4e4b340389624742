# What the benches share: a directory of their own, the daemons, and how to measure them.
# Sourced by the others; needs top_srcdir and top_builddir (run.sh sets them).
# SPDX-License-Identifier: MIT
set -u
: "${BENCH_SECONDS:=10}"
bench=$top_builddir/tests/bench
work=$(mktemp -d "${TMPDIR:-/tmp}/attest-bench.XXXXXX") || exit 3
pids=

# die WHY: with the end of every log in $work.
die() {
    echo "bench: $*" >&2
    for log in "$work"/*.err; do
        [ -s "$log" ] && { echo "--- ${log##*/}" >&2; tail -5 "$log" >&2; }
    done
    exit 3
}

stop_pid() {
    kill "$1" 2>/dev/null && wait "$1" 2>/dev/null
    pids=$(for p in $pids; do [ "$p" = "$1" ] || printf '%s ' "$p"; done)
}

clean_up() {
    for p in $pids; do kill "$p" 2>/dev/null; done
    for p in $pids; do wait "$p" 2>/dev/null; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 3' INT TERM HUP

# have TOOL PACKAGE: whether an optional tool is here; says what it is in when it is not.
have() {
    command -v "$1" >/dev/null 2>&1 ||
        { echo "bench: no $1 here (Debian package $2)" >&2; return 1; }
}

# row FIGURE-NAME FIGURE BESIDE RATIO GATE VERDICT: one line of the table that run.sh prints.
row() { printf 'row\t%s\t%s\t%s\t%s\t%s\t%s\n' "$@"; }

# calc EXPRESSION [DIGITS]: awk's arithmetic, with so many decimals (3).
calc() { awk "BEGIN { printf \"%.${2:-3}f\n\", $1 }"; }
# verdict CONDITION: met or MISSED.
verdict() { awk "BEGIN { print(($1) ? \"met\" : \"MISSED\") }"; }
# median of the numbers on standard input, one a line.
median() { sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'; }
# field NAME: a number of the one-line JSON object on standard input.
field() { sed -n "s/.*\"$1\": *\\([-0-9.]*\\).*/\\1/p" | head -1; }

. "$top_srcdir/tests/support/port.sh"
# One that is not listened on now.
free_port() {
    while :; do
        port=$(random_port)
        hex=$(printf ':%04X ' "$port")
        grep -qs "$hex" /proc/net/tcp /proc/net/tcp6 || break
    done
    echo "$port"
}

# wait_for SECONDS COMMAND…: until it succeeds.
wait_for() {
    tries=$(($1 * 20))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}

# CPU that a process used so far, in nanoseconds, all its threads.
cpu_ns() {
    if [ -r "/proc/$1/schedstat" ]; then
        cat /proc/"$1"/task/*/schedstat | awk '{ s += $1 } END { printf "%.0f\n", s }'
    else
        awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%.0f\n", ($12 + $13) / hz * 1e9 }' \
            "/proc/$1/stat"
    fi
}
rss_kib() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"; }

# --- a keystore, the daemons

softhsm_module() {
    for m in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so \
        /usr/lib64/pkcs11/libsofthsm2.so /usr/local/lib/softhsm/libsofthsm2.so; do
        [ -r "$m" ] && { echo "$m"; return; }
    done
    die "no SoftHSM here (Debian package softhsm2)"
}

# A token of our own under $work/hsm, its PIN in $work/pin.
make_token() {
    have softhsm2-util softhsm2 || exit 3
    module=$(softhsm_module) || exit 3
    mkdir -p "$work/hsm"
    SOFTHSM2_CONF=$work/softhsm2.conf
    export SOFTHSM2_CONF
    printf 'directories.tokendir = %s/hsm\nobjectstore.backend = file\nlog.level = ERROR\n' \
        "$work" >"$SOFTHSM2_CONF"
    (umask 077 && echo 28374651 >"$work/pin")
    softhsm2-util --init-token --free --label bench --so-pin 12345678 --pin 28374651 \
        >"$work/softhsm.err" 2>&1 || die "no token could be made"
}

# start_signer NAME WORKERS [MODULE [TOKEN]]: attest-signer with keys, in $work/NAME. What stands
# in $signer_env is put into its environment alone, $signer_yaml into its configuration;
# $signer_keystore is another keystore than that token, $signer_state another place for the log,
# $signer_program another program, $signer_before is run between configuration and start. Sets
# signer_pid.
start_signer() {
    dir=$work/$1
    mkdir -p "$dir/state" "${signer_state:-$dir/state}"
    pkcs11="keystore: \"pkcs11:token=${4:-bench}\"
module: ${3:-${module:-}}
pin: {file: $work/pin}"
    cat >"$dir/signer.yaml" <<END
issuer: https://attest.example.com
${signer_keystore:-$pkcs11}
state_dir: ${signer_state:-$dir/state}
signer_socket: $dir/signer.sock
admin_socket: $dir/signer-admin.sock
development: true
workers: $2
${signer_yaml:-}
END
    ${signer_before:-:}
    env ${signer_env:-} "${signer_program:-$top_builddir/attest-signer}" --config "$dir/signer.yaml" 2>"$dir.signer.err" &
    signer_pid=$!
    pids="$pids $signer_pid"
    wait_for 10 test -S "$dir/signer-admin.sock" || die "attest-signer does not start"
    for purpose in log root token; do
        "$top_builddir/attestctl" key generate --socket "$dir/signer-admin.sock" \
            --purpose $purpose >"$dir.ctl.err" 2>&1 || die "no $purpose key"
    done
}

# start_attestd NAME [YAML…]: attestd before the signer of that name, on a port of its own. Sets
# attestd_pid and address.
start_attestd() {
    dir=$work/$1
    shift
    port=$(free_port)
    address=127.0.0.1:$port
    cat >"$dir/attestd.yaml" <<END
issuer: https://attest.example.com
listen: ["$address"]
signer_socket: $dir/signer.sock
admin_listen: unix:$dir/metrics.sock
per_address_max: 100000
development: true
END
    for line in "$@"; do echo "$line" >>"$dir/attestd.yaml"; done
    "$top_builddir/attestd" --config "$dir/attestd.yaml" --insecure-open-mint 2>"$dir.attestd.err" &
    attestd_pid=$!
    pids="$pids $attestd_pid"
    wait_for 10 grep -q event=ready "$dir.attestd.err" || die "attestd does not get ready"
}

# What agents ask for.
write_body() {
    cat >"$work/body.json" <<'END'
{"audience":"https://mcp.example.com/v1","agent_identity":{"model_family":"claude-4","model_version":"claude-sonnet-4","provider":"anthropic","deployment_id":"prod-eu-west-1-blue"},"agent_integrity":{"config_hash":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","system_prompt_hash":"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"},"attestation_metadata":{"safety_level":"standard","capabilities_declared":["tools","code","browse"]},"lifetime_s":300}
END
}

# mint SECONDS ADDRESS: 64 connections, every signature checked; the load program's line.
mint() {
    "$bench/load" --connections 64 --seconds "$1" --warmup 0.3 --post "$work/body.json" \
        --expect 201 --check-every 1 "$2" /v1/attestations
}
