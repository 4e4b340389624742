/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/file.h"
#include "hsm/tpm2_box.h"

#define FILE_MODE 0600

/* ---- a change, until it is on the disk ---- */

struct draft {
    struct tpm2_file *file;
    struct secret seeds, wrapping;
};

static void
draft_auto(struct draft *d)
{
    tpm2_file_free(d->file);
    secret_free(&d->seeds);
    secret_free(&d->wrapping);
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

/* Seeds have room for one key more. */
static enum attest_rc
draft_of(const struct tpm2_store *store, struct draft *d, struct attest_error *err)
{
    if (!copy_file(store->file, &d->file))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    d->wrapping = secret_copy(store->wrapping.p, store->wrapping.len);
    d->seeds = secret_new((d->file->n_keys + 1) * ED25519_SEED_LEN);
    for (size_t i = 0; i < d->file->n_keys; i++)
        memcpy(d->seeds.p + i * ED25519_SEED_LEN, store->pairs.p + i * ED25519_PAIR_LEN,
               ED25519_SEED_LEN);
    return ATTEST_OK;
}

static struct secret
pairs_of(const struct draft *d)
{
    size_t n = d->file->n_keys;
    struct secret pairs = secret_new(n ? n * ED25519_PAIR_LEN : 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t *pair = pairs.p + i * ED25519_PAIR_LEN;
        memcpy(pair, d->seeds.p + i * ED25519_SEED_LEN, ED25519_SEED_LEN);
        memcpy(pair + ED25519_SEED_LEN, d->file->keys[i].ref.public_key, ED25519_PUBLIC_LEN);
    }
    return pairs;
}

/* Makes the draft what signs from here on. */
static void
draft_take(struct tpm2_store *store, struct draft *d)
{
    struct secret pairs = pairs_of(d);
    pthread_rwlock_wrlock(&store->lock);
    struct tpm2_file *old_file = store->file;
    struct secret old_pairs = store->pairs, old_wrapping = store->wrapping;
    store->file = STEAL(d->file);
    store->pairs = pairs;
    store->wrapping = d->wrapping;
    d->wrapping = (struct secret){0};
    pthread_rwlock_unlock(&store->lock);
    tpm2_file_free(old_file);
    secret_free(&old_pairs);
    secret_free(&old_wrapping);
}

static enum attest_rc
draft_commit(struct tpm2_store *store, struct draft *d, struct attest_error *err)
{
    AUTO(buf) struct buf bytes;
    buf_init(&bytes, TPM2_FILE_MAX);
    d->file->serial++;
    enum attest_rc rc = tpm2_box_close(d->file, &d->wrapping, &d->seeds, &bytes, err);
    if (!rc)
        rc = file_replace(store->config.path, FILE_MODE, buf_view(&bytes), err);
    if (!rc)
        draft_take(store, d);
    return rc;
}

/* ---- the TPM ---- */

static enum attest_rc
connect_tpm(const struct tpm2_store_config *config, const uint8_t *primary_name,
            struct tpm2_link **ret, struct attest_error *err)
{
    struct tpm2_link_config link = config->link;
    link.primary_name = primary_name;
    return tpm2_link_open(&link, ret, err);
}

static const struct secret *
auth_of(const struct tpm2_store_config *config)
{
    return config->pin && config->pin->len > 0 ? config->pin : NULL;
}

static enum attest_rc
seal_new_key(struct tpm2_link *link, const struct tpm2_store_config *config, struct draft *d,
             struct attest_error *err)
{
    struct secret wrapping = {0};
    enum attest_rc rc = tpm2_random(link, &wrapping, TPM2_WRAPPING_LEN, err);
    if (rc)
        return rc;
    secret_free(&d->wrapping);
    d->wrapping = wrapping;
    return tpm2_seal(link, &d->file->policy, auth_of(config), &d->wrapping, &d->file->sealed, err);
}

/* ---- making and opening ---- */

enum attest_rc
tpm2_store_create(const struct tpm2_store_config *config, const char *pcrs,
                  struct attest_error *err)
{
    AUTO(draft) struct draft d = {.file = tpm2_file_new()};
    if (!d.file)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    if (access(config->path, F_OK) == 0)
        return error_set(err, ATTEST_E_EXISTS, "%s: there are sealed keys already", config->path);
    struct tpm2_policy *policy = &d.file->policy;
    policy->auth = auth_of(config) != NULL;
    enum attest_rc rc = tpm2_pcrs_parse(pcrs, &policy->pcrs, err);
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    if (rc || (rc = connect_tpm(config, NULL, &link, err)) ||
        (rc = tpm2_pcrs_read(link, policy->pcrs, policy->values, err)) ||
        (rc = seal_new_key(link, config, &d, err)))
        return rc;
    memcpy(d.file->primary_name, link->primary_name, TPM2_NAME_LEN);
    d.file->serial = 1;
    AUTO(buf) struct buf bytes;
    buf_init(&bytes, TPM2_FILE_MAX);
    rc = tpm2_box_close(d.file, &d.wrapping, &d.seeds, &bytes, err);
    return rc ? rc : file_create(config->path, FILE_MODE, buf_view(&bytes), err);
}

/* The lock is on a file of its own, because the one with the keys is replaced at each change. */
static enum attest_rc
lock_path(struct tpm2_store *store, struct attest_error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s.lock", store->config.path) >= (int)sizeof(path))
        return error_set(err, ATTEST_E_CONFIG, "sealed keys: the path is too long");
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (store->lock_fd < 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", path);
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return ATTEST_OK;
    if (errno == EWOULDBLOCK)
        return error_set(err, ATTEST_E_BUSY, "%s: another process has these keys open",
                         store->config.path);
    return error_errno(err, ATTEST_E_IO, errno, "%s", path);
}

static enum attest_rc
unseal_file(struct tpm2_store *store, struct slice bytes, struct draft *d, struct attest_error *err)
{
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    enum attest_rc rc = connect_tpm(&store->config, d->file->primary_name, &link, err);
    if (!rc)
        rc = tpm2_unseal(link, &d->file->policy, auth_of(&store->config), &d->file->sealed,
                         &d->wrapping, err);
    if (rc)
        return rc;
    d->seeds = secret_new((d->file->n_keys + 1) * ED25519_SEED_LEN);
    return tpm2_box_open(d->file, bytes, &d->wrapping, &d->seeds, err);
}

static enum attest_rc
open_file(struct tpm2_store *store, struct attest_error *err)
{
    AUTO(draft) struct draft d = {0};
    AUTO(buf) struct buf bytes;
    buf_init(&bytes, TPM2_FILE_MAX);
    enum attest_rc rc = lock_path(store, err);
    if (rc)
        return rc;
    if (access(store->config.path, F_OK) != 0 && errno == ENOENT)
        return error_set(err, ATTEST_E_NOT_FOUND, "%s: no sealed keys yet", store->config.path);
    if ((rc = file_read(store->config.path, TPM2_FILE_MAX, &bytes, err)) ||
        (rc = tpm2_file_read(buf_view(&bytes), &d.file, err)) ||
        (rc = unseal_file(store, buf_view(&bytes), &d, err)))
        return rc;
    draft_take(store, &d);
    return ATTEST_OK;
}

enum attest_rc
tpm2_store_open(struct tpm2_store *store, const struct tpm2_store_config *config,
                struct attest_error *err)
{
    *store = (struct tpm2_store){.config = *config, .lock_fd = -1};
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* Or those who sign all the time would never let a change in. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&store->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    enum attest_rc rc = open_file(store, err);
    if (rc)
        tpm2_store_close(store);
    return rc;
}

void
tpm2_store_close(struct tpm2_store *store)
{
    tpm2_file_free(store->file);
    secret_free(&store->pairs);
    secret_free(&store->wrapping);
    store->file = NULL;
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    store->lock_fd = -1;
}

/* ---- changes ---- */

enum attest_rc
tpm2_store_add(struct tpm2_store *store, const uint8_t id[KEYSTORE_ID_LEN], const char *purpose,
               const char *label, struct key_ref *ret, struct attest_error *err)
{
    AUTO(draft) struct draft d = {0};
    size_t n = store->file->n_keys;
    if (strlen(label) > TPM2_LABEL_MAX || !tpm2_purpose_ok(purpose))
        return error_set(err, ATTEST_E_ARGUMENT, "label or purpose: not fit");
    if (tpm2_file_find(store->file, id) < n)
        return error_set(err, ATTEST_E_EXISTS, "there is a key with this id");
    if (n >= TPM2_KEYS_MAX)
        return error_set(err, ATTEST_E_LIMIT, "%d keys are sealed already", TPM2_KEYS_MAX);
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    AUTO(secret) struct secret seed = {0};
    enum attest_rc rc = draft_of(store, &d, err);
    if (rc || (rc = connect_tpm(&store->config, d.file->primary_name, &link, err)) ||
        (rc = tpm2_random(link, &seed, ED25519_SEED_LEN, err)))
        return rc;
    struct tpm2_file_key *key = &d.file->keys[d.file->n_keys++];
    *key = (struct tpm2_file_key){0};
    memcpy(key->ref.id, id, sizeof(key->ref.id));
    memcpy(key->purpose, purpose, strlen(purpose));
    memcpy(key->label, label, strlen(label));
    ed25519_public_from_seed(key->ref.public_key, &seed);
    memcpy(d.seeds.p + n * ED25519_SEED_LEN, seed.p, ED25519_SEED_LEN);
    const struct key_ref made = key->ref;
    rc = draft_commit(store, &d, err);
    if (!rc)
        *ret = made;
    return rc;
}

enum attest_rc
tpm2_store_remove(struct tpm2_store *store, const uint8_t id[KEYSTORE_ID_LEN],
                  const uint8_t *public_key, struct attest_error *err)
{
    AUTO(draft) struct draft d = {0};
    size_t at = tpm2_file_find(store->file, id), n = store->file->n_keys;
    if (at == n || (public_key && memcmp(store->file->keys[at].ref.public_key, public_key,
                                         ED25519_PUBLIC_LEN) != 0))
        return error_set(err, ATTEST_E_NOT_FOUND, "no such key among the sealed ones");
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    enum attest_rc rc = draft_of(store, &d, err);
    if (rc || (rc = connect_tpm(&store->config, d.file->primary_name, &link, err)) ||
        (rc = seal_new_key(link, &store->config, &d, err)))
        return rc;
    size_t behind = n - at - 1;
    memmove(&d.file->keys[at], &d.file->keys[at + 1], behind * sizeof(*d.file->keys));
    memmove(d.seeds.p + at * ED25519_SEED_LEN, d.seeds.p + (at + 1) * ED25519_SEED_LEN,
            behind * ED25519_SEED_LEN);
    d.file->n_keys--;
    return draft_commit(store, &d, err);
}

static bool
same_lease(const struct keystore_lease *a, const struct keystore_lease *b)
{
    return !strcmp(a->instance, b->instance) && !strcmp(a->host, b->host) &&
           a->since_s == b->since_s;
}

enum attest_rc
tpm2_store_lease(struct tpm2_store *store, const struct keystore_lease *expected,
                 const struct keystore_lease *lease, struct attest_error *err)
{
    AUTO(draft) struct draft d = {0};
    if (!tpm2_lease_ok(lease) || (expected && !tpm2_lease_ok(expected)))
        return error_set(err, ATTEST_E_ARGUMENT, "lease: instance, host or time is not fit");
    const struct tpm2_file *file = store->file;
    bool as_expected =
        expected ? file->leased && same_lease(&file->lease, expected) : !file->leased;
    if (!as_expected)
        return error_set(err, ATTEST_E_EXISTS, "another lease than expected is there");
    enum attest_rc rc = draft_of(store, &d, err);
    if (rc)
        return rc;
    d.file->leased = true;
    d.file->lease = *lease;
    return draft_commit(store, &d, err);
}

/* ---- signing ---- */

enum attest_rc
tpm2_store_sign(struct tpm2_store *store, const struct key_ref *key, struct slice msg,
                uint8_t sig[ED25519_SIG_LEN])
{
    pthread_rwlock_rdlock(&store->lock);
    const struct tpm2_file *file = store->file;
    size_t at = tpm2_file_find(file, key->id);
    bool found = at < file->n_keys &&
                 !memcmp(file->keys[at].ref.public_key, key->public_key, sizeof(key->public_key));
    if (found)
        ed25519_sign_pair(sig, msg.p, msg.len, store->pairs.p + at * ED25519_PAIR_LEN);
    pthread_rwlock_unlock(&store->lock);
    return found ? ATTEST_OK : ATTEST_E_NOT_FOUND;
}
