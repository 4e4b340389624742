/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "hsm/p11_lease.h"
#include "hsm/pkcs11_impl.h"

/* ---- signing, on a worker ---- */

static CK_OBJECT_HANDLE *
cached_handle(struct p11_worker *w, const struct key_ref *key)
{
    for (unsigned i = 0; i < w->n_cached; i++) {
        if (!memcmp(&w->cache[i].key, key, sizeof(*key)))
            return &w->cache[i].handle;
    }
    return NULL;
}

static void
cache_handle(struct p11_worker *w, const struct key_ref *key, CK_OBJECT_HANDLE handle)
{
    unsigned i = w->n_cached < P11_CACHE ? w->n_cached++ : w->next_cached++ % P11_CACHE;
    w->cache[i].key = *key;
    w->cache[i].handle = handle;
}

/* CKR_OK and CK_INVALID_HANDLE when the token has no such key. */
static CK_RV
handle_of(struct p11_keystore *ks, struct p11_worker *w, const struct key_ref *key,
          CK_OBJECT_HANDLE *ret)
{
    unsigned destroyed = atomic_load(&ks->cache_epoch);
    if (w->cache_epoch != destroyed) {
        w->n_cached = 0;
        w->cache_epoch = destroyed;
    }
    const CK_OBJECT_HANDLE *cached = cached_handle(w, key);
    if (cached) {
        *ret = *cached;
        return CKR_OK;
    }
    struct p11_pair pair;
    CK_RV rv = p11_key_find(&w->conn, key, &pair);
    if (rv == CKR_OK && pair.private_key != CK_INVALID_HANDLE) {
        cache_handle(w, key, pair.private_key);
        p11_known_add(ks, key);
    }
    *ret = pair.private_key;
    return rv;
}

static CK_RV
try_sign(struct p11_keystore *ks, struct p11_worker *w, const struct key_ref *key, struct slice msg,
         uint8_t sig[ED25519_SIG_LEN], bool *found)
{
    CK_RV rv = CKR_OK;
    *found = true;
    if (atomic_exchange(&w->suspect, false))
        w->epoch = 0;
    if (w->epoch != atomic_load(&ks->epoch))
        rv = p11_worker_refresh(ks, w);
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    if (rv == CKR_OK)
        rv = handle_of(ks, w, key, &handle);
    if (rv != CKR_OK)
        return rv;
    *found = handle != CK_INVALID_HANDLE;
    if (!*found)
        return CKR_OK;
    int64_t start_ns = clock_thread_cpu_ns();
    rv = p11_key_sign(&w->conn, handle, msg.p, msg.len, sig);
    pool_count_sign_cpu(ks->base.pool, clock_thread_cpu_ns() - start_ns);
    return rv;
}

static enum attest_rc
sign_failed(struct p11_keystore *ks, struct p11_worker *w, const struct key_ref *key,
            unsigned epoch, CK_RV rv)
{
    enum p11_fate fate = p11_fate(rv);
    if (rv == CKR_SIGNATURE_LEN_RANGE) {
        atomic_store(&w->suspect, true);
        return ATTEST_E_SIGNATURE;
    }
    if (fate == P11_FATE_REQUEST || (fate == P11_FATE_KEY && !p11_known_has(ks, key)))
        return ATTEST_E_KEY_OUT_OF_REACH;
    p11_out_of_reach(ks, epoch, w->conn.call, rv);
    return ATTEST_E_KEY_OUT_OF_REACH;
}

static enum attest_rc
sign_op(void *ctx, unsigned worker, const struct key_ref *key, struct slice msg,
        uint8_t sig[ED25519_SIG_LEN])
{
    struct p11_keystore *ks = ctx;
    struct p11_worker *w = &ks->workers[worker];
    unsigned epoch = atomic_load(&ks->epoch);
    CK_RV rv = CKR_OK;
    bool found = true;
    int tries;
    /* A session that expired or a handle that went stale is mended here, once, unnoticed. */
    for (tries = 0; tries < 2; tries++) {
        rv = try_sign(ks, w, key, msg, sig, &found);
        if (pool_worker_lost(ks->base.pool, worker)) {
            w->epoch = 0;
            return ATTEST_E_TIMEOUT;
        }
        if (rv == CKR_OK)
            break;
        w->n_cached = 0;
        if (p11_fate(rv) == P11_FATE_SESSION)
            w->epoch = 0;
        else if (p11_fate(rv) != P11_FATE_KEY)
            break;
    }
    if (rv != CKR_OK)
        return sign_failed(ks, w, key, epoch, rv);
    if (!found && !p11_known_has(ks, key))
        return ATTEST_E_NOT_FOUND;
    if (!found) {
        p11_out_of_reach(ks, epoch, "C_FindObjects", CKR_OK);
        return ATTEST_E_KEY_OUT_OF_REACH;
    }
    if (tries > 0)
        atomic_fetch_add(&ks->reconnects, 1);
    if (!atomic_load_explicit(&ks->proven, memory_order_relaxed))
        atomic_store(&ks->proven, true);
    return ATTEST_OK;
}

