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
    pool_count_sign_cpu(ks->pool, clock_thread_cpu_ns() - start_ns);
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
        if (pool_worker_lost(ks->pool, worker)) {
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

static enum attest_rc
pkcs11_sign(struct keystore *base, const struct key_ref *key, struct slice msg, int64_t deadline_ms,
            keystore_signed *done, void *ctx)
{
    struct p11_keystore *ks = (struct p11_keystore *)base;
    return pool_sign(ks->pool, key, msg, deadline_ms, done, ctx);
}

/* ---- operations on the control thread ---- */

/* Heap, because a caller may have to leave it behind in a call that hangs. */
struct operation {
    struct pool_op op;
    enum attest_rc rc;
    struct attest_error err;
    char *label;
    struct key_ref key; /* in or out */
    struct keystore_lease lease, expected;
    bool expects;
    struct key_ref *list;
    size_t n;
};

static void
operation_free(struct operation *o)
{
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
operation_run(struct p11_keystore *ks, struct operation **o,
              void (*run)(void *ctx, struct pool_op *op), struct attest_error *err)
{
    (*o)->op.run = run;
    (*o)->op.release = operation_release;
    enum attest_rc rc = pool_run(ks->pool, &(*o)->op);
    if (rc) {
        *o = NULL;
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "the PKCS#11 module hangs");
    }
    if ((*o)->rc && err)
        *err = (*o)->err;
    return (*o)->rc;
}

static struct operation *
operation_new(struct attest_error *err)
{
    struct operation *o = calloc(1, sizeof(*o));
    if (!o)
        error_set(err, ATTEST_E_NOMEM, "out of memory");
    return o;
}

static bool
ready(struct p11_keystore *ks, struct operation *o)
{
    enum keystore_state state = p11_state(ks);
    if (state == KEYSTORE_READY)
        return true;
    o->rc =
        error_set(&o->err, ATTEST_E_KEY_OUT_OF_REACH, "keystore: %s", keystore_state_name(state));
    return false;
}

/* A failed call that says more about the connection than about this operation. */
static void
note_failure(struct p11_keystore *ks, CK_RV rv)
{
    if (rv != CKR_OK && p11_fate(rv) != P11_FATE_REQUEST && p11_fate(rv) != P11_FATE_KEY)
        p11_out_of_reach(ks, atomic_load(&ks->epoch), ks->control.call, rv);
}

static void
open_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    o->rc = p11_connect(ctx, false, &o->err);
}

static void
close_run(void *ctx, struct pool_op *op)
{
    (void)op;
    p11_disconnect(ctx);
}

static void
generate_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct p11_keystore *ks = ctx;
    if (!ready(ks, o))
        return;
    struct p11_key_request request = {o->key.id, o->label, ks->config.ec_params_name_first, true};
    struct p11_pair pair;
    CK_RV rv;
    pool_pause(ks->pool);
    o->rc = p11_key_generate(&ks->control, &request, &o->key, &pair, &rv, &o->err);
    pool_resume(ks->pool);
    note_failure(ks, rv);
}

static void
list_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct p11_keystore *ks = ctx;
    if (!ready(ks, o))
        return;
    CK_RV rv = p11_key_list(&ks->control, &o->list, &o->n);
    if (rv != CKR_OK)
        o->rc = error_set(&o->err, ATTEST_E_KEY_OUT_OF_REACH, "%s: %s", ks->control.call,
                          P11_RV_TEXT(rv));
    note_failure(ks, rv);
}

