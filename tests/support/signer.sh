# SPDX-License-Identifier: MIT
# For shell tests, after `dir` has been set and softhsm.sh read: an attest-signer of the test's own.

issuer=https://issuer.example.com
signer_socket=$dir/run/signer.sock
admin_socket=$dir/run/signer-admin.sock

# signer_token: a token with a PIN.
signer_token() {
    softhsm_start
    pin_file pin 1234abcd
    pin_file so 87654321
    "$top_builddir/attestctl" hsm init --module "$SOFTHSM_MODULE" --label attestd \
        --so-pin-file "$dir/so" --pin-file "$dir/pin" >/dev/null || exit 1
}

# signer_sealed: instead of a token, a TPM of swtpm.sh, which is to seal the keys.
signer_sealed() {
    swtpm_start
    pin_file pin 1234abcd
    mkdir -p "$dir/state"
    signer_keystore=tpm2:$TCTI
}

# signer_config LINE…: the configuration, with further lines at its end.
signer_config() {
    {
        printf '%s: %s\n' issuer "$issuer" state_dir "$dir/state" signer_socket "$signer_socket" \
            admin_socket "$admin_socket" development true
        if [ -n "${signer_keystore:-}" ]; then
            printf '%s: %s\n' keystore "\"$signer_keystore\"" pcrs sha256:0,7
        else
            printf '%s: %s\n' keystore '"pkcs11:token=attestd"' module "$SOFTHSM_MODULE"
        fi
        printf 'pin:\n  file: %s\n' "$dir/pin"
        for line in "$@"; do printf '%s\n' "$line"; done
    } >"$dir/signer.yaml"
}

# signer_start ARGUMENT…: starts it and waits until it serves; with signer_preload set, under that
# LD_PRELOAD. The log is $dir/signer.log.
signer_start() {
    : >"$dir/signer.log"
    # Under a sanitizer what is preloaded does not come first, and that is meant so.
    ASAN_OPTIONS="verify_asan_link_order=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}" \
        LD_PRELOAD=${signer_preload:-} \
        "${signer_program:-$top_builddir/attest-signer}" --config "$dir/signer.yaml" "$@" 2>>"$dir/signer.log" &
    signer_pid=$!
    tries=0
    until grep -q event=ready "$dir/signer.log"; do
        tries=$((tries + 1))
        if ! kill -0 "$signer_pid" 2>/dev/null || [ $tries -gt 600 ]; then
            echo "attest-signer did not start:"
            cat "$dir/signer.log"
            return 1
        fi
        sleep 0.05
    done
}

# signer_stop: SIGTERM; sets status to its exit status.
signer_stop() {
    kill -TERM "$signer_pid"
    status=0
    wait "$signer_pid" || status=$?
    signer_pid=
}

# Whether this build keeps what was freed, and uses more memory than can be looked through.
under_sanitizer() {
    program=$top_builddir/.libs/attest-signer
    [ -x "$program" ] || program=$top_builddir/attest-signer
    nm "$program" 2>/dev/null | grep -q -e __asan_init -e __tsan_init
}

signer_kill() {
    [ -n "${signer_pid:-}" ] || return 0
    kill -KILL "$signer_pid" 2>/dev/null
    wait "$signer_pid" 2>/dev/null
    signer_pid=
}

# signer_keys: one key for each purpose.
signer_keys() {
    for purpose in log token root; do
        "$top_builddir/attestctl" key generate --socket "$admin_socket" --purpose $purpose \
            >/dev/null || return 1
    done
}

signer_load() { "$top_builddir/tests/support/signer_load" "$signer_socket" "$issuer" "$@"; }
signer_log_verify() { "$top_builddir/tests/support/log_verify" "$dir/state/log" "$issuer" "$@"; }

# until_true COMMAND…: tries it for some twenty seconds.
until_true() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -gt 400 ] && return 1
        sleep 0.05
    done
}
