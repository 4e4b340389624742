/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "hsm/keystore_impl.h"
#include "hsm/tpm2_store.h"

/*
 * A keystore whose seeds a TPM has sealed. The TPM is asked when it opens, when keys are made or
 * destroyed and for a quote, on the control thread; the workers sign with what was unsealed, and
 * never wait for it, also when it hangs in one of these. Keys that the TPM itself has are signed
 * with by it, asked by the workers one at a time.
 */

#define TCTI_FALLBACK "device:/dev/tpmrm0"

struct tpm2_keystore {
    struct keystore base;
    struct keystore_config config; /* without what follows, uri and module_path */
    char *tcti, *path, *pcrs;
    struct secret pin, owner_auth;
    bool has_approver, has_id;
    uint8_t approver[ES256_POINT_LEN], sealed_id[SHA256_LEN];
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
    if (!ks->base.pool)
        return;
    struct pool_beat *control = pool_beat(ks->base.pool, ks->config.workers);
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
    const struct tpm2_watch watch = {worker_beat, pool_beat(ks->base.pool, worker)};
    int64_t start_ns = clock_thread_cpu_ns();
    enum attest_rc rc = tpm2_store_sign(&ks->store, key, &watch, msg, sig);
    pool_count_sign_cpu(ks->base.pool, clock_thread_cpu_ns() - start_ns);
    if (key->public_key.type == PUBKEY_P256 && atomic_exchange(&ks->asleep, false))
        pool_wake_control(ks->base.pool);
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
    ks->base.pool = NULL;
    if (ks->opened) /* the control thread hung when it was to do that */
        tpm2_store_close(&ks->store);
    secret_free(&ks->pin);
    secret_free(&ks->owner_auth);
    free(ks->tcti);
    free(ks->path);
    free(ks->pcrs);
    free(ks);
}

/* ---- operations on the control thread ---- */

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

static struct tpm2_keystore *
tpm2_of(struct keystore *base)
{
    return (struct tpm2_keystore *)base;
}

static enum attest_rc
open_run(struct keystore *base, struct operation *o)
{
    struct tpm2_keystore *ks = tpm2_of(base);
    const struct tpm2_store_config config = store_config(ks);
    enum attest_rc rc = tpm2_store_open(&ks->store, &config, &o->err);
    if (rc)
        return rc;
    ks->opened = true;
    return check_pcrs(ks, ks->store.file, &o->err);
}

static enum attest_rc
close_run(struct keystore *base, struct operation *o)
{
    (void)o;
    struct tpm2_keystore *ks = tpm2_of(base);
    pool_pause(base->pool); /* for good */
    if (ks->opened)
        tpm2_store_close(&ks->store);
    ks->opened = false;
    return ATTEST_OK;
}

static enum attest_rc
generate_run(struct keystore *base, struct operation *o)
{
    return tpm2_store_add(&tpm2_of(base)->store, o->key.id, o->purpose, o->label, &o->key, &o->err);
}

static enum attest_rc
generate_resident_run(struct keystore *base, struct operation *o)
{
    return tpm2_store_add_resident(&tpm2_of(base)->store, o->key.id, o->purpose, o->label, &o->key,
                                   &o->err);
}

static enum attest_rc
list_run(struct keystore *base, struct operation *o)
{
    const struct tpm2_file *file = tpm2_of(base)->store.file;
    o->list = calloc(file->n_keys ? file->n_keys : 1, sizeof(*o->list));
    if (!o->list)
        return error_set(&o->err, ATTEST_E_NOMEM, "out of memory");
    for (o->n = 0; o->n < file->n_keys; o->n++)
        o->list[o->n] = file->keys[o->n].ref;
    return ATTEST_OK;
}

static enum attest_rc
destroy_run(struct keystore *base, struct operation *o)
{
    return tpm2_store_remove(&tpm2_of(base)->store, o->key.id, &o->key.public_key, &o->err);
}

static enum attest_rc
discard_run(struct keystore *base, struct operation *o)
{
    return tpm2_store_remove(&tpm2_of(base)->store, o->key.id, NULL, &o->err);
}

/* The file is nobody else's while it is locked: what we have of it is what it says. */
static enum attest_rc
tpm2_lease_get(struct keystore *base, struct keystore_lease *ret, struct attest_error *err)
{
    return tpm2_store_lease_held(&tpm2_of(base)->store, ret, err);
}

static enum attest_rc
lease_set_run(struct keystore *base, struct operation *o)
{
    return tpm2_store_lease(&tpm2_of(base)->store, o->expects ? &o->expected : NULL, &o->lease,
                            &o->err);
}

static enum attest_rc
quote_run(struct keystore *base, struct operation *o)
{
    return tpm2_store_quote(&tpm2_of(base)->store, o->qualifying, &o->quote, &o->err);
}

static void
tpm2_stats(struct keystore *base, struct keystore_stats *ret)
{
    ret->state = (enum keystore_state)atomic_load(&tpm2_of(base)->state);
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
    if (ks->base.pool) {
        pool_refuse(ks->base.pool, pool_close_gate(ks->base.pool));
        AUTO(operation) struct operation *o = operation_new();
        operation_run(&ks->base, &o, close_run, NULL);
        if (!pool_free(ks->base.pool))
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
    .device = "the TPM",
    .close = tpm2_close,
    .generate = generate_run,
    .generate_resident = generate_resident_run,
    .list = list_run,
    .destroy = destroy_run,
    .discard = discard_run,
    .lease_get = tpm2_lease_get,
    .lease_set = lease_set_run,
    .quote = quote_run,
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
        .control_may_hang = true,
        .ops = &ops,
        .ctx = ks,
    };
    AUTO(operation) struct operation *o = operation_new();
    if ((rc = pool_new(&pool, &ks->base.pool, err)) ||
        (rc = operation_run(&ks->base, &o, open_run, err)))
        return rc;
    pool_open_gate(ks->base.pool);
    *ret = &STEAL(ks)->base;
    return ATTEST_OK;
}