static void
destroy_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct p11_keystore *ks = ctx;
    if (!ready(ks, o))
        return;
    struct p11_pair pair;
    pool_pause(ks->pool);
    CK_RV rv = p11_key_find(&ks->control, &o->key, &pair);
    if (rv == CKR_OK && pair.private_key == CK_INVALID_HANDLE)
        rv = p11_key_find_half(&ks->control, &o->key, &pair);
    if (rv == CKR_OK && pair.private_key == CK_INVALID_HANDLE &&
        pair.public_key == CK_INVALID_HANDLE) {
        o->rc = error_set(&o->err, ATTEST_E_NOT_FOUND, "no such key on the token");
    } else if (rv == CKR_OK) {
        p11_known_drop(ks, &o->key);
        rv = p11_key_destroy(&ks->control, &pair);
        atomic_fetch_add(&ks->cache_epoch, 1); /* its handle may come to name another key */
    }
    pool_resume(ks->pool);
    if (rv != CKR_OK)
        o->rc = error_set(&o->err, ATTEST_E_KEY_OUT_OF_REACH, "%s: %s", ks->control.call,
                          P11_RV_TEXT(rv));
    note_failure(ks, rv);
}

static void
discard_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct p11_keystore *ks = ctx;
    if (!ready(ks, o))
        return;
    size_t n;
    pool_pause(ks->pool);
    CK_RV rv = p11_key_discard(&ks->control, o->key.id, &n);
    if (n)
        atomic_fetch_add(&ks->cache_epoch, 1);
    pool_resume(ks->pool);
    if (rv != CKR_OK)
        o->rc = error_set(&o->err, ATTEST_E_KEY_OUT_OF_REACH, "%s: %s", ks->control.call,
                          P11_RV_TEXT(rv));
    else if (!n)
        o->rc = error_set(&o->err, ATTEST_E_NOT_FOUND, "nothing with this id on the token");
    note_failure(ks, rv);
}

static void
lease_get_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct p11_keystore *ks = ctx;
    if (!ready(ks, o))
        return;
    CK_RV rv;
    o->rc = p11_lease_get(&ks->control, &o->lease, &rv, &o->err);
    note_failure(ks, rv);
}

static void
lease_set_run(void *ctx, struct pool_op *op)
{
    struct operation *o = (struct operation *)op;
    struct p11_keystore *ks = ctx;
    if (!ready(ks, o))
        return;
    CK_RV rv;
    o->rc = p11_lease_set(&ks->control, o->expects ? &o->expected : NULL, &o->lease, &rv, &o->err);
    note_failure(ks, rv);
}

static enum attest_rc
pkcs11_generate(struct keystore *base, const uint8_t id[KEYSTORE_ID_LEN], const char *purpose,
                const char *label, struct key_ref *ret, struct attest_error *err)
{
    (void)purpose;
    struct p11_keystore *ks = (struct p11_keystore *)base;
    AUTO(operation) struct operation *o = operation_new(err);
    if (!o)
        return ATTEST_E_NOMEM;
    o->label = strdup(label);
    if (!o->label)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    memcpy(o->key.id, id, sizeof(o->key.id));
    enum attest_rc rc = operation_run(ks, &o, generate_run, err);
    if (!rc)
        *ret = o->key;
    return rc;
}

static enum attest_rc
pkcs11_list(struct keystore *base, struct key_ref **ret, size_t *n, struct attest_error *err)
{
    struct p11_keystore *ks = (struct p11_keystore *)base;
    AUTO(operation) struct operation *o = operation_new(err);
    if (!o)
        return ATTEST_E_NOMEM;
    enum attest_rc rc = operation_run(ks, &o, list_run, err);
    if (rc)
        return rc;
    *n = o->n;
    *ret = STEAL(o->list);
    return ATTEST_OK;
}

static enum attest_rc
pkcs11_destroy(struct keystore *base, const struct key_ref *key, struct attest_error *err)
{
    struct p11_keystore *ks = (struct p11_keystore *)base;
    AUTO(operation) struct operation *o = operation_new(err);
    if (!o)
        return ATTEST_E_NOMEM;
    o->key = *key;
    return operation_run(ks, &o, destroy_run, err);
}

