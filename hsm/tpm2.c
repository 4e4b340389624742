/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "hsm/keystore_impl.h"
#include "hsm/tpm2_store.h"

/*
 * A keystore whose seeds a TPM has sealed. The TPM is asked when it opens and when keys are made or
 * destroyed, on the control thread; the workers sign with what was unsealed, and never wait for it.
 * Keys that the TPM itself has are signed with by it, asked by the workers one at a time.
 */

#define TCTI_FALLBACK "device:/dev/tpmrm0"

struct tpm2_keystore {
    struct keystore base;
    struct keystore_config config; /* without what follows, uri and module_path */
    char *tcti, *path, *pcrs;
    struct secret pin, owner_auth;
    bool has_approver, has_id;
    uint8_t approver[ES256_POINT_LEN], sealed_id[SHA256_LEN];
    struct pool *pool;
    struct tpm2_store store; /* the control thread's, once it is open */
    bool opened;
    char description[160];
    _Atomic int state;
    _Atomic bool asleep; /* nobody looks after a connection that was left open */
};

static void
beat(void *ctx, bool command_starts)
{
    struct tpm2_keystore *ks = ctx;
    if (!ks->pool)
        return;
    struct pool_beat *control = pool_beat(ks->pool, ks->config.workers);
    if (command_starts)
        pool_beat_start(control, clock_mono_ms());
    else
        pool_beat_stop(control);
}

static void
worker_beat(void *ctx, bool command_starts)
{
    if (command_starts)
        pool_beat_start(ctx, clock_mono_ms());
    else
        pool_beat_stop(ctx);
}

static struct tpm2_store_config
store_config(struct tpm2_keystore *ks)
{
    return (struct tpm2_store_config){
        .link = {.tcti = ks->tcti,
                 .owner_auth = ks->owner_auth.p ? &ks->owner_auth : NULL,
                 .beat = beat,
                 .beat_ctx = ks},
        .path = ks->path,
        .pin = &ks->pin,
        .approver = ks->has_approver ? ks->approver : NULL,
        .sealed_id = ks->has_id ? ks->sealed_id : NULL,
    };
}

/* ---- pool_ops ---- */

static enum attest_rc
sign_op(void *ctx, unsigned worker, const struct key_ref *key, struct slice msg,
        uint8_t sig[PUBKEY_SIG_LEN])
{
    struct tpm2_keystore *ks = ctx;
    const struct tpm2_watch watch = {worker_beat, pool_beat(ks->pool, worker)};
    int64_t start_ns = clock_thread_cpu_ns();
    enum attest_rc rc = tpm2_store_sign(&ks->store, key, &watch, msg, sig);
    pool_count_sign_cpu(ks->pool, clock_thread_cpu_ns() - start_ns);
    if (key->public_key.type == PUBKEY_P256 && atomic_exchange(&ks->asleep, false))
        pool_wake_control(ks->pool);
    return rc;
}

static void
bad_signature_op(void *ctx, unsigned worker)
{
    (void)ctx, (void)worker; /* nothing of a worker's own can have gone stale */
}

static int64_t
tend_op(void *ctx)
{
    struct tpm2_keystore *ks = ctx;
    if (!ks->opened)
        return INT64_MAX;
    atomic_store(&ks->asleep, true); /* before looking: who signs from here on wakes us again */
    int64_t again_ms = tpm2_resident_rest(&ks->store.resident, clock_mono_ms());
    if (again_ms != INT64_MAX)
        atomic_store(&ks->asleep, false);
    return again_ms;
}

static void
dead_op(void *ctx, const char *why)
{
    struct tpm2_keystore *ks = ctx;
    atomic_store(&ks->state, KEYSTORE_LOST);
    if (ks->opened && ks->config.on_state)
        ks->config.on_state(ks->config.ctx, KEYSTORE_LOST, why);
}

static void
free_memory(void *ctx)
{
    struct tpm2_keystore *ks = ctx;
    secret_free(&ks->pin);
    secret_free(&ks->owner_auth);
    free(ks->tcti);
    free(ks->path);
    free(ks->pcrs);
    free(ks);
}

/* ---- operations on the control thread ---- */

