/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "hsm/tpm2_ak.h"
#include "hsm/tpm2_draft.h"
#include "hsm/tpm2_expect.h"
#include "hsm/tpm2_unlock.h"

/* ---- the TPM ---- */

static enum attest_rc
connect_tpm(const struct tpm2_store_config *config, const uint8_t *primary_name,
            struct tpm2_link **ret, struct attest_error *err)
{
    struct tpm2_link_config link = config->link;
    link.primary_name = primary_name;
    link.sealing = !primary_name;
    return tpm2_link_open(&link, ret, err);
}

static const struct secret *
auth_of(const struct tpm2_store_config *config)
{
    return config->pin && config->pin->len > 0 ? config->pin : NULL;
}

static enum attest_rc
seal_new_key(struct tpm2_link *link, const struct tpm2_store_config *config, struct tpm2_draft *d,
             struct attest_error *err)
{
    AUTO(secret) struct secret pin = {0};
    struct secret wrapping = {0};
    enum attest_rc rc =
        d->file->pin_box_len ? tpm2_unbox_pin(d->file, &d->secrets.wrapping, &pin, err) : ATTEST_OK;
    if (rc || (rc = tpm2_random(link, &wrapping, TPM2_WRAPPING_LEN, err)))
        return rc;
    secret_free(&d->secrets.wrapping);
    d->secrets.wrapping = wrapping;
    if (pin.len > 0 && (rc = tpm2_box_pin(d->file, &wrapping, &pin, err)))
        return rc;
    return tpm2_seal(link, &d->file->policy, auth_of(config), &wrapping, &d->file->sealed, err);
}

/*
 * What is configured, as the machine is now. An approval counter that is there already goes on: the
 * serials of approvals never start anew. The one recorded is above what was used until now, which
 * ends when the counter is raised to it.
 */
static enum attest_rc
policy_now(struct tpm2_link *link, const struct tpm2_store_config *config, uint32_t pcrs,
           struct tpm2_intent *intent, struct tpm2_draft *d, struct attest_error *err)
{
    const struct tpm2_policy before = d->file->policy;
    struct tpm2_policy *policy = &d->file->policy;
    *policy = (struct tpm2_policy){
        .pcrs = pcrs, .auth = auth_of(config) != NULL, .approved = config->approver != NULL};
    enum attest_rc rc = tpm2_pcrs_read(link, pcrs, policy->values, err);
    if (rc || !policy->approved)
        return rc;
    if (!pcrs)
        return error_set(err, ATTEST_E_CONFIG, "an approver needs PCRs to approve values of");
    struct tpm2_approver *a = &policy->approver;
    memcpy(a->point, config->approver, sizeof(a->point));
    a->counter = before.approver.counter;
    memcpy(a->line, before.approver.line, sizeof(a->line));
    rc = before.approved ? tpm2_counter_read_owner(link, a->counter, &a->serial, err)
                         : tpm2_unlock_counter(link, &d->secrets.authority, intent, policy, err);
    if (rc)
        return rc;
    a->serial += before.approved;
    tpm2_approval_ref(link->primary_name, a->counter, a->line, a->ref);
    return tpm2_approvals_mkdir(config->path, err);
}

/* ---- making ---- */

static enum attest_rc
make_counter(struct tpm2_link *link, struct tpm2_intent *intent, struct tpm2_draft *d,
             struct attest_error *err)
{
    uint8_t auth[TPM2_AUTH_VALUE_LEN];
    if (!tpm2_auth_value(&d->secrets.authority, TPM2_AUTH_COUNTER, auth))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    enum attest_rc rc =
        tpm2_counter_create(link, auth, false, intent, &d->file->counter, &d->file->serial, err);
    secret_wipe(auth, sizeof(auth));
    return rc;
}

static enum attest_rc
write_new(const struct tpm2_store_config *config, struct tpm2_draft *d, struct attest_error *err)
{
    AUTO(buf) struct buf bytes;
    buf_init(&bytes, TPM2_FILE_MAX);
    enum attest_rc rc = tpm2_box_close(d->file, &d->secrets, &bytes, err);
    return rc ? rc : file_create(config->path, TPM2_FILE_MODE, buf_view(&bytes), err);
}

