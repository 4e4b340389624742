#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes tests/vectors/evidence/swtpm: what a real TPM (swtpm) says with a key like attestd's, by
# tpm2-tools and not by us. Needs swtpm, tpm2-tools, xxd. make_evidence_vectors.sh TOP_SRCDIR
set -eu
top_srcdir=$1
dir=$(mktemp -d)
. "$top_srcdir/tests/support/swtpm.sh"
trap 'swtpm_kill; rm -rf "$dir"' EXIT
swtpm_start
export TPM2TOOLS_TCTI="$TCTI"
out=$top_srcdir/tests/vectors/evidence/swtpm
mkdir -p "$out"
for pcr in 0 2 7 11; do
    tpm2_pcrextend "$pcr:sha256=$(printf 'measured into %s' $pcr | sha256sum | cut -c1-64)"
done
tpm2_createprimary -Q -C o -G ecc -c "$dir/primary"
tpm2_create -Q -C "$dir/primary" -G ecc256:ecdsa-sha256:null -p ak \
    -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign' \
    -u "$out/ak_public" -r "$dir/private"
tpm2_flushcontext -t
tpm2_load -Q -C "$dir/primary" -u "$out/ak_public" -r "$dir/private" -c "$dir/ak"
tpm2_flushcontext -t
printf '{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"sig","alg":"EdDSA"}]}' >"$out/key_set"
head -c 32 /dev/urandom >"$out/nonce"
qualifying=$({ printf 'attest-evidence/1\0'; openssl dgst -sha256 -binary "$out/key_set"; cat "$out/nonce"; } |
    sha256sum | cut -c1-64)
tpm2_quote -Q -c "$dir/ak" -p ak -l sha256:0,2,7,11 -g sha256 -q "$qualifying" -m "$out/quote" -s "$out/signature"
tpm2_pcrread sha256:0,2,7,11 >"$out/pcrs"
tpm2_readpublic -Q -c "$dir/ak" -n "$dir/name"
xxd -p -c 64 "$dir/name" >"$out/name"
