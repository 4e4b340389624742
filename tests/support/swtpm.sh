# SPDX-License-Identifier: MIT
# For shell tests, after `dir` has been set: a TPM that nobody else sees, swtpm on two neighbouring
# loopback ports, without a resource manager. swtpm_start sets TCTI, or leaves the test with 77;
# swtpm_off and swtpm_on are an orderly power cycle.
#
# By TCTI each byte to and from it goes into $dir/bus.log (tests/support/tcti_log.c). When the TPM
# ends, each command there that could carry a secret has to be encrypted, and what the test told
# swtpm_secret, and $dir/pin, must not stand there, or the test ends with 1.
# TCTI_PLAIN is for what the test itself does to the TPM with passwords.
. "$top_srcdir/tests/support/need.sh"
. "$top_srcdir/tests/support/port.sh"

swtpm_pid= swtpm_port=

swtpm_start() {
    need_tpm2
    for program in swtpm tpm2_shutdown; do
        command -v $program >/dev/null || { echo "no $program: apt-get install swtpm tpm2-tools"; exit 77; }
    done
    mkdir -p "$dir/tpm"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        swtpm_port=$(random_port)
        TCTI_PLAIN=swtpm:host=127.0.0.1,port=$swtpm_port
        TCTI=$top_builddir/tests/support/.libs/tcti_log.so:$dir/bus.log,$TCTI_PLAIN
        swtpm_on && return
    done
    echo "swtpm does not start"
    exit 1
}

swtpm_on() {
    rm -f "$dir/tpm/pid"
    swtpm socket --tpm2 --pid "file=$dir/tpm/pid" --server type=tcp,port=$swtpm_port,bindaddr=127.0.0.1 \
        --ctrl type=tcp,port=$((swtpm_port + 1)),bindaddr=127.0.0.1 \
        --tpmstate "dir=$dir/tpm,mode=0600" --flags not-need-init,startup-clear >/dev/null 2>&1 &
    swtpm_pid=$!
    tries=0
    # Its file is there once it has the ports: on them another test's may answer.
    until [ -s "$dir/tpm/pid" ] && tpm2_getcap -T "$TCTI_PLAIN" properties-fixed >/dev/null 2>&1; do
        tries=$((tries + 1))
        if ! kill -0 $swtpm_pid 2>/dev/null || [ $tries -gt 200 ]; then
            swtpm_end # the next try may go well; there is no record yet that could be looked at
            return 1
        fi
        sleep 0.05
    done
}

swtpm_end() {
    kill -KILL $swtpm_pid 2>/dev/null
    wait $swtpm_pid 2>/dev/null
    swtpm_pid=
}

swtpm_kill() {
    [ -n "$swtpm_pid" ] || return 0
    swtpm_end
    swtpm_bus_clean && return
    echo "FAILED: not shown that no secret crossed the bus to the TPM"
    exit 1
}

# swtpm_cut N: as a power cut does, it ends before the Nth command that comes by TCTI from now on.
swtpm_cut() {
    printf '%d %d\n' "$1" "$swtpm_pid" >"$dir/cut.new" && mv "$dir/cut.new" "$dir/bus.log.cut"
}

swtpm_off() {
    tpm2_shutdown -T "$TCTI_PLAIN" -c || return 1
    swtpm_kill
}

# swtpm_secret NAME FILE: what this file holds, but for a newline at its end, is a secret.
swtpm_secret() {
    printf '%s %s\n' "$1" "$(printf %s "$(cat "$2")" | od -An -v -tx1 | tr -d ' \n')" >>"$dir/secrets"
}

# swtpm_secrets_of SEALED [PIN]: the seeds and the wrapping key in a file of sealed keys that nobody
# has open; asked of the TPM by the plain way.
swtpm_secrets_of() {
    "$top_builddir/tests/support/sealed_secrets" "$TCTI_PLAIN" "$@" >>"$dir/secrets" ||
        complain "$1 could not be opened for its secrets"
}

# The same of a file whose signer runs: it may write it, and raise its counter, between the copy and
# the look at it.
swtpm_secrets_of_running() {
    sealed=$1
    shift
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        cp "$sealed" "$dir/copy.keys"
        "$top_builddir/tests/support/sealed_secrets" "$TCTI_PLAIN" "$dir/copy.keys" "$@" \
            >"$dir/told" 2>"$dir/untold" && cat "$dir/told" >>"$dir/secrets" && return
        sleep 0.2
    done
    complain "$sealed could not be opened for its secrets: $(cat "$dir/untold")"
}

# Nothing of all that stands in the record, and all that could carry some was encrypted.
swtpm_bus_clean() {
    # What is shorter than eight characters is a wrong one.
    [ "$(cat "$dir/pin" 2>/dev/null | wc -c)" -lt 8 ] || swtpm_secret pin "$dir/pin"
    "$top_builddir/tests/support/find_secrets" "$dir/secrets" bus "$dir/bus.log"
}
