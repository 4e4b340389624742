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