static void
bad_signature_op(void *ctx, unsigned worker)
{
    struct p11_keystore *ks = ctx;
    atomic_store(&ks->workers[worker].suspect, true);
}

/* ---- operations on the control thread ---- */

static struct p11_keystore *
p11_of(struct keystore *base)
{
    return (struct p11_keystore *)base;
}

static enum attest_rc
ready(struct p11_keystore *ks, struct operation *o)
{
    enum keystore_state state = p11_state(ks);
    if (state == KEYSTORE_READY)
        return ATTEST_OK;
    return error_set(&o->err, ATTEST_E_KEY_OUT_OF_REACH, "keystore: %s",
                     keystore_state_name(state));
}

/* A failed call that says more about the connection than about this operation. */
static void
note_failure(struct p11_keystore *ks, CK_RV rv)
{
    if (rv != CKR_OK && p11_fate(rv) != P11_FATE_REQUEST && p11_fate(rv) != P11_FATE_KEY)
        p11_out_of_reach(ks, atomic_load(&ks->epoch), ks->control.call, rv);
}

/* The same, when it is the operation that failed. */
static enum attest_rc
call_failed(struct p11_keystore *ks, struct operation *o, CK_RV rv)
{
    error_set(&o->err, ATTEST_E_KEY_OUT_OF_REACH, "%s: %s", ks->control.call, P11_RV_TEXT(rv));
    note_failure(ks, rv);
    return ATTEST_E_KEY_OUT_OF_REACH;
}

static enum attest_rc
open_run(struct keystore *base, struct operation *o)
{
    return p11_connect(p11_of(base), false, &o->err);
}

static enum attest_rc
close_run(struct keystore *base, struct operation *o)
{
    (void)o;
    p11_disconnect(p11_of(base));
    return ATTEST_OK;
}

static enum attest_rc
generate_run(struct keystore *base, struct operation *o)
{
    struct p11_keystore *ks = p11_of(base);
    enum attest_rc rc = ready(ks, o);
    if (rc)
        return rc;
    struct p11_key_request request = {o->key.id, o->label, ks->config.ec_params_name_first, true};
    struct p11_pair pair;
    CK_RV rv;
    pool_pause(base->pool);
    rc = p11_key_generate(&ks->control, &request, &o->key, &pair, &rv, &o->err);
    pool_resume(base->pool);
    note_failure(ks, rv);
    return rc;
}

static enum attest_rc
list_run(struct keystore *base, struct operation *o)
{
    struct p11_keystore *ks = p11_of(base);
    enum attest_rc rc = ready(ks, o);
    if (rc)
        return rc;
    CK_RV rv = p11_key_list(&ks->control, &o->list, &o->n);
    return rv == CKR_OK ? ATTEST_OK : call_failed(ks, o, rv);
}

static enum attest_rc
destroy_run(struct keystore *base, struct operation *o)
{
    struct p11_keystore *ks = p11_of(base);
    enum attest_rc rc = ready(ks, o);
    if (rc)
        return rc;
    struct p11_pair pair;
    pool_pause(base->pool);
    CK_RV rv = p11_key_find(&ks->control, &o->key, &pair);
    if (rv == CKR_OK && pair.private_key == CK_INVALID_HANDLE)
        rv = p11_key_find_half(&ks->control, &o->key, &pair);
    if (rv == CKR_OK && pair.private_key == CK_INVALID_HANDLE &&
        pair.public_key == CK_INVALID_HANDLE) {
        rc = error_set(&o->err, ATTEST_E_NOT_FOUND, "no such key on the token");
    } else if (rv == CKR_OK) {
        p11_known_drop(ks, &o->key);
        rv = p11_key_destroy(&ks->control, &pair);
        atomic_fetch_add(&ks->cache_epoch, 1); /* its handle may come to name another key */
    }
    pool_resume(base->pool);
    return rv == CKR_OK ? rc : call_failed(ks, o, rv);
}

static enum attest_rc
discard_run(struct keystore *base, struct operation *o)
{
    struct p11_keystore *ks = p11_of(base);
    enum attest_rc rc = ready(ks, o);
    if (rc)
        return rc;
    size_t n;
    pool_pause(base->pool);
    CK_RV rv = p11_key_discard(&ks->control, o->key.id, &n);
    if (n)
        atomic_fetch_add(&ks->cache_epoch, 1);
    pool_resume(base->pool);
    if (rv != CKR_OK)
        return call_failed(ks, o, rv);
    return n ? ATTEST_OK
             : error_set(&o->err, ATTEST_E_NOT_FOUND, "nothing with this id on the token");
}

static enum attest_rc
lease_get_run(struct keystore *base, struct operation *o)
{
    struct p11_keystore *ks = p11_of(base);
    CK_RV rv = CKR_OK;
    enum attest_rc rc = ready(ks, o);
    if (!rc)
        rc = p11_lease_get(&ks->control, &o->lease, &rv, &o->err);
    note_failure(ks, rv);
    return rc;
}

static enum attest_rc
pkcs11_lease_get(struct keystore *base, struct keystore_lease *ret, struct attest_error *err)
{
    AUTO(operation) struct operation *o = operation_new();
    enum attest_rc rc = operation_run(base, &o, lease_get_run, err);
    if (!rc)
        *ret = o->lease;
    return rc;
}

