/* SPDX-License-Identifier: MIT */
#ifndef HSM_KEYSTORE_IMPL_H
#define HSM_KEYSTORE_IMPL_H

#include "hsm/keystore.h"
#include "hsm/sealing.h"

/* What an implementation gives to keystore.c; each embeds struct keystore as its first member. */
struct keystore_ops {
    void (*close)(struct keystore *ks);
    enum attest_rc (*generate)(struct keystore *ks, const uint8_t id[KEYSTORE_ID_LEN],
                               const char *purpose, const char *label, struct key_ref *ret,
                               struct attest_error *err);
    /* NULL: it knows no such keys */
    enum attest_rc (*generate_resident)(struct keystore *ks, const uint8_t id[KEYSTORE_ID_LEN],
                                        const char *purpose, const char *label, struct key_ref *ret,
                                        struct attest_error *err);
    enum attest_rc (*list)(struct keystore *ks, struct key_ref **ret, size_t *n,
                           struct attest_error *err);
    enum attest_rc (*destroy)(struct keystore *ks, const struct key_ref *key,
                              struct attest_error *err);
    enum attest_rc (*discard)(struct keystore *ks, const uint8_t id[KEYSTORE_ID_LEN],
                              struct attest_error *err);
    enum attest_rc (*lease_get)(struct keystore *ks, struct keystore_lease *ret,
                                struct attest_error *err);
    enum attest_rc (*lease_set)(struct keystore *ks, const struct keystore_lease *expected,
                                const struct keystore_lease *lease, struct attest_error *err);
    enum attest_rc (*sign)(struct keystore *ks, const struct key_ref *key, struct slice msg,
                           int64_t deadline_ms, keystore_signed *done, void *ctx);
    /* NULL: there is no TPM to ask */
    enum attest_rc (*quote)(struct keystore *ks, const uint8_t qualifying[SHA256_LEN],
                            struct keystore_quote *ret, struct attest_error *err);
    void (*stats)(struct keystore *ks, struct keystore_stats *ret);
    void (*describe)(struct keystore *ks, char *out, size_t out_size);
};

struct keystore {
    const struct keystore_ops *ops;
};

enum attest_rc pkcs11_keystore_open(const struct keystore_config *config, struct keystore **ret,
                                    struct attest_error *err);
enum attest_rc tpm2_keystore_open(const struct keystore_config *config, struct keystore **ret,
                                  struct attest_error *err);
enum attest_rc tpm2_keystore_create(const struct keystore_config *config, struct attest_error *err);

#define TPM2_SCHEME "tpm2:"
/* What stands behind the scheme, or the usual device. */
const char *tpm2_tcti_of(const char *uri);

/* As in hsm/sealing.h, for a URI that is a TPM's. */
enum attest_rc tpm2_sealing_status(const struct keystore_config *config, struct seal_status *ret,
                                   struct attest_error *err);
enum attest_rc tpm2_sealing_reseal(const struct keystore_config *config, bool any,
                                   struct attest_error *err);
enum attest_rc tpm2_sealing_id(const struct keystore_config *config, uint8_t id[SHA256_LEN],
                               struct attest_error *err);
enum attest_rc tpm2_sealing_pin_set(const struct keystore_config *config,
                                    const struct secret *token_pin, struct attest_error *err);
enum attest_rc tpm2_sealing_pin_get(const struct keystore_config *config, struct secret *ret,
                                    struct attest_error *err);

#endif
