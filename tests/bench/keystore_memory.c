/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "hsm/keystore_impl.h"
#include "hsm/pool.h"

/*
 * Keys in ordinary memory, gone with the process: what sealed keys are measured against. It stands
 * where hsm/tpm2.c stands, in tests/bench/attest-signer-memory alone, which is never installed.
 */

enum { KEYS_MAX = 64 };

struct memory_keystore {
    struct keystore base;
    struct pool *pool;
    pthread_mutex_t lock; /* for whoever adds */
    struct key_ref refs[KEYS_MAX];
    uint8_t pairs[KEYS_MAX][ED25519_PAIR_LEN];
    atomic_uint n;
    struct keystore_lease lease;
    bool leased;
};

static struct memory_keystore *
memory_of(struct keystore *ks)
{
    return (struct memory_keystore *)ks;
}

static unsigned
find(const struct memory_keystore *m, const uint8_t id[KEYSTORE_ID_LEN])
{
    unsigned n = atomic_load(&m->n), i = 0;
    while (i < n && memcmp(m->refs[i].id, id, KEYSTORE_ID_LEN) != 0)
        i++;
    return i;
}

static enum attest_rc
sign_op(void *ctx, unsigned worker, const struct key_ref *key, struct slice msg,
        uint8_t sig[PUBKEY_SIG_LEN])
{
    (void)worker;
    struct memory_keystore *m = ctx;
    int64_t start_ns = clock_thread_cpu_ns();
    unsigned at = find(m, key->id);
    if (at == atomic_load(&m->n))
        return ATTEST_E_NOT_FOUND;
    ed25519_sign_pair(sig, msg.p, msg.len, m->pairs[at]);
    pool_count_sign_cpu(m->pool, clock_thread_cpu_ns() - start_ns);
    return ATTEST_OK;
}

static void
bad_signature_op(void *ctx, unsigned worker)
{
    (void)ctx, (void)worker;
}

static int64_t
tend_op(void *ctx)
{
    (void)ctx;
    return INT64_MAX;
}

static void
dead_op(void *ctx, const char *why)
{
    (void)ctx, (void)why;
    abort();
}

static enum attest_rc
generate(struct keystore *ks, const uint8_t id[KEYSTORE_ID_LEN], const char *purpose,
         const char *label, struct key_ref *ret, struct attest_error *err)
{
    (void)purpose, (void)label;
    struct memory_keystore *m = memory_of(ks);
    AUTO(secret) struct secret seed = secret_new(ED25519_SEED_LEN);
    random_bytes(seed.p, seed.len);
    pthread_mutex_lock(&m->lock);
    unsigned n = atomic_load(&m->n);
    if (n < KEYS_MAX) {
        struct key_ref *ref = &m->refs[n];
        memcpy(ref->id, id, KEYSTORE_ID_LEN);
        ed25519_public_from_seed(ref->public_key.bytes, &seed);
        memcpy(m->pairs[n], seed.p, ED25519_SEED_LEN);
        memcpy(m->pairs[n] + ED25519_SEED_LEN, ref->public_key.bytes, ED25519_PUBLIC_LEN);
        *ret = *ref;
        atomic_store(&m->n, n + 1);
    }
    pthread_mutex_unlock(&m->lock);
    return n < KEYS_MAX ? ATTEST_OK : error_set(err, ATTEST_E_LIMIT, "%d keys", KEYS_MAX);
}

static enum attest_rc
list(struct keystore *ks, struct key_ref **ret, size_t *n, struct attest_error *err)
{
    struct memory_keystore *m = memory_of(ks);
    *n = atomic_load(&m->n);
    *ret = calloc(KEYS_MAX, sizeof(**ret));
    if (!*ret)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    memcpy(*ret, m->refs, *n * sizeof(**ret));
    return ATTEST_OK;
}

/* A bench destroys nothing. */
static enum attest_rc
destroy(struct keystore *ks, const struct key_ref *key, struct attest_error *err)
{
    (void)ks, (void)key;
    return error_set(err, ATTEST_E_UNSUPPORTED, "not in a bench");
}

static enum attest_rc
discard(struct keystore *ks, const uint8_t id[KEYSTORE_ID_LEN], struct attest_error *err)
{
    (void)ks, (void)id;
    return error_set(err, ATTEST_E_NOT_FOUND, "nothing is left behind");
}

static enum attest_rc
lease_get(struct keystore *ks, struct keystore_lease *ret, struct attest_error *err)
{
    struct memory_keystore *m = memory_of(ks);
    pthread_mutex_lock(&m->lock);
    bool leased = m->leased;
    *ret = m->lease;
    pthread_mutex_unlock(&m->lock);
    return leased ? ATTEST_OK : error_set(err, ATTEST_E_NOT_FOUND, "no lease");
}

static enum attest_rc
lease_set(struct keystore *ks, const struct keystore_lease *expected,
          const struct keystore_lease *lease, struct attest_error *err)
{
    (void)expected, (void)err;
    struct memory_keystore *m = memory_of(ks);
    pthread_mutex_lock(&m->lock);
    m->lease = *lease;
    m->leased = true;
    pthread_mutex_unlock(&m->lock);
    return ATTEST_OK;
}

static enum attest_rc
sign(struct keystore *ks, const struct key_ref *key, struct slice msg, int64_t deadline_ms,
     keystore_signed *done, void *ctx)
{
    return pool_sign(memory_of(ks)->pool, key, msg, deadline_ms, done, ctx);
}

static void
stats(struct keystore *ks, struct keystore_stats *ret)
{
    pool_stats(memory_of(ks)->pool, ret);
    ret->state = KEYSTORE_READY;
    ret->reconnects = 0;
}

static void
describe(struct keystore *ks, char *out, size_t out_size)
{
    (void)ks;
    snprintf(out, out_size, "keys in ordinary memory: for benches");
}

static void
close_memory(struct keystore *ks)
{
    struct memory_keystore *m = memory_of(ks);
    pool_refuse(m->pool, pool_close_gate(m->pool));
    if (pool_free(m->pool))
        free(m);
}

static const struct keystore_ops memory_ops = {
    .close = close_memory,
    .generate = generate,
    .list = list,
    .destroy = destroy,
    .discard = discard,
    .lease_get = lease_get,
    .lease_set = lease_set,
    .sign = sign,
    .stats = stats,
    .describe = describe,
};

enum attest_rc
tpm2_keystore_open(const struct keystore_config *config, struct keystore **ret,
                   struct attest_error *err)
{
    static const struct pool_ops ops = {sign_op, bad_signature_op, tend_op, dead_op, free};
    struct memory_keystore *m = calloc(1, sizeof(*m));
    if (!m)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    m->base.ops = &memory_ops;
    pthread_mutex_init(&m->lock, NULL);
    const struct pool_config pool = {
        .workers = config->workers,
        .queue_max = config->queue_max,
        .call_timeout_ms = config->call_timeout_ms,
        .ops = &ops,
        .ctx = m,
    };
    enum attest_rc rc = pool_new(&pool, &m->pool, err);
    if (rc) {
        free(m);
        return rc;
    }
    pool_open_gate(m->pool);
    *ret = &m->base;
    return ATTEST_OK;
}

enum attest_rc
tpm2_keystore_create(const struct keystore_config *config, struct attest_error *err)
{
    (void)config;
    return error_set(err, ATTEST_E_UNSUPPORTED, "there is nothing to make");
}

const char *
tpm2_tcti_of(const char *uri)
{
    return uri;
}
