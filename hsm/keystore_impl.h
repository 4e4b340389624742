/* SPDX-License-Identifier: MIT */
#ifndef HSM_KEYSTORE_IMPL_H
#define HSM_KEYSTORE_IMPL_H

#include "hsm/keystore.h"
#include "hsm/pool.h"
#include "hsm/sealing.h"

/*
 * One thing that a keystore is asked to do on its control thread, and what came of it. Heap,
 * because a caller may have to leave it behind in a call that hangs.
 */
struct operation {
    struct pool_op op;
    enum attest_rc (*run)(struct keystore *ks, struct operation *o);
    enum attest_rc rc;
    struct attest_error err;
    char *purpose, *label;
    struct key_ref key; /* in or out */
    struct keystore_lease lease, expected;
    bool expects;
    uint8_t qualifying[SHA256_LEN];
    struct keystore_quote quote;
    struct key_ref *list;
    size_t n;
};
typedef enum attest_rc operation_fn(struct keystore *ks, struct operation *o);

struct operation *operation_new(void);
void operation_free(struct operation *o);
DEFINE_AUTO(operation, struct operation *, operation_free);

/*
 * Runs it on the control thread and returns its result. *o is NULL afterwards when it had to be
 * left behind: ATTEST_E_KEY_OUT_OF_REACH. *o NULL is ATTEST_E_NOMEM.
 */
enum attest_rc operation_run(struct keystore *ks, struct operation **o, operation_fn *run,
                             struct attest_error *err);

/* What an implementation gives to keystore.c; each embeds struct keystore as its first member. */
struct keystore_ops {
    const char *device; /* what hangs when a call into it does not return */
    void (*close)(struct keystore *ks);
    /* From any thread; what has to ask the device goes to the control thread for it. */
    enum attest_rc (*lease_get)(struct keystore *ks, struct keystore_lease *ret,
                                struct attest_error *err);
    /* On the control thread, from o and into o; its error into o->err. */
    operation_fn *generate, *list, *destroy, *discard, *lease_set;
    operation_fn *generate_resident; /* NULL: it knows no such keys */
    operation_fn *quote;             /* NULL: there is no TPM to ask */
    /* Fills state and reconnects. */
    void (*stats)(struct keystore *ks, struct keystore_stats *ret);
    void (*describe)(struct keystore *ks, char *out, size_t out_size);
};

struct keystore {
    const struct keystore_ops *ops;
    struct pool *pool; /* its ctx is the keystore */
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