/* Heap, because a caller may have to leave it behind in a call that hangs. */
struct operation {
    struct pool_op op;
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

static void
operation_free(struct operation *o)
{
    free(o->purpose);
    free(o->label);
    free(o->list);
    free(o);
}
DEFINE_AUTO(operation, struct operation *, operation_free);

static void
operation_release(struct pool_op *op)
{
    operation_free((struct operation *)op);
}

/* Runs it and returns its result; *o is NULL afterwards when it had to be left behind. */
static enum attest_rc
operation_run(struct tpm2_keystore *ks, struct operation **o,
              void (*run)(void *ctx, struct pool_op *op), struct attest_error *err)
{
    if (!*o)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    (*o)->op.run = run;
    (*o)->op.release = operation_release;
    if (pool_run(ks->pool, &(*o)->op)) {
        *o = NULL;
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "the TPM hangs");
    }
    if ((*o)->rc && err)
        *err = (*o)->err;
    return (*o)->rc;
}

static struct operation *
operation_new(void)
{
    return calloc(1, sizeof(struct operation));
}

static enum attest_rc
check_pcrs(const struct tpm2_keystore *ks, const struct tpm2_file *file, struct attest_error *err)
{
    uint32_t pcrs;
    if (!ks->pcrs)
        return ATTEST_OK;
    enum attest_rc rc = tpm2_pcrs_parse(ks->pcrs, &pcrs, err);
    if (!rc && pcrs != file->policy.pcrs)
        rc = error_set(err, ATTEST_E_CONFIG, "pcrs: the keys are sealed to others than these");
    return rc;
}

static void
open_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct tpm2_keystore *ks = ctx;
    const struct tpm2_store_config config = store_config(ks);
    o->rc = tpm2_store_open(&ks->store, &config, &o->err);
    if (o->rc)
        return;
    ks->opened = true;
    o->rc = check_pcrs(ks, ks->store.file, &o->err);
}

static void
close_run(void *ctx, struct pool_op *op)
{
    (void)op;
    struct tpm2_keystore *ks = ctx;
    pool_pause(ks->pool); /* for good */
    if (ks->opened)
        tpm2_store_close(&ks->store);
    ks->opened = false;
}

static void
generate_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct tpm2_keystore *ks = ctx;
    o->rc = tpm2_store_add(&ks->store, o->key.id, o->purpose, o->label, &o->key, &o->err);
}

static void
generate_resident_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct tpm2_keystore *ks = ctx;
    o->rc = tpm2_store_add_resident(&ks->store, o->key.id, o->purpose, o->label, &o->key, &o->err);
}

static void
list_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    const struct tpm2_file *file = ((struct tpm2_keystore *)ctx)->store.file;
    o->list = calloc(file->n_keys ? file->n_keys : 1, sizeof(*o->list));
    if (!o->list) {
        o->rc = error_set(&o->err, ATTEST_E_NOMEM, "out of memory");
        return;
    }
    for (o->n = 0; o->n < file->n_keys; o->n++)
        o->list[o->n] = file->keys[o->n].ref;
}

static void
destroy_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct tpm2_keystore *ks = ctx;
    o->rc = tpm2_store_remove(&ks->store, o->key.id, &o->key.public_key, &o->err);
}

static void
discard_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct tpm2_keystore *ks = ctx;
    o->rc = tpm2_store_remove(&ks->store, o->key.id, NULL, &o->err);
}

static void
lease_get_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    const struct tpm2_file *file = ((struct tpm2_keystore *)ctx)->store.file;
    o->lease = file->lease;
    if (!file->leased)
        o->rc = error_set(&o->err, ATTEST_E_NOT_FOUND, "no lease");
}

static void
lease_set_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct tpm2_keystore *ks = ctx;
    o->rc = tpm2_store_lease(&ks->store, o->expects ? &o->expected : NULL, &o->lease, &o->err);
}

static void
quote_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct tpm2_keystore *ks = ctx;
    o->rc = tpm2_store_quote(&ks->store, o->qualifying, &o->quote, &o->err);
}

/* ---- keystore_ops ---- */

