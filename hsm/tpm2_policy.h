/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_POLICY_H
#define HSM_TPM2_POLICY_H

#include "base/bytes.h"
#include "base/ed25519.h"
#include "base/es256.h"

/*
 * What has to be so before a TPM gives a sealed secret back, and the digest that stands for it in
 * the sealed object (TPM 2.0 Library, part 3, chapter 23). Pure: no TPM, no I/O; thread-safe.
 *
 * Without an approver it is PolicyPCR of the recorded values, then PolicyAuthValue, each where it
 * is asked for. With one it is PolicyOR of two ways, then PolicyAuthValue:
 *
 *   recorded  PolicyPCR of the recorded values, PolicyNV: approval counter <= serial
 *   approved  PolicyAuthorize: whatever policy the approver has signed for these keys on this TPM
 *             with this counter; he signs none but PolicyPCR of some values, PolicyNV: approval
 *             counter <= the approval's serial
 *
 * so that raising the counter ends what was recorded or approved with a lower serial, in the TPM.
 */

#define TPM2_PCR_COUNT 24
#define TPM2_AUTH_MAX 32 /* bytes of an authorization value: a PIN, the owner's password */
#define TPM2_NAME_LEN 34 /* of an object whose name algorithm is SHA-256: 000b and the digest */
#define TPM2_LINE_LEN 16 /* bytes that tell one file's approvals from another's */

typedef uint8_t tpm2_pcr_values[TPM2_PCR_COUNT][SHA256_LEN];

struct tpm2_approver {
    uint8_t point[ES256_POINT_LEN]; /* his P-256 key */
    uint32_t counter;               /* handle of the approval counter (tpm2_counter.h) */
    uint64_t serial;                /* what it showed when the values were recorded */
    uint8_t line[TPM2_LINE_LEN];    /* made at random with the counter */
    uint8_t ref[SHA256_LEN];        /* tpm2_approval_ref() */
};

struct tpm2_policy {
    uint32_t pcrs;          /* bit n: PCR n of the SHA-256 bank */
    tpm2_pcr_values values; /* of the chosen ones, when it was sealed */
    bool auth;              /* an authorization value has to be known too */
    bool approved;          /* there is an approver; then pcrs is not empty */
    struct tpm2_approver approver;
};

/*
 * "sha256:0,2,7,11" into bits: ascending, none twice, 0 to 23; "" chooses none. ATTEST_E_CONFIG.
 */
enum attest_rc tpm2_pcrs_parse(const char *text, uint32_t *ret, struct attest_error *err);

/* The same the other way; out gets "" for none. */
#define TPM2_PCRS_TEXT_MAX 80
void tpm2_pcrs_text(uint32_t pcrs, char out[TPM2_PCRS_TEXT_MAX]);

/* Those of pcrs that differ. */
uint32_t tpm2_pcrs_moved(uint32_t pcrs, const tpm2_pcr_values a, const tpm2_pcr_values b);

/* "7" or "2, 7": for a sentence. */
void tpm2_pcrs_names(uint32_t pcrs, char out[TPM2_PCRS_TEXT_MAX]);

/*
 * The policyRef that holds an approval to one file of sealed keys: by the name of the TPM's primary
 * key, the name of the approval counter and the line of the file. Without the last two an approval
 * would go for every file of this TPM with the same approver, by a counter that nobody raises.
 */
void tpm2_approval_ref(const uint8_t tpm_name[TPM2_NAME_LEN], uint32_t counter,
                       const uint8_t line[TPM2_LINE_LEN], uint8_t ref[SHA256_LEN]);

/* What the approver signs the digest of: PolicyPCR, then PolicyNV: counter <= serial. */
void tpm2_policy_state(uint32_t pcrs, const tpm2_pcr_values values, uint32_t counter,
                       uint64_t serial, uint8_t digest[SHA256_LEN]);

/* The two ways of PolicyOR: recorded, approved. */
void tpm2_policy_ways(const struct tpm2_policy *policy, uint8_t ways[2][SHA256_LEN]);

/* The name of the approver's key as the TPM knows it: for ECDSA with SHA-256 alone. */
void tpm2_approver_name(const uint8_t point[ES256_POINT_LEN], uint8_t name[TPM2_NAME_LEN]);

/* Attributes of our counters, once they were written; their names follow from them. */
#define TPM2_COUNTER_ATTRIBUTES 0x22040014U
#define TPM2_APPROVAL_COUNTER_ATTRIBUTES 0x22060014U
void tpm2_counter_name(uint32_t counter, uint32_t attributes, uint8_t name[TPM2_NAME_LEN]);

/* What the TPM makes of all the policy's commands. */
void tpm2_policy_digest(const struct tpm2_policy *policy, uint8_t digest[SHA256_LEN]);

#endif