static enum attest_rc
make_file(struct tpm2_link *link, const struct tpm2_store_config *config, uint32_t pcrs,
          struct tpm2_intent *intent, struct attest_error *err)
{
    AUTO(tpm2_draft) struct tpm2_draft d = {.file = tpm2_file_new()};
    if (!d.file)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    enum attest_rc rc = tpm2_random(link, &d.secrets.authority, TPM2_AUTHORITY_LEN, err);
    if (rc || (rc = policy_now(link, config, pcrs, intent, &d, err)) ||
        (rc = seal_new_key(link, config, &d, err)) || (rc = make_counter(link, intent, &d, err)))
        return rc;
    memcpy(d.file->primary_name, link->primary_name, TPM2_NAME_LEN);
    d.file->ek_checked = link->ek_checked;
    memcpy(d.file->ek_certificate, link->ek_certificate, SHA256_LEN);
    return write_new(config, &d, err);
}

enum attest_rc
tpm2_store_create(const struct tpm2_store_config *config, const char *pcrs,
                  struct attest_error *err)
{
    AUTO(tpm2_intent) struct tpm2_intent own = TPM2_INTENT_CLOSED;
    struct tpm2_intent *intent = config->intent ? config->intent : &own;
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    uint32_t chosen;
    if (access(config->path, F_OK) == 0)
        return error_set(err, ATTEST_E_EXISTS, "%s: there are sealed keys already", config->path);
    enum attest_rc rc = tpm2_pcrs_parse(pcrs, &chosen, err);
    if (rc || (intent == &own && (rc = tpm2_intent_open(&own, config->path, err))) ||
        (rc = connect_tpm(config, NULL, &link, err)) ||
        (rc = tpm2_intent_settle(intent, link, err)))
        return rc;
    rc = make_file(link, config, chosen, intent, err);
    if (rc || intent == &own)
        (void)tpm2_intent_settle(intent, link, NULL);
    return rc;
}

/* ---- opening ---- */

/* The lock is on a file of its own, because the one with the keys is replaced at each change. */
static enum attest_rc
lock_path(struct tpm2_store *store, struct attest_error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s.lock", store->config.path) >= (int)sizeof(path))
        return error_set(err, ATTEST_E_CONFIG, "sealed keys: the path is too long");
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, TPM2_FILE_MODE);
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
read_sealed(const char *path, struct buf *bytes, struct tpm2_draft *d, struct attest_error *err)
{
    buf_reset(bytes);
    enum attest_rc rc = file_read(path, TPM2_FILE_MAX, bytes, err);
    return rc ? rc : tpm2_file_read(buf_view(bytes), &d->file, err);
}

static enum attest_rc
unseal_file(struct tpm2_store *store, struct tpm2_link *link, struct slice bytes,
            struct tpm2_draft *d, struct attest_error *err)
{
    AUTO(tpm2_unlock) struct tpm2_unlock unlock = {0};
    enum attest_rc rc = tpm2_unlock_look(link, d->file, store->config.path, &unlock, err);
    if (rc || (rc = tpm2_unlock_error(&unlock, err)) ||
        (rc = tpm2_unseal_approved(link, &d->file->policy, unlock.approval, auth_of(&store->config),
                                   &d->file->sealed, &d->secrets.wrapping, err)) ||
        (rc = tpm2_box_open(d->file, bytes, &d->secrets, err)))
        return rc;
    d->accepts = tpm2_unlock_serial(&unlock, d->file);
    /* Or a power cut could leave the others revoked and this one forgotten. */
    return unlock.approval ? tpm2_approvals_sync(store->config.path, unlock.approvals, err) : rc;
}

/*
 * What a crash kept from taking PATH's place: PATH.new, whether the TPM has counted it or not.
 * ATTEST_E_NOT_FOUND: there is none, or it does not follow PATH.
 */
