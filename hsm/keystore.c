/* SPDX-License-Identifier: MIT */
#include "hsm/keystore.h"

#include <pthread.h>
#include <string.h>

#include "hsm/keystore_impl.h"

#define KEYSTORE_WORKERS_MAX 64
#define KEYSTORE_QUEUE_MAX 65536

static const struct {
    const char *scheme;
    enum attest_rc (*open)(const struct keystore_config *config, struct keystore **ret,
                           struct attest_error *err);
    enum attest_rc (*create)(const struct keystore_config *config, struct attest_error *err);
} schemes[] = {
    {"pkcs11:", pkcs11_keystore_open, NULL},
    {TPM2_SCHEME, tpm2_keystore_open, tpm2_keystore_create},
};

/* ARRAY_LEN(schemes) when there is none. */
static size_t
scheme_of(const char *uri)
{
    size_t i = 0;
    while (i < ARRAY_LEN(schemes) &&
           (!uri || strncmp(uri, schemes[i].scheme, strlen(schemes[i].scheme)) != 0))
        i++;
    return i;
}

/* The URI is not quoted: what was meant to be one may hold a PIN. */
static enum attest_rc
no_scheme(struct attest_error *err)
{
    return error_set(
        err, ATTEST_E_CONFIG,
        "keystore: not a URI known here; write \"pkcs11:token=NAME\" or \"tpm2:TCTI\"");
}

const char *
keystore_state_name(enum keystore_state state)
{
    static const char *const names[] = {
        [KEYSTORE_READY] = "ready",
        [KEYSTORE_OUT_OF_REACH] = "key out of reach",
        [KEYSTORE_PIN_REFUSED] = "PIN refused",
        [KEYSTORE_LOST] = "lost",
    };
    return (size_t)state < ARRAY_LEN(names) ? names[state] : "unknown";
}

enum attest_rc
keystore_open(const struct keystore_config *config, struct keystore **ret, struct attest_error *err)
{
    if (config->workers < 1 || config->workers > KEYSTORE_WORKERS_MAX)
        return error_set(err, ATTEST_E_CONFIG, "workers: from 1 to %d", KEYSTORE_WORKERS_MAX);
    if (config->queue_max < 1 || config->queue_max > KEYSTORE_QUEUE_MAX)
        return error_set(err, ATTEST_E_CONFIG, "queue_max: from 1 to %d", KEYSTORE_QUEUE_MAX);
    if (config->call_timeout_ms < 1)
        return error_set(err, ATTEST_E_CONFIG, "call_timeout_ms: at least 1");
    size_t i = scheme_of(config->uri);
    return i < ARRAY_LEN(schemes) ? schemes[i].open(config, ret, err) : no_scheme(err);
}

enum attest_rc
keystore_create(const struct keystore_config *config, struct attest_error *err)
{
    size_t i = scheme_of(config->uri);
    if (i == ARRAY_LEN(schemes))
        return no_scheme(err);
    if (!schemes[i].create)
        return error_set(err, ATTEST_E_UNSUPPORTED, "tokens are initialised with their own tools");
    return schemes[i].create(config, err);
}

void
keystore_close(struct keystore *ks)
{
    if (ks)
        ks->ops->close(ks);
}

/* ---- on the control thread ---- */

struct operation *
operation_new(void)
{
    return calloc(1, sizeof(struct operation));
}

void
operation_free(struct operation *o)
{
    if (!o)
        return;
    free(o->purpose);
    free(o->label);
    free(o->list);
    free(o);
}

static void
operation_release(struct pool_op *op)
{
    operation_free((struct operation *)op);
}

static void
operation_start(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    o->rc = o->run(ctx, o);
}

enum attest_rc
operation_run(struct keystore *ks, struct operation **o, operation_fn *run,
              struct attest_error *err)
{
    if (!*o)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    (*o)->run = run;
    (*o)->op.run = operation_start;
    (*o)->op.release = operation_release;
    if (pool_run(ks->pool, &(*o)->op)) {
        *o = NULL;
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "%s hangs", ks->ops->device);
    }
    if ((*o)->rc && err)
        *err = (*o)->err;
    return (*o)->rc;
}

static enum attest_rc
make_key(struct keystore *ks, operation_fn *run, const uint8_t id[KEYSTORE_ID_LEN],
         const char *purpose, const char *label, struct key_ref *ret, struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    if (!o || !(o->purpose = strdup(purpose)) || !(o->label = strdup(label)))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    memcpy(o->key.id, id, sizeof(o->key.id));
    enum attest_rc rc = operation_run(ks, &o, run, err);
    if (!rc)
        *ret = o->key;
    return rc;
}

enum attest_rc
keystore_generate(struct keystore *ks, const uint8_t id[KEYSTORE_ID_LEN], const char *purpose,
                  const char *label, struct key_ref *ret, struct attest_error *err)
{
    return make_key(ks, ks->ops->generate, id, purpose, label, ret, err);
}

