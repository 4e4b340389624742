/* SPDX-License-Identifier: MIT */
#ifndef HSM_SEALING_H
#define HSM_SEALING_H

#include "hsm/keystore.h"
#include "hsm/tpm2_approvals.h"

/*
 * What an operator does with sealed keys beside making them (keystore_create()). These connect to
 * the TPM by themselves, blocking, and use uri, sealed_path and pcrs of the configuration, the
 * secrets where it is said. ATTEST_E_UNSUPPORTED when the keystore is no TPM or this was built
 * without.
 */

struct seal_status {
    uint64_t serial;
    size_t n_keys;
    struct tpm2_policy policy; /* with the values that were recorded */
    uint8_t tpm_name[TPM2_NAME_LEN];
    bool ek_checked; /* when they were sealed first, that name was the word of a certified TPM */
    uint8_t ek_certificate[SHA256_LEN]; /* SHA-256 of its EK certificate */

    /* What the TPM says; the rest is set only when this is ATTEST_OK. */
    enum attest_rc tpm_rc;
    struct attest_error tpm_err;
    uint8_t tpm_name_now[TPM2_NAME_LEN];
    bool same_tpm;
    tpm2_pcr_values now;
    uint32_t moved; /* PCRs of the policy that are not what was recorded */
    bool opens;     /* as far as PCRs and approvals say */
    bool by_approval;
    uint64_t shown; /* by the approval counter, with an approver; and what of what follows: */
    bool recorded_revoked; /* by an approval that was used since */
    size_t n_approvals;
    struct {
        char name[TPM2_APPROVAL_NAME_MAX + 1];
        uint64_t serial; /* 0: unreadable */
        enum tpm2_approval_verdict verdict;
    } approvals[TPM2_APPROVALS_MAX];
    struct tpm2_approval request; /* for the PCRs as they are, with the next serial */
    bool locked;
    uint32_t failed, failed_max, interval_s; /* hsm/tpm2_lockout.h */
};

/*
 * Reads the file and asks the TPM, without unsealing anything or needing a PIN; the signer may be
 * running, where a resource manager lets both at the TPM. Errors are those of the file: NOT_FOUND,
 * CORRUPT, IO.
 */
enum attest_rc sealing_status(const struct keystore_config *config, struct seal_status *ret,
                              struct attest_error *err);

/*
 * Seals the keys anew, to what config->pcrs hold now (NULL: the same PCRs as before) and to the PIN
 * where there is one. The signer has to be stopped (ATTEST_E_BUSY), and what the keys are sealed to
 * until now has to be met once more. any: whatever PIN and approver the file has until now, which
 * is otherwise ATTEST_E_CONFIG when somebody else could have made it: one without a PIN where there
 * is one, or with another approver and without a PIN. Errors as of keystore_open().
 */
enum attest_rc sealing_reseal(const struct keystore_config *config, bool any,
                              struct attest_error *err);

/*
 * Opens the file and gives what config->sealed_id can hold the signer to. Only who could unseal it
 * can make another with the same. Errors as of keystore_open().
 */
enum attest_rc sealing_id(const struct keystore_config *config, uint8_t id[SHA256_LEN],
                          struct attest_error *err);

/*
 * The PIN of a PKCS#11 token in a file like that of sealed keys, under the same kind of policy:
 * uri is "tpm2:" and a TCTI, sealed_path the file. Setting makes a
 * new file, in the place of one that is there, of which nothing is kept. Errors as of
 * keystore_create() and keystore_open(); ATTEST_E_NOT_FOUND also for a file without a PIN.
 */
enum attest_rc sealing_pin_set(const struct keystore_config *config, const struct secret *token_pin,
                               struct attest_error *err);
enum attest_rc sealing_pin_get(const struct keystore_config *config, struct secret *ret,
                               struct attest_error *err);

#endif