static enum attest_rc
open_next(struct tpm2_store *store, struct tpm2_link *link, const struct tpm2_file *file,
          struct tpm2_draft *next, struct attest_error *err)
{
    AUTO(mem) char *path = NULL;
    AUTO(buf) struct buf bytes;
    buf_init(&bytes, TPM2_FILE_MAX);
    uint64_t shown;
    enum attest_rc rc = tpm2_draft_path(store, &path, err);
    if (rc)
        return rc;
    if (read_sealed(path, &bytes, next, NULL) || next->file->counter != file->counter ||
        next->file->serial != file->serial + 1 ||
        memcmp(next->file->primary_name, file->primary_name, TPM2_NAME_LEN) != 0)
        return error_set(err, ATTEST_E_NOT_FOUND, "%s: not what follows", path);
    if ((rc = unseal_file(store, link, buf_view(&bytes), next, err)) ||
        (rc = tpm2_draft_shown(link, next->file, &next->secrets.authority, &shown, err)))
        return rc;
    if (shown != file->serial && shown != next->file->serial)
        return error_set(err, ATTEST_E_NOT_FOUND, "%s: not what the TPM has counted", path);
    if (shown == file->serial &&
        (rc = tpm2_draft_count(link, next->file, &next->secrets.authority, err)))
        return rc;
    return tpm2_draft_publish(store, err);
}

/* Goes on with PATH.new, in the place of what d is. */
static enum attest_rc
complete_change(struct tpm2_store *store, struct tpm2_link *link, struct tpm2_draft *d,
                struct attest_error *err)
{
    AUTO(tpm2_draft) struct tpm2_draft next = {0};
    enum attest_rc rc = open_next(store, link, d->file, &next, err);
    if (rc)
        return rc;
    tpm2_draft_free(d);
    *d = next;
    next = (struct tpm2_draft){0};
    return ATTEST_OK;
}

/*
 * PATH may be sealed to what is no more, and PATH.new, from a crash while they were sealed anew,
 * not; the counter may have gone past PATH; or PATH.new was written and nothing more.
 */
static enum attest_rc
open_newest(struct tpm2_store *store, struct tpm2_link *link, struct slice bytes,
            struct tpm2_draft *d, struct attest_error *err)
{
    uint64_t shown;
    enum attest_rc rc = unseal_file(store, link, bytes, d, err);
    if (rc == ATTEST_E_DENIED)
        return complete_change(store, link, d, NULL) ? rc : ATTEST_OK;
    if (rc || (rc = tpm2_draft_shown(link, d->file, &d->secrets.authority, &shown, err)))
        return rc;
    rc = complete_change(store, link, d, err);
    if (rc == ATTEST_OK || shown == d->file->serial)
        return rc == ATTEST_E_KEY_OUT_OF_REACH || rc == ATTEST_E_IO ? rc : ATTEST_OK;
    if (rc == ATTEST_E_NOT_FOUND)
        rc = error_set(err, ATTEST_E_DENIED,
                       "%s: a copy of serial %llu, and the TPM counts %llu: put the newest back",
                       store->config.path, (unsigned long long)d->file->serial,
                       (unsigned long long)shown);
    return rc;
}

static enum attest_rc
open_file(struct tpm2_store *store, struct attest_error *err)
{
    AUTO(tpm2_draft) struct tpm2_draft d = {0};
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    AUTO(buf) struct buf bytes;
    buf_init(&bytes, TPM2_FILE_MAX);
    enum attest_rc rc = lock_path(store, err);
    if (rc)
        return rc;
    if (access(store->config.path, F_OK) != 0 && errno == ENOENT)
        return error_set(err, ATTEST_E_NOT_FOUND, "%s: no sealed keys yet", store->config.path);
    if ((rc = read_sealed(store->config.path, &bytes, &d, err)) ||
        (rc = connect_tpm(&store->config, d.file->primary_name, &link, err)) ||
        (rc = open_newest(store, link, buf_view(&bytes), &d, err)) ||
        (rc = tpm2_expect(&store->config, d.file, &d.secrets.authority, err)) ||
        (rc = tpm2_unlock_accept(link, d.file, &d.secrets.authority, d.accepts, err)))
        return rc;
    memcpy(store->resident.primary_name, d.file->primary_name, TPM2_NAME_LEN);
    tpm2_draft_take(store, &d);
    tpm2_intent_finish(store->config.path, link);
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
    enum attest_rc rc = tpm2_resident_init(&store->resident, &config->link, err);
    if (rc)
        return rc;
    store->opened = true;
    store->config.link.gate = &store->resident.gate;
    if ((rc = open_file(store, err)))
        tpm2_store_close(store);
    return rc;
}

