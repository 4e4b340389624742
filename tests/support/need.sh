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
