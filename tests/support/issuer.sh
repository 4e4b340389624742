# SPDX-License-Identifier: MIT
# For shell tests, after `dir` has been set to a directory of their own: a whole issuer on a SoftHSM,
# as this user, on a port that was free.
#
#   start_issuer   makes token, keys and configurations in $dir, starts both daemons, waits until they
#                  are ready, and sets ISSUER (its URL), MINT_SOCKET, SIGNER_SOCKET, ADMIN_SOCKET,
#                  METRICS_SOCKET, SIGNER_PID, ATTESTD_PID
#   stop_issuer    stops them; give it to the test's EXIT trap
#   start_signer, start_attestd, stop_daemon PID   the parts, for tests that kill one of them
#
# EXTRA_SIGNER and EXTRA_ATTESTD are added to the configuration files. Logs: $dir/signer.log,
# $dir/attestd.log. Without SoftHSM or curl the test ends with 77.
. "$top_srcdir/tests/support/softhsm.sh"
. "$top_srcdir/tests/support/port.sh"

SIGNER_PID= ATTESTD_PID=

issuer_failed() {
    echo "issuer.sh: $1"
    for log in "$dir/signer.log" "$dir/attestd.log" "$dir/setup.log"; do
        [ -s "$log" ] && { echo "--- ${log##*/}"; tail -n 20 "$log"; }
    done
    exit 1
}

# wait_for PID LOG: until the daemon says that it serves; 1 when it ended instead.
wait_for() {
    waited=0
    until grep -qs "event=ready" "$2"; do
        kill -0 "$1" 2>/dev/null || return 1
        waited=$((waited + 1))
        [ $waited -lt 1200 ] || issuer_failed "${2##*/}: not ready after two minutes"
        sleep 0.1
    done
}

start_signer() {
    # Emptied before wait_for reads it, or a start would see the line of the one before.
    : >"$dir/signer.log"
    "$top_builddir/attest-signer" --config "$dir/attest-signer.yaml" >>"$dir/signer.log" 2>&1 &
    SIGNER_PID=$!
    wait_for $SIGNER_PID "$dir/signer.log"
}

start_attestd() {
    : >"$dir/attestd.log"
    "$top_builddir/attestd" --config "$dir/attestd.yaml" "$@" >>"$dir/attestd.log" 2>&1 &
    ATTESTD_PID=$!
    wait_for $ATTESTD_PID "$dir/attestd.log"
}

stop_daemon() {
    [ -n "$1" ] || return 0
    kill "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

stop_issuer() {
    stop_daemon "$ATTESTD_PID"
    stop_daemon "$SIGNER_PID"
    ATTESTD_PID= SIGNER_PID=
}

write_attestd_yaml() {
    cat >"$dir/attestd.yaml" <<END
issuer: $ISSUER
listen: ["127.0.0.1:$ISSUER_PORT", "unix:$MINT_SOCKET"]
mint_users: ["$(id -u)"]
signer_socket: $SIGNER_SOCKET
admin_listen: "unix:$METRICS_SOCKET"
development: true
${EXTRA_ATTESTD-}
END
}

write_signer_yaml() {
    cat >"$dir/attest-signer.yaml" <<END
issuer: $ISSUER
keystore: "pkcs11:token=attestd"
module: $SOFTHSM_MODULE
pin: {file: $dir/pin}
state_dir: $dir/state
signer_socket: $SIGNER_SOCKET
admin_socket: $ADMIN_SOCKET
development: true
${EXTRA_SIGNER-}
END
}

make_token() {
    pin_file pin 12345678
    pin_file so-pin 87654321
    "$top_builddir/attestctl" hsm init --module "$SOFTHSM_MODULE" --label attestd \
        --pin-file "$dir/pin" --so-pin-file "$dir/so-pin" >"$dir/setup.log" 2>&1 ||
        issuer_failed "no token could be made"
}

# attestd takes the first of some random ports that it can have.
find_port() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        ISSUER_PORT=$(random_port)
        ISSUER=http://127.0.0.1:$ISSUER_PORT
        write_attestd_yaml
        start_attestd "$@" && return
    done
    issuer_failed "attestd does not start"
}

make_keys() {
    for purpose in log root token; do
        "$top_builddir/attestctl" key generate --purpose $purpose --socket "$ADMIN_SOCKET" \
            >>"$dir/setup.log" 2>&1 || issuer_failed "no $purpose key could be made"
    done
}

wait_ready() {
    waited=0
    until curl -fs -o "$dir/readyz" "$ISSUER/readyz"; do
        waited=$((waited + 1))
        [ $waited -lt 600 ] || issuer_failed "attestd is not ready after a minute"
        sleep 0.1
    done
}

start_issuer() {
    command -v curl >/dev/null || { echo "no curl: apt-get install curl"; exit 77; }
    MINT_SOCKET=$dir/attestd.sock SIGNER_SOCKET=$dir/signer.sock ADMIN_SOCKET=$dir/admin.sock
    METRICS_SOCKET=$dir/metrics.sock
    softhsm_start
    make_token
    find_port "$@"
    write_signer_yaml
    start_signer || issuer_failed "attest-signer does not start"
    make_keys
    wait_ready
}