void
tpm2_store_close(struct tpm2_store *store)
{
    if (store->opened)
        tpm2_resident_done(&store->resident);
    store->opened = false;
    tpm2_file_free(store->file);
    secret_free(&store->pairs);
    secret_free(&store->wrapping);
    secret_free(&store->authority);
    if (store->pending)
        tpm2_draft_free(store->pending);
    free(store->pending);
    store->file = NULL;
    store->pending = NULL;
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    store->lock_fd = -1;
}

/* ---- changes ---- */

/* Connects, finds out about the change before this one, and gives what there is to start from. */
static enum attest_rc
begin(struct tpm2_store *store, struct tpm2_link **link, struct tpm2_draft *d,
      struct attest_error *err)
{
    enum attest_rc rc = connect_tpm(&store->config, store->file->primary_name, link, err);
    if (!rc)
        rc = tpm2_draft_settle(store, *link, err);
    return rc ? rc : tpm2_draft_of(store, d, err);
}

/* A place in the draft for a key with this id; its seed, all zeros, is at the same position. */
static enum attest_rc
new_place(struct tpm2_draft *d, const uint8_t id[KEYSTORE_ID_LEN], const char *purpose,
          const char *label, struct tpm2_file_key **ret, struct attest_error *err)
{
    size_t n = d->file->n_keys;
    if (strlen(label) > TPM2_LABEL_MAX || !tpm2_purpose_ok(purpose))
        return error_set(err, ATTEST_E_ARGUMENT, "label or purpose: not fit");
    if (tpm2_file_find(d->file, id) < n)
        return error_set(err, ATTEST_E_EXISTS, "there is a key with this id");
    if (n >= TPM2_KEYS_MAX)
        return error_set(err, ATTEST_E_LIMIT, "%d keys are sealed already", TPM2_KEYS_MAX);
    struct tpm2_file_key *key = &d->file->keys[d->file->n_keys++];
    *key = (struct tpm2_file_key){0};
    memcpy(key->ref.id, id, sizeof(key->ref.id));
    memcpy(key->purpose, purpose, strlen(purpose));
    memcpy(key->label, label, strlen(label));
    *ret = key;
    return ATTEST_OK;
}

static enum attest_rc
commit_new(struct tpm2_store *store, struct tpm2_link *link, struct tpm2_draft *d,
           const struct tpm2_file_key *key, struct key_ref *ret, struct attest_error *err)
{
    const struct key_ref made = key->ref;
    enum attest_rc rc = tpm2_draft_commit(store, link, d, err);
    if (!rc)
        *ret = made;
    return rc;
}

enum attest_rc
tpm2_store_add(struct tpm2_store *store, const uint8_t id[KEYSTORE_ID_LEN], const char *purpose,
               const char *label, struct key_ref *ret, struct attest_error *err)
{
    AUTO(tpm2_draft) struct tpm2_draft d = {0};
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    AUTO(secret) struct secret seed = {0};
    struct tpm2_file_key *key;
    enum attest_rc rc = begin(store, &link, &d, err);
    if (rc || (rc = new_place(&d, id, purpose, label, &key, err)) ||
        (rc = tpm2_random(link, &seed, ED25519_SEED_LEN, err)))
        return rc;
    ed25519_public_from_seed(key->ref.public_key.bytes, &seed);
    memcpy(d.secrets.seeds.p + (d.file->n_keys - 1) * ED25519_SEED_LEN, seed.p, ED25519_SEED_LEN);
    return commit_new(store, link, &d, key, ret, err);
}

/* "key:" and the id in hex: what its authorization value goes by. */
static bool
auth_of_key(const struct secret *authority, const uint8_t id[KEYSTORE_ID_LEN],
            uint8_t auth[TPM2_AUTH_VALUE_LEN])
{
    char name[sizeof("key:") + 2 * KEYSTORE_ID_LEN] = "key:";
    hex_encode(name + strlen(name), id, KEYSTORE_ID_LEN);
    return tpm2_auth_value(authority, name, auth);
}

enum attest_rc
tpm2_store_add_resident(struct tpm2_store *store, const uint8_t id[KEYSTORE_ID_LEN],
                        const char *purpose, const char *label, struct key_ref *ret,
                        struct attest_error *err)
{
    AUTO(tpm2_draft) struct tpm2_draft d = {0};
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    AUTO(secret) struct secret auth = secret_new(TPM2_AUTH_VALUE_LEN);
    struct tpm2_file_key *key;
    enum attest_rc rc = begin(store, &link, &d, err);
    if (rc || (rc = new_place(&d, id, purpose, label, &key, err)))
        return rc;
    if (!auth_of_key(&d.secrets.authority, id, auth.p))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    if ((rc = tpm2_key_create(link, TPM2_KEY_SIGNS, auth.p, &key->kept, err)))
        return rc;
    if (!tpm2_key_public(TPM2_KEY_SIGNS, &key->kept, &key->ref.public_key))
        return error_set(err, ATTEST_E_DENIED, "TPM2_Create: made a key that is none");
    return commit_new(store, link, &d, key, ret, err);
}

