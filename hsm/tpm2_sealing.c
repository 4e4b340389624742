/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "hsm/keystore_impl.h"
#include "hsm/tpm2_expect.h"
#include "hsm/tpm2_lockout.h"
#include "hsm/tpm2_store.h"
#include "hsm/tpm2_unlock.h"

static enum attest_rc
read_sealed(const char *path, struct tpm2_file **ret, struct attest_error *err)
{
    AUTO(buf) struct buf bytes;
    buf_init(&bytes, TPM2_FILE_MAX);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return error_set(err, ATTEST_E_NOT_FOUND, "%s: no sealed keys yet", path);
    enum attest_rc rc = file_read(path, TPM2_FILE_MAX, &bytes, err);
    return rc ? rc : tpm2_file_read(buf_view(&bytes), ret, err);
}

static struct tpm2_link_config
link_config(const struct keystore_config *config)
{
    const struct secret *owner = config->owner_auth;
    return (struct tpm2_link_config){.tcti = tpm2_tcti_of(config->uri),
                                     .owner_auth = owner && owner->len > 0 ? owner : NULL};
}

static void
take_approvals(const struct tpm2_unlock *unlock, struct seal_status *ret)
{
    const struct tpm2_policy *policy = &ret->policy;
    if (!policy->approved)
        return;
    ret->shown = unlock->shown;
    ret->recorded_revoked = unlock->shown > policy->approver.serial;
    ret->n_approvals = unlock->approvals->n;
    for (size_t i = 0; i < ret->n_approvals; i++) {
        const struct tpm2_approvals_entry *e = &unlock->approvals->list[i];
        memcpy(ret->approvals[i].name, e->name, sizeof(e->name));
        ret->approvals[i].serial = e->approval.serial;
        ret->approvals[i].verdict = e->verdict;
    }
    ret->request = (struct tpm2_approval){
        .counter = policy->approver.counter, .serial = unlock->shown + 1, .pcrs = policy->pcrs};
    memcpy(ret->request.tpm, ret->tpm_name, TPM2_NAME_LEN);
    memcpy(ret->request.line, policy->approver.line, TPM2_LINE_LEN);
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        if (policy->pcrs >> i & 1)
            memcpy(ret->request.values[i], unlock->now[i], SHA256_LEN);
    }
}

static enum attest_rc
ask_tpm(const struct keystore_config *config, const struct tpm2_file *file, struct seal_status *ret,
        struct attest_error *err)
{
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    AUTO(tpm2_unlock) struct tpm2_unlock unlock = {0};
    struct tpm2_lockout lockout;
    const struct tpm2_link_config c = link_config(config);
    enum attest_rc rc = tpm2_link_open(&c, &link, err);
    if (rc || (rc = tpm2_lockout_read(link, &lockout, err)))
        return rc;
    memcpy(ret->tpm_name_now, link->primary_name, TPM2_NAME_LEN);
    ret->same_tpm = !memcmp(ret->tpm_name, link->primary_name, TPM2_NAME_LEN);
    ret->locked = lockout.locked;
    ret->failed = lockout.failed;
    ret->failed_max = lockout.failed_max;
    ret->interval_s = lockout.interval_s;
    if (!ret->same_tpm)
        return tpm2_pcrs_read(link, ret->policy.pcrs, ret->now, err);
    if ((rc = tpm2_unlock_look(link, file, config->sealed_path, &unlock, err)))
        return rc;
    memcpy(ret->now, unlock.now, sizeof(ret->now));
    ret->moved = unlock.moved;
    ret->opens = unlock.opens;
    ret->by_approval = unlock.approval != NULL;
    take_approvals(&unlock, ret);
    return ATTEST_OK;
}

enum attest_rc
tpm2_sealing_status(const struct keystore_config *config, struct seal_status *ret,
                    struct attest_error *err)
{
    AUTO(tpm2_file) struct tpm2_file *file = NULL;
    enum attest_rc rc = read_sealed(config->sealed_path, &file, err);
    if (rc)
        return rc;
    *ret = (struct seal_status){
        .serial = file->serial, .n_keys = file->n_keys, .policy = file->policy};
    memcpy(ret->tpm_name, file->primary_name, TPM2_NAME_LEN);
    ret->ek_checked = file->ek_checked;
    memcpy(ret->ek_certificate, file->ek_certificate, SHA256_LEN);
    ret->tpm_rc = ask_tpm(config, file, ret, &ret->tpm_err);
    return ATTEST_OK;
}

static struct tpm2_store_config
key_store(const struct keystore_config *config)
{
    return (struct tpm2_store_config){
        .link = link_config(config),
        .path = config->sealed_path,
        .pin = config->pin,
        .approver = config->approver,
        .sealed_id = config->sealed_id,
    };
}

enum attest_rc
tpm2_sealing_id(const struct keystore_config *config, uint8_t id[SHA256_LEN],
                struct attest_error *err)
{
    struct tpm2_store store;
    const struct tpm2_store_config c = key_store(config);
    enum attest_rc rc = tpm2_store_open(&store, &c, err);
    if (rc)
        return rc;
    if (!tpm2_sealed_id(&store.authority, id))
        rc = error_set(err, ATTEST_E_NOMEM, "out of memory");
    tpm2_store_close(&store);
    return rc;
}

