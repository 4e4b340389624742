# SPDX-License-Identifier: MIT
# For shell tests, after `dir` has been set: a TPM that nobody else sees, swtpm on two neighbouring
# loopback ports, without a resource manager. swtpm_start sets TCTI, or leaves the test with 77;
# swtpm_off and swtpm_on are an orderly power cycle.

swtpm_pid= swtpm_port=

swtpm_start() {
    for program in swtpm tpm2_shutdown; do
        command -v $program >/dev/null || { echo "no $program: apt-get install swtpm tpm2-tools"; exit 77; }
    done
    mkdir -p "$dir/tpm"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        swtpm_port=$(($(od -An -N2 -tu2 /dev/urandom) % 20000 + 20000))
        TCTI=swtpm:host=127.0.0.1,port=$swtpm_port
        swtpm_on && return
    done
    echo "swtpm does not start"
    exit 1
}

swtpm_on() {
    swtpm socket --tpm2 --server type=tcp,port=$swtpm_port,bindaddr=127.0.0.1 \
        --ctrl type=tcp,port=$((swtpm_port + 1)),bindaddr=127.0.0.1 \
        --tpmstate "dir=$dir/tpm,mode=0600" --flags not-need-init,startup-clear >/dev/null 2>&1 &
    swtpm_pid=$!
    tries=0
    until tpm2_getcap -T "$TCTI" properties-fixed >/dev/null 2>&1; do
        tries=$((tries + 1))
        if ! kill -0 $swtpm_pid 2>/dev/null || [ $tries -gt 200 ]; then
            swtpm_kill
            return 1
        fi
        sleep 0.05
    done
}

swtpm_kill() {
    [ -n "$swtpm_pid" ] || return 0
    kill -KILL $swtpm_pid 2>/dev/null
    wait $swtpm_pid 2>/dev/null
    swtpm_pid=
}

swtpm_off() {
    tpm2_shutdown -T "$TCTI" -c || return 1
    swtpm_kill
}