enum attest_rc
tpm2_store_remove(struct tpm2_store *store, const uint8_t id[KEYSTORE_ID_LEN],
                  const struct pubkey *public_key, struct attest_error *err)
{
    AUTO(tpm2_draft) struct tpm2_draft d = {0};
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    enum attest_rc rc = begin(store, &link, &d, err);
    if (rc)
        return rc;
    size_t at = tpm2_file_find(d.file, id), n = d.file->n_keys;
    if (at == n || (public_key && !pubkey_eq(&d.file->keys[at].ref.public_key, public_key)))
        return error_set(err, ATTEST_E_NOT_FOUND, "no such key among the sealed ones");
    if ((rc = seal_new_key(link, &store->config, &d, err)))
        return rc;
    size_t behind = n - at - 1;
    uint8_t *seed = d.secrets.seeds.p + at * ED25519_SEED_LEN;
    memmove(&d.file->keys[at], &d.file->keys[at + 1], behind * sizeof(*d.file->keys));
    memmove(seed, seed + ED25519_SEED_LEN, behind * ED25519_SEED_LEN);
    d.file->n_keys--;
    return tpm2_draft_commit(store, link, &d, err);
}

enum attest_rc
tpm2_store_reseal(struct tpm2_store *store, const char *pcrs, struct attest_error *err)
{
    AUTO(tpm2_draft) struct tpm2_draft d = {0};
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    AUTO(tpm2_intent) struct tpm2_intent intent = TPM2_INTENT_CLOSED;
    uint32_t chosen = store->file->policy.pcrs;
    enum attest_rc rc = pcrs ? tpm2_pcrs_parse(pcrs, &chosen, err) : ATTEST_OK;
    if (rc || (rc = begin(store, &link, &d, err)))
        return rc;
    if ((rc = tpm2_intent_open(&intent, store->config.path, err)) ||
        (rc = tpm2_intent_settle(&intent, link, err)) ||
        (d.file->policy.approved && (rc = tpm2_intent_note(&intent, TPM2_INTENT_REMOVE,
                                                           d.file->policy.approver.counter, err))))
        return rc;
    if (!(rc = policy_now(link, &store->config, chosen, &intent, &d, err)) &&
        !(rc = seal_new_key(link, &store->config, &d, err)))
        rc = tpm2_draft_commit(store, link, &d, err);
    if (!store->pending) /* else nobody knows yet; the next one to open the file does */
        (void)tpm2_intent_settle(&intent, link, NULL);
    if (rc)
        return rc;
    const struct tpm2_policy *policy = &store->file->policy;
    return tpm2_unlock_accept(link, store->file, &store->authority,
                              policy->approved ? policy->approver.serial : 0, err);
}

enum attest_rc
tpm2_store_set_pin(struct tpm2_store *store, const struct secret *pin, struct attest_error *err)
{
    AUTO(tpm2_draft) struct tpm2_draft d = {0};
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    enum attest_rc rc = begin(store, &link, &d, err);
    if (rc || (rc = tpm2_box_pin(d.file, &d.secrets.wrapping, pin, err)))
        return rc;
    return tpm2_draft_commit(store, link, &d, err);
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
    AUTO(tpm2_draft) struct tpm2_draft d = {0};
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    if (!tpm2_lease_ok(lease) || (expected && !tpm2_lease_ok(expected)))
        return error_set(err, ATTEST_E_ARGUMENT, "lease: instance, host or time is not fit");
    /* The TPM has no part in it, but for a change before that is not settled. */
    enum attest_rc rc =
        store->pending ? begin(store, &link, &d, err) : tpm2_draft_of(store, &d, err);
    if (rc)
        return rc;
    bool as_expected =
        expected ? d.file->leased && same_lease(&d.file->lease, expected) : !d.file->leased;
    if (!as_expected)
        return error_set(err, ATTEST_E_EXISTS, "another lease than expected is there");
    d.file->leased = true;
    d.file->lease = *lease;
    return tpm2_draft_replace(store, &d, err);
}

