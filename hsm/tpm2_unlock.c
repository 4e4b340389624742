/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_unlock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ed25519.h"
#include "hsm/tpm2_box.h"

#define AUTH_NAME "approvals"
#define ALL_PCRS ((1U << TPM2_PCR_COUNT) - 1)

void
tpm2_unlock_done(struct tpm2_unlock *u)
{
    free(u->approvals);
    *u = (struct tpm2_unlock){0};
}

enum attest_rc
tpm2_unlock_look(struct tpm2_link *link, const struct tpm2_file *file, const char *path,
                 struct tpm2_unlock *ret, struct attest_error *err)
{
    AUTO(tpm2_unlock) struct tpm2_unlock u = {0};
    const struct tpm2_policy *policy = &file->policy;
    enum attest_rc rc =
        tpm2_pcrs_read(link, policy->approved ? ALL_PCRS : policy->pcrs, u.now, err);
    if (rc)
        return rc;
    u.moved = tpm2_pcrs_moved(policy->pcrs, policy->values, u.now);
    u.opens = !u.moved;
    if (policy->approved) {
        if ((rc = tpm2_counter_read_owner(link, policy->approver.counter, &u.shown, err)))
            return rc;
        bool needed = u.moved || u.shown > policy->approver.serial;
        rc = tpm2_approvals_read(path, &u.approvals, needed ? err : NULL);
        /* What nobody needs must not keep the keys from opening. */
        if (rc && !needed)
            u.approvals = calloc(1, sizeof(*u.approvals));
        if (!u.approvals)
            return rc ? rc : error_set(err, ATTEST_E_NOMEM, "out of memory");
        u.approval = tpm2_approvals_judge(u.approvals, policy, file->primary_name, u.shown, u.now);
        if (!u.moved && u.shown <= policy->approver.serial)
            u.approval = NULL;
        else
            u.opens = u.approval != NULL;
    }
    *ret = u;
    u = (struct tpm2_unlock){0};
    return ATTEST_OK;
}

enum attest_rc
tpm2_unlock_error(const struct tpm2_unlock *u, struct attest_error *err)
{
    char names[TPM2_PCRS_TEXT_MAX], approvals[64] = "";
    if (u->opens)
        return ATTEST_OK;
    if (u->approvals)
        snprintf(approvals, sizeof(approvals), ", and none of %zu approvals fits", u->approvals->n);
    if (!u->moved)
        return error_set(err, ATTEST_E_DENIED,
                         "what the keys were sealed to was revoked by a later approval%s",
                         approvals);
    tpm2_pcrs_names(u->moved, names);
    return error_set(err, ATTEST_E_DENIED, "PCR %s (sha256) moved since the keys were sealed%s",
                     names, approvals);
}

uint64_t
tpm2_unlock_serial(const struct tpm2_unlock *u, const struct tpm2_file *file)
{
    if (!file->policy.approved)
        return 0;
    return u->approval ? u->approval->serial : file->policy.approver.serial;
}

enum attest_rc
tpm2_unlock_accept(struct tpm2_link *link, const struct tpm2_file *file,
                   const struct secret *authority, uint64_t serial, struct attest_error *err)
{
    uint8_t auth[TPM2_AUTH_VALUE_LEN];
    uint64_t shown;
    const uint32_t counter = file->policy.approver.counter;
    if (!serial)
        return ATTEST_OK;
    if (!tpm2_auth_value(authority, AUTH_NAME, auth))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    enum attest_rc rc = tpm2_counter_read(link, counter, auth, &shown, err);
    if (!rc && serial > shown && serial - shown > TPM2_APPROVAL_JUMP_MAX)
        rc = error_set(err, ATTEST_E_DENIED, "the approval counter is too far behind");
    for (; !rc && shown < serial; shown++)
        rc = tpm2_counter_raise(link, counter, auth, err);
    secret_wipe(auth, sizeof(auth));
    return rc;
}

enum attest_rc
tpm2_unlock_counter(struct tpm2_link *link, const struct secret *authority,
                    struct tpm2_intent *intent, struct tpm2_policy *policy,
                    struct attest_error *err)
{
    uint8_t auth[TPM2_AUTH_VALUE_LEN];
    struct tpm2_approver *a = &policy->approver;
    if (!tpm2_auth_value(authority, AUTH_NAME, auth))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    random_bytes(a->line, sizeof(a->line));
    enum attest_rc rc = tpm2_counter_create(link, auth, true, intent, &a->counter, &a->serial, err);
    secret_wipe(auth, sizeof(auth));
    return rc;
}
