/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "hsm/keystore_impl.h"

/*
 * Keys in ordinary memory, gone with the process: what sealed keys are measured against. It stands
 * where hsm/tpm2.c stands, in tests/bench/attest-signer-memory alone, which is never installed.
 */

enum { KEYS_MAX = 64 };

struct memory_keystore {
    struct keystore base;
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
    pool_count_sign_cpu(m->base.pool, clock_thread_cpu_ns() - start_ns);
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
generate(struct keystore *ks, struct operation *o)
{
    struct memory_keystore *m = memory_of(ks);
    AUTO(secret) struct secret seed = secret_new(ED25519_SEED_LEN);
    unsigned n = atomic_load(&m->n);
    if (n == KEYS_MAX)
        return error_set(&o->err, ATTEST_E_LIMIT, "%d keys", KEYS_MAX);
    random_bytes(seed.p, seed.len);
    ed25519_public_from_seed(o->key.public_key.bytes, &seed);
    memcpy(m->pairs[n], seed.p, ED25519_SEED_LEN);
    memcpy(m->pairs[n] + ED25519_SEED_LEN, o->key.public_key.bytes, ED25519_PUBLIC_LEN);
    m->refs[n] = o->key;
    atomic_store(&m->n, n + 1);
    return ATTEST_OK;
}

static enum attest_rc
list(struct keystore *ks, struct operation *o)
{
    struct memory_keystore *m = memory_of(ks);
    o->list = calloc(KEYS_MAX, sizeof(*o->list));
    if (!o->list)
        return error_set(&o->err, ATTEST_E_NOMEM, "out of memory");
    o->n = atomic_load(&m->n);
    memcpy(o->list, m->refs, o->n * sizeof(*o->list));
    return ATTEST_OK;
}

/* A bench destroys nothing. */
static enum attest_rc
destroy(struct keystore *ks, struct operation *o)
{
    (void)ks;
    return error_set(&o->err, ATTEST_E_UNSUPPORTED, "not in a bench");
}

static enum attest_rc
discard(struct keystore *ks, struct operation *o)
{
    (void)ks;
    return error_set(&o->err, ATTEST_E_NOT_FOUND, "nothing is left behind");
}

static enum attest_rc
lease_get(struct keystore *ks, struct keystore_lease *ret, struct attest_error *err)
{
    struct memory_keystore *m = memory_of(ks);
    if (!m->leased)
        return error_set(err, ATTEST_E_NOT_FOUND, "no lease");
    *ret = m->lease;
    return ATTEST_OK;
}

static enum attest_rc
lease_set(struct keystore *ks, struct operation *o)
{
    struct memory_keystore *m = memory_of(ks);
    m->lease = o->lease;
    m->leased = true;
    return ATTEST_OK;
}

static void
stats(struct keystore *ks, struct keystore_stats *ret)
{
    (void)ks;
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
    pool_refuse(m->base.pool, pool_close_gate(m->base.pool));
    if (pool_free(m->base.pool))
        free(m);
}

static const struct keystore_ops memory_ops = {
    .device = "memory",
    .close = close_memory,
    .generate = generate,
    .list = list,
    .destroy = destroy,
    .discard = discard,
    .lease_get = lease_get,
    .lease_set = lease_set,
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
    const struct pool_config pool = {
        .workers = config->workers,
        .queue_max = config->queue_max,
        .call_timeout_ms = config->call_timeout_ms,
        .ops = &ops,
        .ctx = m,
    };
    enum attest_rc rc = pool_new(&pool, &m->base.pool, err);
    if (rc) {
        free(m);
        return rc;
    }
    pool_open_gate(m->base.pool);
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
