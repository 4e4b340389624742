# SPDX-License-Identifier: MIT
# For shell tests, as tests/support/need.h for programs: what was left out of this build. A test that
# cannot do without says so, and ends with 77.

# built_with CURL|REDIS|TPM2
built_with() { grep -q "^#define WITH_$1 1" "$top_builddir/config.h"; }

need_curl() {
    built_with CURL || { echo "no libcurl in this build: apt-get install libcurl4-openssl-dev"; exit 77; }
}

need_tpm2() {
    built_with TPM2 || { echo "no tpm2-tss in this build: apt-get install libtss2-dev"; exit 77; }
}

# Root's rights over what the test starts: of this machine, or of a user namespace of its own. To be
# called first.
need_root() {
    [ "$(id -u)" != 0 ] || return 0
    unshare -Ur true 2>/dev/null || { echo "neither root nor a user namespace to be had"; exit 77; }
    exec unshare -Ur sh "$0"
}

# Sets redis_server and redis_cli: those of $REDIS, redis or valkey, else what is installed.
need_redis() {
    built_with REDIS || { echo "no hiredis in this build: apt-get install libhiredis-dev"; exit 77; }
    if [ -z "${REDIS:-}" ]; then
        REDIS=redis
        command -v redis-server >/dev/null || ! command -v valkey-server >/dev/null || REDIS=valkey
    fi
    redis_server=$REDIS-server redis_cli=$REDIS-cli
    command -v "$redis_server" >/dev/null && command -v "$redis_cli" >/dev/null ||
        { echo "no $redis_server: apt-get install redis-server redis-tools"; exit 77; }
}