static enum attest_rc
pkcs11_discard(struct keystore *base, const uint8_t id[KEYSTORE_ID_LEN], struct attest_error *err)
{
    struct p11_keystore *ks = (struct p11_keystore *)base;
    AUTO(operation) struct operation *o = operation_new(err);
    if (!o)
        return ATTEST_E_NOMEM;
    memcpy(o->key.id, id, sizeof(o->key.id));
    return operation_run(ks, &o, discard_run, err);
}

static enum attest_rc
pkcs11_lease_get(struct keystore *base, struct keystore_lease *ret, struct attest_error *err)
{
    struct p11_keystore *ks = (struct p11_keystore *)base;
    AUTO(operation) struct operation *o = operation_new(err);
    if (!o)
        return ATTEST_E_NOMEM;
    enum attest_rc rc = operation_run(ks, &o, lease_get_run, err);
    if (!rc)
        *ret = o->lease;
    return rc;
}

static enum attest_rc
pkcs11_lease_set(struct keystore *base, const struct keystore_lease *expected,
                 const struct keystore_lease *lease, struct attest_error *err)
{
    struct p11_keystore *ks = (struct p11_keystore *)base;
    AUTO(operation) struct operation *o = operation_new(err);
    if (!o)
        return ATTEST_E_NOMEM;
    o->lease = *lease;
    o->expects = expected;
    if (expected)
        o->expected = *expected;
    return operation_run(ks, &o, lease_set_run, err);
}

/* ---- life ---- */

static void
pkcs11_stats(struct keystore *base, struct keystore_stats *ret)
{
    struct p11_keystore *ks = (struct p11_keystore *)base;
    pool_stats(ks->pool, ret);
    ret->state = p11_state(ks);
    ret->reconnects = atomic_load(&ks->reconnects);
}

static void
pkcs11_describe(struct keystore *base, char *out, size_t out_size)
{
    struct p11_keystore *ks = (struct p11_keystore *)base;
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
    if (ks->pool) {
        pool_refuse(ks->pool, pool_close_gate(ks->pool));
        struct operation *o = operation_new(NULL);
        if (o)
            operation_run(ks, &o, close_run, NULL);
        if (o)
            operation_free(o);
        if (!pool_free(ks->pool))
            return; /* a call hangs in the module and may yet come back to all of this */
    }
    free_memory(ks);
}
DEFINE_AUTO(p11_keystore, struct p11_keystore *, p11_keystore_free);

static void
pkcs11_close(struct keystore *base)
{
    p11_keystore_free((struct p11_keystore *)base);
}

static const struct keystore_ops pkcs11_ops = {
    .close = pkcs11_close,
    .generate = pkcs11_generate,
    .list = pkcs11_list,
    .destroy = pkcs11_destroy,
    .discard = pkcs11_discard,
    .lease_get = pkcs11_lease_get,
    .lease_set = pkcs11_lease_set,
    .sign = pkcs11_sign,
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
    enum attest_rc rc = pool_new(&config, &ks->pool, err);
    if (rc)
        return rc;
    for (unsigned i = 0; i < config.workers; i++)
        ks->workers[i].conn = (struct p11_conn){.f = ks->module.f, .beat = pool_beat(ks->pool, i)};
    ks->control = (struct p11_conn){.f = ks->module.f, .beat = pool_beat(ks->pool, config.workers)};
    return ATTEST_OK;
}

enum attest_rc
pkcs11_keystore_open(const struct keystore_config *config, struct keystore **ret,
                     struct attest_error *err)
{
    AUTO(p11_keystore) struct p11_keystore *ks = calloc(1, sizeof(*ks));
    AUTO(operation) struct operation *o = operation_new(err);
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
        rc = operation_run(ks, &o, open_run, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&ks->lock);
    ks->opened = true;
    if (ks->state == KEYSTORE_OUT_OF_REACH) {
        ks->state = ks->reported = KEYSTORE_READY;
        pool_open_gate(ks->pool);
    }
    pthread_mutex_unlock(&ks->lock);
    pool_wake_control(ks->pool);
    *ret = &STEAL(ks)->base;
    return ATTEST_OK;
}