static enum attest_rc
lease_set_run(struct keystore *base, struct operation *o)
{
    struct p11_keystore *ks = p11_of(base);
    CK_RV rv = CKR_OK;
    enum attest_rc rc = ready(ks, o);
    if (!rc)
        rc = p11_lease_set(&ks->control, o->expects ? &o->expected : NULL, &o->lease, &rv, &o->err);
    note_failure(ks, rv);
    return rc;
}

/* ---- life ---- */

static void
pkcs11_stats(struct keystore *base, struct keystore_stats *ret)
{
    struct p11_keystore *ks = p11_of(base);
    ret->state = p11_state(ks);
    ret->reconnects = atomic_load(&ks->reconnects);
}

static void
pkcs11_describe(struct keystore *base, char *out, size_t out_size)
{
    struct p11_keystore *ks = p11_of(base);
    pthread_mutex_lock(&ks->lock);
    snprintf(out, out_size, "%s", ks->description);
    pthread_mutex_unlock(&ks->lock);
}

static void
free_memory(void *ctx)
{
    struct p11_keystore *ks = ctx;
    secret_free(&ks->pin);
    p11_uri_free(ks->uri);
    pthread_mutex_destroy(&ks->lock);
    free(ks->workers);
    free(ks);
}

static void
p11_keystore_free(struct p11_keystore *ks)
{
    if (ks->base.pool) {
        pool_refuse(ks->base.pool, pool_close_gate(ks->base.pool));
        AUTO(operation) struct operation *o = operation_new();
        operation_run(&ks->base, &o, close_run, NULL);
        if (!pool_free(ks->base.pool))
            return; /* a call hangs in the module and may yet come back to all of this */
    }
    free_memory(ks);
}
DEFINE_AUTO(p11_keystore, struct p11_keystore *, p11_keystore_free);

static void
pkcs11_close(struct keystore *base)
{
    p11_keystore_free(p11_of(base));
}

static const struct keystore_ops pkcs11_ops = {
    .device = "the PKCS#11 module",
    .close = pkcs11_close,
    .generate = generate_run,
    .list = list_run,
    .destroy = destroy_run,
    .discard = discard_run,
    .lease_get = pkcs11_lease_get,
    .lease_set = lease_set_run,
    .stats = pkcs11_stats,
    .describe = pkcs11_describe,
};

static enum attest_rc
start_pool(struct p11_keystore *ks, struct attest_error *err)
{
    static const struct pool_ops ops = {sign_op, bad_signature_op, p11_tend, p11_dead, free_memory};
    struct pool_config config = {
        .workers = ks->config.workers,
        .queue_max = ks->config.queue_max,
        .call_timeout_ms = ks->config.call_timeout_ms,
        .ops = &ops,
        .ctx = ks,
    };
    enum attest_rc rc = pool_new(&config, &ks->base.pool, err);
    if (rc)
        return rc;
    for (unsigned i = 0; i < config.workers; i++)
        ks->workers[i].conn =
            (struct p11_conn){.f = ks->module.f, .beat = pool_beat(ks->base.pool, i)};
    ks->control =
        (struct p11_conn){.f = ks->module.f, .beat = pool_beat(ks->base.pool, config.workers)};
    return ATTEST_OK;
}

enum attest_rc
pkcs11_keystore_open(const struct keystore_config *config, struct keystore **ret,
                     struct attest_error *err)
{
    AUTO(p11_keystore) struct p11_keystore *ks = calloc(1, sizeof(*ks));
    AUTO(operation) struct operation *o = operation_new();
    if (!ks || !o)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    pthread_mutex_init(&ks->lock, NULL);
    ks->base.ops = &pkcs11_ops;
    ks->config = *config;
    ks->state = ks->reported = KEYSTORE_OUT_OF_REACH;
    ks->retry_due_ms = INT64_MAX;
    atomic_store(&ks->proven, true);
    ks->workers = calloc(config->workers, sizeof(*ks->workers));
    if (!ks->workers)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    if (config->pin && config->pin->len > 0)
        ks->pin = secret_copy(config->pin->p, config->pin->len);
    enum attest_rc rc = p11_uri_parse(config->uri, &ks->uri, err);
    if (rc)
        return rc;
    const char *path = config->module_path;
    if (!path)
        path = p11_uri_module_path(ks->uri);
    rc = p11_module_load(&ks->module, path ? path : P11_SOFTHSM_MODULE, err);
    ks->config.uri = ks->config.module_path = NULL;
    ks->config.pin = NULL;
    if (!rc)
        rc = start_pool(ks, err);
    if (!rc)
        rc = operation_run(&ks->base, &o, open_run, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&ks->lock);
    ks->opened = true;
    if (ks->state == KEYSTORE_OUT_OF_REACH) {
        ks->state = ks->reported = KEYSTORE_READY;
        pool_open_gate(ks->base.pool);
    }
    pthread_mutex_unlock(&ks->lock);
    pool_wake_control(ks->base.pool);
    *ret = &STEAL(ks)->base;
    return ATTEST_OK;
}
