# SPDX-License-Identifier: MIT
# For shell tests, after `dir` has been set to a directory of their own: a SoftHSM that nobody else
# sees. softhsm_start sets SOFTHSM2_CONF and SOFTHSM_MODULE, or leaves the test with 77.

softhsm_start() {
    for SOFTHSM_MODULE in /usr/lib/softhsm/libsofthsm2.so \
        /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so \
        /usr/local/lib/softhsm/libsofthsm2.so none; do
        [ -r "$SOFTHSM_MODULE" ] && break
    done
    if [ "$SOFTHSM_MODULE" = none ]; then
        echo "no SoftHSM here: apt-get install softhsm2"
        exit 77
    fi
    mkdir -p "$dir/tokens"
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' \
        "$dir/tokens" >"$dir/softhsm2.conf"
    SOFTHSM2_CONF=$dir/softhsm2.conf
    export SOFTHSM2_CONF SOFTHSM_MODULE
}

# pin_file NAME PIN: a file that only its owner may read.
pin_file() {
    (umask 077 && printf '%s\n' "$2" >"$dir/$1")
}