enum attest_rc
keystore_generate_resident(struct keystore *ks, const uint8_t id[KEYSTORE_ID_LEN],
                           const char *purpose, const char *label, struct key_ref *ret,
                           struct attest_error *err)
{
    if (!ks->ops->generate_resident)
        return error_set(err, ATTEST_E_UNSUPPORTED,
                         "resident keys are a TPM's: of a PKCS#11 token every key stays in it");
    return make_key(ks, ks->ops->generate_resident, id, purpose, label, ret, err);
}

enum attest_rc
keystore_list(struct keystore *ks, struct key_ref **ret, size_t *n, struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    enum attest_rc rc = operation_run(ks, &o, ks->ops->list, err);
    if (rc)
        return rc;
    *n = o->n;
    *ret = STEAL(o->list);
    return ATTEST_OK;
}

enum attest_rc
keystore_destroy(struct keystore *ks, const struct key_ref *key, struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    if (o)
        o->key = *key;
    return operation_run(ks, &o, ks->ops->destroy, err);
}

enum attest_rc
keystore_discard(struct keystore *ks, const uint8_t id[KEYSTORE_ID_LEN], struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    if (o)
        memcpy(o->key.id, id, sizeof(o->key.id));
    return operation_run(ks, &o, ks->ops->discard, err);
}

enum attest_rc
keystore_lease_get(struct keystore *ks, struct keystore_lease *ret, struct attest_error *err)
{
    return ks->ops->lease_get(ks, ret, err);
}

enum attest_rc
keystore_lease_set(struct keystore *ks, const struct keystore_lease *expected,
                   const struct keystore_lease *lease, struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    if (o) {
        o->lease = *lease;
        o->expects = expected;
        if (expected)
            o->expected = *expected;
    }
    return operation_run(ks, &o, ks->ops->lease_set, err);
}

bool
keystore_quotes(const struct keystore *ks)
{
    return ks->ops->quote != NULL;
}

enum attest_rc
keystore_quote(struct keystore *ks, const uint8_t qualifying[SHA256_LEN],
               struct keystore_quote *ret, struct attest_error *err)
{
    if (!keystore_quotes(ks))
        return error_set(err, ATTEST_E_UNSUPPORTED, "the keystore is no TPM: it cannot quote");
    AUTO(operation) struct operation *o = operation_new();
    if (o)
        memcpy(o->qualifying, qualifying, SHA256_LEN);
    enum attest_rc rc = operation_run(ks, &o, ks->ops->quote, err);
    if (!rc)
        *ret = o->quote;
    return rc;
}

/* ---- on the workers ---- */

enum attest_rc
keystore_sign(struct keystore *ks, const struct key_ref *key, struct slice msg, int64_t deadline_ms,
              keystore_signed *done, void *ctx)
{
    return pool_sign(ks->pool, key, msg, deadline_ms, done, ctx);
}

struct sign_wait {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done;
    enum attest_rc rc;
    uint8_t sig[PUBKEY_SIG_LEN];
};

static void
sign_wait_done(void *ctx, enum attest_rc rc, const uint8_t sig[PUBKEY_SIG_LEN])
{
    struct sign_wait *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->rc = rc;
    if (!rc)
        memcpy(w->sig, sig, sizeof(w->sig));
    w->done = true;
    pthread_cond_signal(&w->answered);
    pthread_mutex_unlock(&w->lock);
}

enum attest_rc
keystore_sign_wait(struct keystore *ks, const struct key_ref *key, struct slice msg,
                   int64_t deadline_ms, uint8_t sig[PUBKEY_SIG_LEN], struct attest_error *err)
{
    struct sign_wait w = {.lock = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER};
    enum attest_rc rc = keystore_sign(ks, key, msg, deadline_ms, sign_wait_done, &w);
    if (!rc) {
        /* No time limit of its own: every accepted signature is answered, a hung one too. */
        pthread_mutex_lock(&w.lock);
        while (!w.done)
            pthread_cond_wait(&w.answered, &w.lock);
        rc = w.rc;
        pthread_mutex_unlock(&w.lock);
    }
    pthread_cond_destroy(&w.answered);
    pthread_mutex_destroy(&w.lock);
    if (rc)
        return error_set(err, rc, "signing: %s", attest_strerror(rc));
    memcpy(sig, w.sig, sizeof(w.sig));
    return ATTEST_OK;
}

void
keystore_stats(struct keystore *ks, struct keystore_stats *ret)
{
    pool_stats(ks->pool, ret);
    ks->ops->stats(ks, ret);
}

void
keystore_describe(struct keystore *ks, char *out, size_t out_size)
{
    ks->ops->describe(ks, out, out_size);
}