static enum attest_rc
make_key(struct keystore *base, void (*run)(void *ctx, struct pool_op *op),
         const uint8_t id[KEYSTORE_ID_LEN], const char *purpose, const char *label,
         struct key_ref *ret, struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    if (!o || !(o->purpose = strdup(purpose)) || !(o->label = strdup(label)))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    memcpy(o->key.id, id, sizeof(o->key.id));
    enum attest_rc rc = operation_run((struct tpm2_keystore *)base, &o, run, err);
    if (!rc)
        *ret = o->key;
    return rc;
}

static enum attest_rc
tpm2_generate(struct keystore *base, const uint8_t id[KEYSTORE_ID_LEN], const char *purpose,
              const char *label, struct key_ref *ret, struct attest_error *err)
{
    return make_key(base, generate_run, id, purpose, label, ret, err);
}

static enum attest_rc
tpm2_generate_resident(struct keystore *base, const uint8_t id[KEYSTORE_ID_LEN],
                       const char *purpose, const char *label, struct key_ref *ret,
                       struct attest_error *err)
{
    return make_key(base, generate_resident_run, id, purpose, label, ret, err);
}

static enum attest_rc
tpm2_list(struct keystore *base, struct key_ref **ret, size_t *n, struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    enum attest_rc rc = operation_run((struct tpm2_keystore *)base, &o, list_run, err);
    if (rc)
        return rc;
    *n = o->n;
    *ret = STEAL(o->list);
    return ATTEST_OK;
}

static enum attest_rc
tpm2_destroy(struct keystore *base, const struct key_ref *key, struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    if (o)
        o->key = *key;
    return operation_run((struct tpm2_keystore *)base, &o, destroy_run, err);
}

static enum attest_rc
tpm2_discard(struct keystore *base, const uint8_t id[KEYSTORE_ID_LEN], struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    if (o)
        memcpy(o->key.id, id, sizeof(o->key.id));
    return operation_run((struct tpm2_keystore *)base, &o, discard_run, err);
}

static enum attest_rc
tpm2_lease_get(struct keystore *base, struct keystore_lease *ret, struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    enum attest_rc rc = operation_run((struct tpm2_keystore *)base, &o, lease_get_run, err);
    if (!rc)
        *ret = o->lease;
    return rc;
}

static enum attest_rc
tpm2_lease_set(struct keystore *base, const struct keystore_lease *expected,
               const struct keystore_lease *lease, struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    if (o) {
        o->lease = *lease;
        o->expects = expected;
        if (expected)
            o->expected = *expected;
    }
    return operation_run((struct tpm2_keystore *)base, &o, lease_set_run, err);
}

static enum attest_rc
tpm2_quote(struct keystore *base, const uint8_t qualifying[SHA256_LEN], struct keystore_quote *ret,
           struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    if (o)
        memcpy(o->qualifying, qualifying, SHA256_LEN);
    enum attest_rc rc = operation_run((struct tpm2_keystore *)base, &o, quote_run, err);
    if (!rc)
        *ret = o->quote;
    return rc;
}

static enum attest_rc
tpm2_sign(struct keystore *base, const struct key_ref *key, struct slice msg, int64_t deadline_ms,
          keystore_signed *done, void *ctx)
{
    struct tpm2_keystore *ks = (struct tpm2_keystore *)base;
    return pool_sign(ks->pool, key, msg, deadline_ms, done, ctx);
}

static void
tpm2_stats(struct keystore *base, struct keystore_stats *ret)
{
    struct tpm2_keystore *ks = (struct tpm2_keystore *)base;
    pool_stats(ks->pool, ret);
    ret->state = (enum keystore_state)atomic_load(&ks->state);
    ret->reconnects = 0;
}

static void
tpm2_describe(struct keystore *base, char *out, size_t out_size)
{
    snprintf(out, out_size, "%s", ((struct tpm2_keystore *)base)->description);
}

/* ---- life ---- */

static void
tpm2_keystore_free(struct tpm2_keystore *ks)
{
    if (ks->pool) {
        pool_refuse(ks->pool, pool_close_gate(ks->pool));
        struct operation *o = operation_new();
        operation_run(ks, &o, close_run, NULL);
        if (o)
            operation_free(o);
        if (!pool_free(ks->pool))
            return; /* a call hangs in the TPM's library and may yet come back to all of this */
    }
    free_memory(ks);
}
DEFINE_AUTO(tpm2_keystore, struct tpm2_keystore *, tpm2_keystore_free);

