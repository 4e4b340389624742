/* SPDX-License-Identifier: MIT */
#ifndef EVIDENCE_TPM_READ_H
#define EVIDENCE_TPM_READ_H

#include "base/bytes.h"
#include "base/ed25519.h"
#include "base/es256.h"

/*
 * What a TPM 2.0 says of its state and with which key, read by ourselves: the three structures of
 * TPM 2.0 Library, part 2, that make a quote, and of their many forms only the ones that attestd's
 * own attestation key gives. Pure and bounded; nothing is believed here, and bytes behind the end
 * are refused. All integers are big-endian. Thread-safe.
 */

#define TPM_PCRS 24
#define TPM_NAME_LEN (2 + SHA256_LEN) /* 000b and the SHA-256 of a TPMT_PUBLIC */
#define TPM_ATTEST_MAX 512            /* bytes of a TPMS_ATTEST, a quote's is about 150 */
#define TPM_PUBLIC_MAX 256
#define TPM_SIGNATURE_MAX 128

#define TPM_GENERATED 0xff544347U /* what only a TPM puts in front of what it signs */
#define TPM_ST_QUOTE 0x8018U

/* PCRs of the SHA-256 bank. */
struct tpm_pcrs {
    uint32_t chosen; /* bit n: PCR n */
    uint8_t values[TPM_PCRS][SHA256_LEN];
};

/* SHA-256 over the chosen values, ascending: what a quote has of them. */
void tpm_pcrs_digest(const struct tpm_pcrs *pcrs, uint8_t digest[SHA256_LEN]);

/*
 * TPMS_ATTEST. Of one with another magic or type only these two are read, and the rest is zero:
 * whoever checks them says so better than "malformed".
 */
struct tpm_attest {
    uint32_t magic;      /* TPM_GENERATED */
    uint16_t type;       /* TPM_ST_QUOTE */
    struct slice signer; /* qualified name of the key; borrowed from the bytes read */
    struct slice extra;  /* the qualifying data, at most 64 bytes; borrowed */
    uint64_t clock_ms;   /* how long this TPM has run in all, since its owner was last cleared */
    uint32_t resets, restarts;
    bool clock_safe;
    uint64_t firmware;
    uint32_t chosen; /* PCRs of the SHA-256 bank, the only one that may be selected */
    uint8_t pcr_digest[SHA256_LEN];
};
/* ATTEST_E_MALFORMED; ATTEST_E_UNSUPPORTED for another bank or more than one. */
enum attest_rc tpm_attest_read(struct slice bytes, struct tpm_attest *ret,
                               struct attest_error *err);

/*
 * TPMT_PUBLIC or TPM2B_PUBLIC of a P-256 key that makes ECDSA signatures with SHA-256. The
 * attributes are for evidence.c to judge.
 */
struct tpm_public {
    uint32_t attributes; /* TPMA_OBJECT */
    struct slice policy; /* authPolicy: empty or a digest; borrowed */
    uint8_t point[ES256_POINT_LEN];
    uint8_t name[TPM_NAME_LEN]; /* of the object, over all of the above */
};
/* ATTEST_E_MALFORMED; ATTEST_E_UNSUPPORTED for another kind of key. */
enum attest_rc tpm_public_read(struct slice bytes, struct tpm_public *ret,
                               struct attest_error *err);

/* TPMT_SIGNATURE, ECDSA with SHA-256, into r and s of 32 bytes each. As tpm_public_read(). */
enum attest_rc tpm_signature_read(struct slice bytes, uint8_t ret[ES256_SIG_LEN],
                                  struct attest_error *err);

#endif
