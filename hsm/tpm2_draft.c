/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_draft.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

void
tpm2_draft_free(struct tpm2_draft *d)
{
    tpm2_file_free(d->file);
    tpm2_secrets_free(&d->secrets);
    *d = (struct tpm2_draft){0};
}

static bool
copy_file(const struct tpm2_file *from, struct tpm2_file **ret)
{
    struct tpm2_file *file = tpm2_file_new();
    if (!file)
        return false;
    struct tpm2_file_key *keys = file->keys;
    *file = *from;
    file->keys = keys;
    memcpy(keys, from->keys, from->n_keys * sizeof(*keys));
    *ret = file;
    return true;
}

enum attest_rc
tpm2_draft_of(const struct tpm2_store *store, struct tpm2_draft *d, struct attest_error *err)
{
    if (!copy_file(store->file, &d->file))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    d->secrets.wrapping = secret_copy(store->wrapping.p, store->wrapping.len);
    d->secrets.authority = secret_copy(store->authority.p, store->authority.len);
    d->secrets.seeds = secret_new((d->file->n_keys + 1) * ED25519_SEED_LEN);
    memset(d->secrets.seeds.p, 0, d->secrets.seeds.len);
    for (size_t i = 0; i < d->file->n_keys; i++)
        memcpy(d->secrets.seeds.p + i * ED25519_SEED_LEN, store->pairs.p + i * ED25519_PAIR_LEN,
               ED25519_SEED_LEN);
    return ATTEST_OK;
}

static struct secret
pairs_of(const struct tpm2_draft *d)
{
    size_t n = d->file->n_keys;
    struct secret pairs = secret_new(n ? n * ED25519_PAIR_LEN : 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t *pair = pairs.p + i * ED25519_PAIR_LEN;
        memcpy(pair, d->secrets.seeds.p + i * ED25519_SEED_LEN, ED25519_SEED_LEN);
        if (tpm2_file_key_sealed(&d->file->keys[i]))
            memcpy(pair + ED25519_SEED_LEN, d->file->keys[i].ref.public_key.bytes,
                   ED25519_PUBLIC_LEN);
    }
    return pairs;
}

static struct secret
steal(struct secret *secret)
{
    struct secret taken = *secret;
    *secret = (struct secret){0};
    return taken;
}

void
tpm2_draft_take(struct tpm2_store *store, struct tpm2_draft *d)
{
    struct secret pairs = pairs_of(d);
    pthread_rwlock_wrlock(&store->lock);
    struct tpm2_file *old_file = store->file;
    struct secret old_pairs = steal(&store->pairs), old_authority = steal(&store->authority);
    store->file = STEAL(d->file);
    store->pairs = pairs;
    store->authority = steal(&d->secrets.authority);
    pthread_rwlock_unlock(&store->lock);
    tpm2_file_free(old_file);
    secret_free(&old_pairs);
    secret_free(&old_authority);
    secret_free(&store->wrapping);
    store->wrapping = steal(&d->secrets.wrapping);
    tpm2_draft_free(d);
}

enum attest_rc
tpm2_draft_path(const struct tpm2_store *store, char **ret, struct attest_error *err)
{
    if (asprintf(ret, "%s.new", store->config.path) < 0) {
        *ret = NULL;
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    }
    return ATTEST_OK;
}

static enum attest_rc
write_as(const char *path, struct tpm2_draft *d, struct attest_error *err)
{
    AUTO(buf) struct buf bytes;
    buf_init(&bytes, TPM2_FILE_MAX);
    enum attest_rc rc = tpm2_box_close(d->file, &d->secrets, &bytes, err);
    return rc ? rc : file_replace(path, TPM2_FILE_MODE, buf_view(&bytes), err);
}