enum attest_rc
tpm2_sealing_reseal(const struct keystore_config *config, bool any, struct attest_error *err)
{
    struct tpm2_store store;
    struct tpm2_store_config c = key_store(config);
    c.change = any ? TPM2_CHANGE_ANY : TPM2_CHANGE_APPROVER;
    enum attest_rc rc = tpm2_store_open(&store, &c, err);
    if (rc)
        return rc;
    rc = tpm2_store_reseal(&store, config->pcrs, err);
    tpm2_store_close(&store);
    return rc;
}

/* The file of a PIN is under no other one: it would have to lie somewhere again. */
static struct tpm2_store_config
pin_store(const struct keystore_config *config)
{
    return (struct tpm2_store_config){
        .link = link_config(config),
        .path = config->sealed_path,
    };
}

static void
remove_beside(const char *path, const char *suffix)
{
    AUTO(mem) char *name = NULL;
    if (asprintf(&name, "%s%s", path, suffix) < 0)
        name = NULL;
    else
        (void)remove(name);
}

static void
remove_fresh(const struct tpm2_store_config *fresh)
{
    unlink(fresh->path);
    remove_beside(fresh->path, ".lock");
    remove_beside(fresh->path, ".new");
    remove_beside(fresh->path, ".approvals");
}

static enum attest_rc
make_fresh(const struct tpm2_store_config *fresh, const char *pcrs, const struct secret *token_pin,
           struct attest_error *err)
{
    struct tpm2_store store;
    remove_fresh(fresh); /* what was begun; its counters stand in the intent */
    enum attest_rc rc = tpm2_store_create(fresh, pcrs, err);
    if (rc || (rc = tpm2_store_open(&store, fresh, err)))
        return rc;
    rc = tpm2_store_set_pin(&store, token_pin, err);
    tpm2_store_close(&store);
    return rc;
}

/* The counters of a file that opened, and so are its own. */
static enum attest_rc
give_up(struct tpm2_intent *intent, const struct tpm2_file *file, struct attest_error *err)
{
    enum attest_rc rc = tpm2_intent_note(intent, TPM2_INTENT_REMOVE, file->counter, err);
    return rc || !file->policy.approved
               ? rc
               : tpm2_intent_note(intent, TPM2_INTENT_REMOVE, file->policy.approver.counter, err);
}

static enum attest_rc
take_place(const struct tpm2_store_config *fresh, const char *path, struct attest_error *err)
{
    enum attest_rc rc = fresh->approver ? tpm2_approvals_mkdir(path, err) : ATTEST_OK;
    if (rc)
        return rc;
    if (rename(fresh->path, path) != 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", path);
    remove_beside(path, ".new");
    return file_sync_dir_of(path, err);
}

/*
 * All in one intent, that of the file in whose place the new one comes: until then whatever the new
 * one has in the TPM counts as made in vain, and from then on what the old one had.
 */
static enum attest_rc
replace_pin(struct tpm2_store_config *fresh, const char *path, const struct tpm2_file *old,
            const char *pcrs, const struct secret *token_pin, struct attest_error *err)
{
    AUTO(tpm2_intent) struct tpm2_intent intent = TPM2_INTENT_CLOSED;
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    enum attest_rc rc = tpm2_intent_open(&intent, path, err);
    if (rc)
        return rc;
    fresh->intent = &intent;
    if (!(rc = make_fresh(fresh, pcrs, token_pin, err)) &&
        !(old && (rc = give_up(&intent, old, err))))
        rc = take_place(fresh, path, err);
    remove_fresh(fresh);
    (void)tpm2_link_open(&fresh->link, &link, NULL);
    (void)tpm2_intent_settle(&intent, link, NULL);
    return rc;
}

/* Never into a file that is there already: somebody else may have made it, and know what is in it.
 */
enum attest_rc
tpm2_sealing_pin_set(const struct keystore_config *config, const struct secret *token_pin,
                     struct attest_error *err)
{
    AUTO(mem) char *path = NULL;
    struct tpm2_store old;
    const struct tpm2_store_config c = pin_store(config);
    struct tpm2_store_config fresh = c;
    if (asprintf(&path, "%s.fresh", config->sealed_path) < 0) {
        path = NULL;
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    }
    fresh.path = path;
    fresh.link.ek_ca = config->ek_ca;
    fresh.approver = config->approver;
    bool opened = tpm2_store_open(&old, &c, err) == ATTEST_OK;
    if (!opened && err->rc == ATTEST_E_BUSY)
        return ATTEST_E_BUSY;
    enum attest_rc rc = replace_pin(&fresh, c.path, opened ? old.file : NULL,
                                    config->pcrs ? config->pcrs : "", token_pin, err);
    if (opened)
        tpm2_store_close(&old);
    return rc;
}

enum attest_rc
tpm2_sealing_pin_get(const struct keystore_config *config, struct secret *ret,
                     struct attest_error *err)
{
    struct tpm2_store store;
    uint32_t pcrs = 0;
    const struct tpm2_store_config c = pin_store(config);
    enum attest_rc rc = config->pcrs ? tpm2_pcrs_parse(config->pcrs, &pcrs, err) : ATTEST_OK;
    if (rc || (rc = tpm2_store_open(&store, &c, err)))
        return rc;
    if (config->pcrs && pcrs != store.file->policy.pcrs)
        rc = error_set(err, ATTEST_E_CONFIG, "the PIN is sealed to other PCRs than pcrs names");
    else
        rc = tpm2_unbox_pin(store.file, &store.wrapping, ret, err);
    tpm2_store_close(&store);
    return rc;
}
