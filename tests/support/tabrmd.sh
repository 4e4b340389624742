# SPDX-License-Identifier: MIT
# For shell tests, after `dir` has been set and swtpm.sh read: a resource manager, tpm2-abrmd, between
# the test and its TPM, on a D-Bus that nobody else is on. tabrmd_start sets TCTI_RM, or leaves the
# test with 77. What it sends to the TPM is in the bus record like what the test sends itself.
. "$top_srcdir/tests/support/need.sh"

tabrmd_pid= tabrmd_bus_pid=
tabrmd_name=com.intel.tss2.Tabrmd

tabrmd_start() {
    # Both stand where a user's PATH may not lead.
    PATH=$PATH:/usr/sbin:/sbin
    for program in dbus-daemon tpm2-abrmd; do
        command -v $program >/dev/null || { echo "no $program: apt-get install dbus-daemon tpm2-abrmd"; exit 77; }
    done
    ldconfig -p | grep -q libtss2-tcti-tabrmd || { echo "no TCTI for it: apt-get install libtss2-tcti-tabrmd0"; exit 77; }
    cat >"$dir/bus.conf" <<END
<busconfig>
  <type>session</type>
  <listen>unix:path=$dir/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="$tabrmd_name"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
END
    export DBUS_SESSION_BUS_ADDRESS="unix:path=$dir/bus"
    TCTI_RM=$top_builddir/tests/support/.libs/tcti_log.so:$dir/bus.log,tabrmd:bus_type=session
    tabrmd_bus_on && tabrmd_on && return
    echo "no resource manager: $(cat "$dir/bus.err" "$dir/tabrmd.log")"
    exit 1
}

# tabrmd_wait PID COMMAND…: until it holds, as long as this process is there.
tabrmd_wait() {
    waited=0
    pid=$1
    shift
    until "$@"; do
        waited=$((waited + 1))
        kill -0 "$pid" 2>/dev/null && [ $waited -le 1200 ] || return 1
        sleep 0.05
    done
}

tabrmd_bus_on() {
    : >"$dir/bus.address"
    dbus-daemon --config-file="$dir/bus.conf" --nofork --nopidfile --print-address=3 \
        3>"$dir/bus.address" >"$dir/bus.err" 2>&1 &
    tabrmd_bus_pid=$!
    tabrmd_wait $tabrmd_bus_pid test -s "$dir/bus.address" # written once it listens
}

tabrmd_answers() { timeout 10 tpm2_getcap -T "tabrmd:bus_type=session" properties-fixed >/dev/null 2>&1; }

# What one before it had in the TPM it flushes, as docs/operations.md has it do.
tabrmd_on() {
    tpm2-abrmd --session --allow-root --flush-all --tcti="$TCTI" >"$dir/tabrmd.log" 2>&1 &
    tabrmd_pid=$!
    tabrmd_wait $tabrmd_pid tabrmd_answers
}

tabrmd_off() {
    [ -n "$tabrmd_pid" ] || return 0
    kill -KILL "$tabrmd_pid" 2>/dev/null
    wait "$tabrmd_pid" 2>/dev/null
    tabrmd_pid=
}

tabrmd_bus_off() {
    [ -n "$tabrmd_bus_pid" ] || return 0
    kill -KILL "$tabrmd_bus_pid" 2>/dev/null
    wait "$tabrmd_bus_pid" 2>/dev/null
    tabrmd_bus_pid=
    rm -f "$dir/bus" # its socket
}

tabrmd_kill() {
    tabrmd_off
    tabrmd_bus_off
}
