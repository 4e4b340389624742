# SPDX-License-Identifier: MIT
# For shell tests that run attestd, after `dir` has been set and expect.sh was read.
#
# attestd_config LINE… writes $dir/attestd.yaml: free ports, no signer unless a line names one.
# attestd_start [OPTION…] starts it and waits until it serves; sets attestd_pid, port, admin_port and
# the log $dir/attestd.log. attestd_stop ends it and expects status 0.

attestd_pid=

attestd_config() {
    {
        printf '%s\n' "$@" | grep -q '^issuer:' || printf 'issuer: http://127.0.0.1\n'
        printf 'admin_listen: "127.0.0.1:0"\n'
        printf '%s\n' "$@" | grep -q '^listen:' || printf 'listen: ["127.0.0.1:0"]\n'
        printf '%s\n' "$@" | grep -q '^signer_socket:' ||
            printf 'signer_socket: %s/no-signer.sock\n' "$dir"
        printf '%s\n' "$@"
    } >"$dir/attestd.yaml"
}

# wait_for SECONDS COMMAND…: until the command succeeds.
wait_for() {
    tries=$(($1 * 20))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}

port_of() {
    sed -n "s/.* event=listening at=\"[^\"]*:\([0-9]*\)\" for=$1.*/\1/p" "$dir/attestd.log" | head -1
}

attestd_start() {
    : >"$dir/attestd.log"
    "$top_builddir/attestd" --config "$dir/attestd.yaml" "$@" 2>>"$dir/attestd.log" &
    attestd_pid=$!
    if ! wait_for 30 grep -q 'event=ready' "$dir/attestd.log"; then
        cat "$dir/attestd.log"
        echo "attestd did not start"
        exit 1
    fi
    port=$(port_of public)
    admin_port=$(port_of admin)
}

attestd_stop() {
    kill "$attestd_pid"
    wait "$attestd_pid" || { complain "attestd ended with status $?"; tail "$dir/attestd.log"; }
    attestd_pid=
}

# metric NAME: the value of a line of /metrics, name and labels as they stand there.
metric() {
    curl -s "http://127.0.0.1:$admin_port/metrics" | awk -v name="$1" '$1 == name {print $2}'
}

# ask STATUS CURL-ARGUMENT…: the answer's head in $dir/head, its body in $dir/out.
ask() {
    want=$1
    shift
    what="curl $*"
    : >"$dir/out" # curl leaves the file as it was when there is no body
    got=$(curl -s --max-time 60 -o "$dir/out" -D "$dir/head" -w '%{http_code}' "$@" 2>"$dir/err")
    [ "$got" = "$want" ] || complain "$what: status $got, not $want"
}
head_has() { grep -qi -e "$1" "$dir/head" || { cat "$dir/head"; complain "$what: no header '$1'"; }; }