enum attest_rc
tpm2_store_lease_held(struct tpm2_store *store, struct keystore_lease *ret,
                      struct attest_error *err)
{
    pthread_rwlock_rdlock(&store->lock);
    bool leased = store->file->leased;
    if (leased)
        *ret = store->file->lease;
    pthread_rwlock_unlock(&store->lock);
    return leased ? ATTEST_OK : error_set(err, ATTEST_E_NOT_FOUND, "no lease");
}

/* ---- quoting ---- */

#define PCRS_FALLBACK 0xffU /* what firmware and boot loader measure */

/* Neither a secret nor what signs tokens: it needs no new serial. */
static enum attest_rc
make_ak(struct tpm2_store *store, struct tpm2_link *link, const uint8_t *auth,
        struct attest_error *err)
{
    AUTO(tpm2_draft) struct tpm2_draft d = {0};
    enum attest_rc rc = tpm2_draft_of(store, &d, err);
    if (rc || (rc = tpm2_ak_create(link, auth, &d.file->ak, err)))
        return rc;
    d.file->has_ak = true;
    return tpm2_draft_replace(store, &d, err);
}

enum attest_rc
tpm2_store_quote(struct tpm2_store *store, const uint8_t qualifying[SHA256_LEN],
                 struct keystore_quote *ret, struct attest_error *err)
{
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    AUTO(secret) struct secret auth = secret_new(TPM2_AUTH_VALUE_LEN);
    enum attest_rc rc = connect_tpm(&store->config, store->file->primary_name, &link, err);
    if (!rc)
        rc = tpm2_draft_settle(store, link, err);
    if (rc)
        return rc;
    if (!tpm2_auth_value(&store->authority, TPM2_AUTH_AK, auth.p))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    if (!store->file->has_ak && (rc = make_ak(store, link, auth.p, err)))
        return rc;
    uint32_t pcrs = store->file->policy.pcrs;
    return tpm2_ak_quote(link, &store->file->ak, auth.p, pcrs ? pcrs : PCRS_FALLBACK, qualifying,
                         ret, err);
}

/* ---- signing ---- */

/* Under the lock, so that nobody waits for the TPM with it. ATTEST_E_UNSUPPORTED: the TPM has it.
 */
static enum attest_rc
sign_or_copy(struct tpm2_store *store, const struct key_ref *ref, struct slice msg, uint8_t *sig,
             struct tpm2_resident_key *copy, uint8_t *auth)
{
    const struct tpm2_file *file = store->file;
    size_t at = tpm2_file_find(file, ref->id);
    if (at == file->n_keys || !pubkey_eq(&file->keys[at].ref.public_key, &ref->public_key))
        return ATTEST_E_NOT_FOUND;
    if (tpm2_file_key_sealed(&file->keys[at])) {
        ed25519_sign_pair(sig, msg.p, msg.len, store->pairs.p + at * ED25519_PAIR_LEN);
        return ATTEST_OK;
    }
    copy->ref = *ref;
    copy->kept = file->keys[at].kept;
    copy->auth = auth;
    return auth_of_key(&store->authority, ref->id, auth) ? ATTEST_E_UNSUPPORTED : ATTEST_E_NOMEM;
}

enum attest_rc
tpm2_store_sign(struct tpm2_store *store, const struct key_ref *key, const struct tpm2_watch *watch,
                struct slice msg, uint8_t sig[PUBKEY_SIG_LEN])
{
    static const struct tpm2_watch nobody = {NULL, NULL};
    struct tpm2_resident_key copy;
    uint8_t auth[TPM2_AUTH_VALUE_LEN];
    pthread_rwlock_rdlock(&store->lock);
    enum attest_rc rc = sign_or_copy(store, key, msg, sig, &copy, auth);
    pthread_rwlock_unlock(&store->lock);
    secret_clear_registers();
    if (rc != ATTEST_E_UNSUPPORTED)
        return rc;
    rc = tpm2_resident_sign(&store->resident, &copy, watch ? watch : &nobody, msg, sig, NULL);
    secret_wipe(auth, sizeof(auth));
    return rc;
}
