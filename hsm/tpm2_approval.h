/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_APPROVAL_H
#define HSM_TPM2_APPROVAL_H

#include "hsm/tpm2_policy.h"

/*
 * An approval: the approver's signature under "these keys may be unsealed by this TPM while these
 * PCRs have these values, as long as no approval with a higher serial was used". One JSON object:
 *
 *   {"type": "attestd-pcr-approval/1",
 *    "tpm": name of its primary key, hex,
 *    "line": what is random of the file with these keys, hex,
 *    "counter": handle of its approval counter, eight hex digits,
 *    "serial": 1 or more,
 *    "pcrs": {"0": 64 hex digits, "7": …},
 *    "signature": r and s, 128 hex digits}
 *
 * Without the signature it is the request for one. The signature is ECDSA with P-256 and SHA-256
 * over tpm2_policy_state() and tpm2_approval_ref(), 64 bytes, which all the other members go into:
 * the TPM checks the same one. Pure; thread-safe.
 */

#define TPM2_APPROVAL_MAX 4096 /* bytes of the text */
/* By so much an approval's serial may be above the counter, which rises by one a command. */
#define TPM2_APPROVAL_JUMP_MAX 64

struct tpm2_approval {
    uint8_t tpm[TPM2_NAME_LEN];
    uint8_t line[TPM2_LINE_LEN];
    uint32_t counter;
    uint64_t serial;
    uint32_t pcrs;
    tpm2_pcr_values values;
    bool has_signature;
    uint8_t signature[ES256_SIG_LEN];
};

/* ATTEST_E_MALFORMED says what is wrong. Strict: no unknown member, none twice, none missing. */
enum attest_rc tpm2_approval_read(struct slice text, struct tpm2_approval *ret,
                                  struct attest_error *err);
void tpm2_approval_write(const struct tpm2_approval *approval, struct buf *out);

/* What is signed. */
#define TPM2_APPROVAL_MESSAGE_LEN 64
void tpm2_approval_message(const struct tpm2_approval *approval,
                           uint8_t message[TPM2_APPROVAL_MESSAGE_LEN]);

enum tpm2_approval_verdict {
    TPM2_APPROVAL_FITS,
    TPM2_APPROVAL_OTHER_STATE, /* its PCRs are not as they are now */
    TPM2_APPROVAL_REVOKED,     /* one with a higher serial was used */
    TPM2_APPROVAL_TOO_FAR,     /* beyond TPM2_APPROVAL_JUMP_MAX */
    TPM2_APPROVAL_OTHER_TPM,   /* or another counter, or other keys */
    TPM2_APPROVAL_NOT_SIGNED,  /* by this approver */
    TPM2_APPROVAL_FEWER_PCRS,  /* than the keys are sealed to: what it says is too little */
    TPM2_APPROVAL_UNREADABLE,
};
const char *tpm2_approval_verdict_text(enum tpm2_approval_verdict verdict);

/*
 * What an approval is worth for keys under this policy on this TPM, while the counter shows this
 * and all 24 PCRs are as in now. Only for saying so and for choosing: the TPM decides.
 */
enum tpm2_approval_verdict tpm2_approval_judge(const struct tpm2_approval *approval,
                                               const struct tpm2_policy *policy,
                                               const uint8_t tpm_name[TPM2_NAME_LEN],
                                               uint64_t shown, const tpm2_pcr_values now);

#endif