static void
tpm2_close(struct keystore *base)
{
    tpm2_keystore_free((struct tpm2_keystore *)base);
}

static const struct keystore_ops tpm2_ops = {
    .close = tpm2_close,
    .generate = tpm2_generate,
    .generate_resident = tpm2_generate_resident,
    .list = tpm2_list,
    .destroy = tpm2_destroy,
    .discard = tpm2_discard,
    .lease_get = tpm2_lease_get,
    .lease_set = tpm2_lease_set,
    .quote = tpm2_quote,
    .sign = tpm2_sign,
    .stats = tpm2_stats,
    .describe = tpm2_describe,
};

const char *
tpm2_tcti_of(const char *uri)
{
    const char *tcti = uri + strlen(TPM2_SCHEME);
    return tcti[0] ? tcti : TCTI_FALLBACK;
}

/* Without a pool yet. */
static enum attest_rc
keystore_new(const struct keystore_config *config, struct tpm2_keystore **ret,
             struct attest_error *err)
{
    if (!config->sealed_path || !config->sealed_path[0])
        return error_set(err, ATTEST_E_CONFIG, "no path for the file of sealed keys");
    struct tpm2_keystore *ks = calloc(1, sizeof(*ks));
    if (!ks)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    ks->base.ops = &tpm2_ops;
    ks->config = *config;
    ks->config.uri = ks->config.module_path = ks->config.sealed_path = ks->config.pcrs = NULL;
    ks->config.pin = ks->config.owner_auth = NULL;
    ks->config.approver = ks->config.sealed_id = NULL;
    ks->has_approver = config->approver != NULL;
    if (ks->has_approver)
        memcpy(ks->approver, config->approver, sizeof(ks->approver));
    ks->has_id = config->sealed_id != NULL;
    if (ks->has_id)
        memcpy(ks->sealed_id, config->sealed_id, sizeof(ks->sealed_id));
    ks->config.ek_ca = NULL;
    ks->tcti = strdup(tpm2_tcti_of(config->uri));
    ks->path = strdup(config->sealed_path);
    ks->pcrs = config->pcrs ? strdup(config->pcrs) : NULL;
    if (config->pin && config->pin->len > 0)
        ks->pin = secret_copy(config->pin->p, config->pin->len);
    if (config->owner_auth && config->owner_auth->len > 0)
        ks->owner_auth = secret_copy(config->owner_auth->p, config->owner_auth->len);
    if (!ks->tcti || !ks->path || (config->pcrs && !ks->pcrs)) {
        free_memory(ks);
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    }
    atomic_store(&ks->state, KEYSTORE_READY);
    atomic_store(&ks->asleep, true);
    snprintf(ks->description, sizeof(ks->description), "keys sealed by a TPM 2.0 (%.80s)",
             ks->tcti);
    *ret = ks;
    return ATTEST_OK;
}

enum attest_rc
tpm2_keystore_create(const struct keystore_config *config, struct attest_error *err)
{
    AUTO(tpm2_keystore) struct tpm2_keystore *ks = NULL;
    enum attest_rc rc = keystore_new(config, &ks, err);
    if (rc)
        return rc;
    struct tpm2_store_config store = store_config(ks);
    store.link.ek_ca = config->ek_ca;
    return tpm2_store_create(&store, ks->pcrs ? ks->pcrs : "", err);
}

enum attest_rc
tpm2_keystore_open(const struct keystore_config *config, struct keystore **ret,
                   struct attest_error *err)
{
    static const struct pool_ops ops = {sign_op, bad_signature_op, tend_op, dead_op, free_memory};
    AUTO(tpm2_keystore) struct tpm2_keystore *ks = NULL;
    enum attest_rc rc = keystore_new(config, &ks, err);
    if (rc)
        return rc;
    const struct pool_config pool = {
        .workers = config->workers,
        .queue_max = config->queue_max,
        .call_timeout_ms = config->call_timeout_ms,
        .ops = &ops,
        .ctx = ks,
    };
    AUTO(operation) struct operation *o = operation_new();
    if ((rc = pool_new(&pool, &ks->pool, err)) || (rc = operation_run(ks, &o, open_run, err)))
        return rc;
    pool_open_gate(ks->pool);
    *ret = &STEAL(ks)->base;
    return ATTEST_OK;
}
