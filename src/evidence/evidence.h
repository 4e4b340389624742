/* SPDX-License-Identifier: MIT */
#ifndef EVIDENCE_EVIDENCE_H
#define EVIDENCE_EVIDENCE_H

#include "evidence/tpm_read.h"

/*
 * Evidence that a key set was vouched for on a certain TPM in a certain state (docs/protocol.md,
 * section 3): a quote whose qualifying data is a digest of the key set and of the nonce of who
 * asks. Pure: no I/O, no clock, no TPM. Thread-safe.
 *
 * What it shows: software that may use this attestation key, on the TPM that holds it, while the
 * PCRs were these, vouched for these bytes, and after the nonce was made. Nothing about that
 * software beyond what the PCRs say.
 */

#define EVIDENCE_NONCE_LEN 32
#define EVIDENCE_KEY_SET_MAX 65536

/* SHA-256("attest-evidence/1" NUL, SHA-256(key set), nonce). */
void evidence_qualifying(struct slice key_set, const uint8_t nonce[EVIDENCE_NONCE_LEN],
                         uint8_t digest[SHA256_LEN]);

/* As it was presented; the slices are borrowed. */
struct evidence {
    uint8_t nonce[EVIDENCE_NONCE_LEN];
    struct slice key_set;   /* bytes of a JWK set */
    struct slice quote;     /* TPMS_ATTEST */
    struct slice signature; /* TPMT_SIGNATURE */
    struct slice ak_public; /* TPM2B_PUBLIC or TPMT_PUBLIC */
    struct tpm_pcrs pcrs;   /* as claimed: believed only once the quote has their digest */
};

struct evidence_expect {
    const uint8_t *ak_name;      /* TPM_NAME_LEN: of the key that is pinned */
    const struct tpm_pcrs *pcrs; /* exactly these were quoted, and had these values */
    const uint8_t *nonce;        /* EVIDENCE_NONCE_LEN; NULL: whichever the evidence has */
};

/* In the order in which they are made; each needs those before it. */
enum evidence_check {
    EVIDENCE_AK,         /* the attestation key is the pinned one */
    EVIDENCE_ATTRIBUTES, /* and can sign nothing but what its TPM says, and never left it */
    EVIDENCE_SIGNATURE,  /* it signed the quote */
    EVIDENCE_MAGIC,      /* which a TPM made */
    EVIDENCE_TYPE,       /* and which is one */
    EVIDENCE_NONCE,      /* for who asked */
    EVIDENCE_KEY_SET,    /* about this key set */
    EVIDENCE_SELECTION,  /* over the expected PCRs */
    EVIDENCE_DIGEST,     /* which had the expected values */
    EVIDENCE_CHECKS,
};
const char *evidence_check_name(enum evidence_check check);

struct evidence_verdict {
    enum evidence_check failed; /* EVIDENCE_CHECKS: none */
    uint32_t moved;             /* EVIDENCE_DIGEST: PCRs whose true value is another; 0 unknown */
    struct tpm_public ak;
    struct tpm_attest quote; /* borrows from the evidence; good when nothing failed */
};

/*
 * Makes the checks up to the first that fails. ATTEST_OK, or ATTEST_E_DENIED with the sentence in
 * err and the check in ret->failed; ret is always filled.
 */
enum attest_rc evidence_check(const struct evidence *evidence, const struct evidence_expect *expect,
                              struct evidence_verdict *ret, struct attest_error *err);

/*
 * Whether an attestation key may be one: restricted, so that it signs nothing that looks like a
 * quote and is none; made by its TPM and bound to it and to its parent. ATTEST_E_DENIED names the
 * attribute.
 */
enum attest_rc evidence_attributes(uint32_t attributes, struct attest_error *err);

/*
 * A file that pins an attestation key: its public area (TPM2B_PUBLIC or TPMT_PUBLIC) as bytes or in
 * base64url, as evidence has it, or its name in hex. A bare point, such as a PEM file has, pins no
 * attributes and is refused. ATTEST_E_MALFORMED, _UNSUPPORTED, or _DENIED (attributes).
 */
enum attest_rc evidence_pin_read(struct slice file, uint8_t name[TPM_NAME_LEN],
                                 struct attest_error *err);

/*
 * A file with the values that PCRs are expected to have, as tpm2_pcrread prints them: "sha256:" and
 * lines "7 : 0x…" of 64 hex digits below. Empty lines and such that begin with '#' are skipped;
 * other banks, and a PCR twice, are refused. At least one. ATTEST_E_MALFORMED with the line.
 */
enum attest_rc evidence_pcrs_read(struct slice file, struct tpm_pcrs *ret,
                                  struct attest_error *err);

#endif