enum attest_rc
tpm2_draft_publish(const struct tpm2_store *store, struct attest_error *err)
{
    AUTO(mem) char *new_path = NULL;
    enum attest_rc rc = tpm2_draft_path(store, &new_path, err);
    if (rc)
        return rc;
    if (rename(new_path, store->config.path) != 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", store->config.path);
    return ATTEST_OK; /* should the directory forget it: PATH.new is there again, and is the one */
}

enum attest_rc
tpm2_draft_shown(struct tpm2_link *link, const struct tpm2_file *file,
                 const struct secret *authority, uint64_t *shown, struct attest_error *err)
{
    uint8_t auth[TPM2_AUTH_VALUE_LEN];
    if (!tpm2_auth_value(authority, TPM2_AUTH_COUNTER, auth))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    enum attest_rc rc = tpm2_counter_read(link, file->counter, auth, shown, err);
    secret_wipe(auth, sizeof(auth));
    return rc;
}

enum attest_rc
tpm2_draft_count(struct tpm2_link *link, const struct tpm2_file *file,
                 const struct secret *authority, struct attest_error *err)
{
    uint8_t auth[TPM2_AUTH_VALUE_LEN];
    if (!tpm2_auth_value(authority, TPM2_AUTH_COUNTER, auth))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    enum attest_rc rc = tpm2_counter_raise(link, file->counter, auth, err);
    secret_wipe(auth, sizeof(auth));
    return rc;
}

/*
 * The pending one takes its place. PATH.new is written each time: once the TPM has counted, it and
 * what is in this memory are all that is left of the keys, and nobody knows where it went
 * meanwhile.
 */
static enum attest_rc
complete(struct tpm2_store *store, struct tpm2_link *link, bool counted, struct attest_error *err)
{
    AUTO(mem) char *path = NULL;
    enum attest_rc rc = tpm2_draft_path(store, &path, err);
    if (rc || (rc = write_as(path, store->pending, err)) ||
        (!counted && (rc = tpm2_draft_count(link, store->file, &store->authority, err))) ||
        (rc = tpm2_draft_publish(store, err)))
        return rc;
    tpm2_draft_take(store, store->pending);
    free(STEAL(store->pending));
    return file_sync_dir_of(store->config.path, err);
}

static bool
is_written(const struct tpm2_store *store)
{
    AUTO(mem) char *path = NULL;
    return tpm2_draft_path(store, &path, NULL) || access(path, F_OK) == 0 || errno != ENOENT;
}

/* Pending before it is written: what could not be synced may be there after the next crash. */
enum attest_rc
tpm2_draft_commit(struct tpm2_store *store, struct tpm2_link *link, struct tpm2_draft *d,
                  struct attest_error *err)
{
    struct tpm2_draft *pending = calloc(1, sizeof(*pending));
    if (!pending)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    d->file->serial = store->file->serial + 1;
    *pending = *d;
    *d = (struct tpm2_draft){0};
    store->pending = pending;
    enum attest_rc rc = complete(store, link, false, err);
    if (rc && store->pending && !is_written(store)) { /* nor can it come back: not pending */
        *d = *pending;
        free(STEAL(store->pending));
    }
    return rc;
}

enum attest_rc
tpm2_draft_settle(struct tpm2_store *store, struct tpm2_link *link, struct attest_error *err)
{
    uint64_t shown;
    if (!store->pending)
        return ATTEST_OK;
    enum attest_rc rc = tpm2_draft_shown(link, store->file, &store->authority, &shown, err);
    if (rc)
        return rc;
    if (shown != store->file->serial && shown != store->pending->file->serial)
        return error_set(err, ATTEST_E_DENIED, "someone else raised the TPM's counter");
    /* Not given up where it can be: another draft of the same serial must never be. */
    return complete(store, link, shown == store->pending->file->serial, err);
}

enum attest_rc
tpm2_draft_replace(struct tpm2_store *store, struct tpm2_draft *d, struct attest_error *err)
{
    enum attest_rc rc = write_as(store->config.path, d, err);
    if (!rc)
        tpm2_draft_take(store, d);
    return rc;
}
