/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_counter.h"

#include <string.h>

#include "base/ed25519.h"
#include "hsm/tpm2_policy.h"

/* Handles for the owner's use; those that many start with are left to others. */
#define INDEX_FIRST 0x01a77e00U
#define INDEX_COUNT 0x100U
#define VALUE_LEN 8

static TPM2B_NV_PUBLIC
template_of(uint32_t index, TPMA_NV more)
{
    /* noDA: the value cannot be guessed, and a broken line must not lock the TPM. */
    return (TPM2B_NV_PUBLIC){
        .nvPublic = {.nvIndex = index,
                     .nameAlg = TPM2_ALG_SHA256,
                     .attributes = TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA |
                                   (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT) | more,
                     .dataSize = VALUE_LEN}};
}

static TSS2_RC
set_auth(struct tpm2_link *link, ESYS_TR handle, const void *value, size_t len)
{
    TPM2B_AUTH auth = {.size = (UINT16)len};
    memcpy(auth.buffer, value, len);
    TSS2_RC rv = Esys_TR_SetAuth(link->esys, handle, &auth);
    secret_wipe(&auth, sizeof(auth));
    return rv;
}

static void
close_index(struct tpm2_link *link, ESYS_TR *nv)
{
    if (*nv == ESYS_TR_NONE)
        return;
    (void)set_auth(link, *nv, "", 0);
    tpm2_link_forget(link, link->session);
    (void)Esys_TR_Close(link->esys, nv);
}

/* What the public area may be, beside handle, hash and size. */
enum looks { OWN = 1, APPROVALS = 2, EMPTY = 4 /* either, without a value yet */ };

static bool
looks_like(uint32_t index, enum looks looks, const TPM2B_NAME *name)
{
    static const struct {
        enum looks looks;
        uint32_t attributes;
    } ours[] = {
        {OWN, TPM2_COUNTER_ATTRIBUTES},
        {APPROVALS, TPM2_APPROVAL_COUNTER_ATTRIBUTES},
        {EMPTY, TPM2_COUNTER_ATTRIBUTES & ~TPMA_NV_WRITTEN},
        {EMPTY, TPM2_APPROVAL_COUNTER_ATTRIBUTES & ~TPMA_NV_WRITTEN},
    };
    uint8_t expected[TPM2_NAME_LEN];
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        tpm2_counter_name(index, ours[i].attributes, expected);
        if (looks & ours[i].looks && name->size == TPM2_NAME_LEN &&
            !memcmp(name->name, expected, TPM2_NAME_LEN))
            return true;
    }
    return false;
}

/* The name goes into the MAC of each command that follows, so it must not be anyone's word. */
static TSS2_RC
find_index(struct tpm2_link *link, uint32_t index, enum looks looks, ESYS_TR *nv)
{
    TPM2B_NAME *name = NULL;
    *nv = ESYS_TR_NONE;
    TSS2_RC rv = TPM2_CALL(link, Esys_TR_FromTPMPublic(link->esys, index, link->session,
                                                       ESYS_TR_NONE, ESYS_TR_NONE, nv));
    if (rv != TSS2_RC_SUCCESS) {
        *nv = ESYS_TR_NONE;
        return rv;
    }
    rv = Esys_TR_GetName(link->esys, *nv, &name);
    if (rv == TSS2_RC_SUCCESS && !looks_like(index, looks, name))
        rv = TPM2_RC_HANDLE;
    Esys_Free(name);
    if (rv != TSS2_RC_SUCCESS)
        (void)Esys_TR_Close(link->esys, nv);
    return rv;
}

TSS2_RC
tpm2_counter_open(struct tpm2_link *link, uint32_t index, ESYS_TR *nv)
{
    return find_index(link, index, APPROVALS, nv);
}

static TSS2_RC
open_index(struct tpm2_link *link, uint32_t index, enum looks looks, const uint8_t *auth,
           ESYS_TR *nv)
{
    TSS2_RC rv = find_index(link, index, looks, nv);
    if (rv == TSS2_RC_SUCCESS)
        rv = set_auth(link, *nv, auth, TPM2_AUTH_VALUE_LEN);
    return rv;
}

/* What a refusal means here, where nobody types the value. */
static enum attest_rc
counter_error(struct attest_error *err, const char *command, TSS2_RC rv)
{
    switch (tpm2_rc_base(rv)) {
    case TPM2_RC_HANDLE:
    case TPM2_RC_AUTH_FAIL:
    case TPM2_RC_BAD_AUTH:
    case TPM2_RC_NV_AUTHORIZATION:
    case TPM2_RC_NV_UNINITIALIZED:
    case TPM2_RC_ATTRIBUTES:
        return error_set(err, ATTEST_E_DENIED,
                         "the TPM's counter that belongs to the sealed keys is gone, or another is "
                         "in its place");
    default:
        return tpm2_error(err, command, rv);
    }
}

static TSS2_RC
define_at(struct tpm2_link *link, const uint8_t *auth, TPMA_NV more, uint32_t index)
{
    TPM2B_AUTH value = {.size = TPM2_AUTH_VALUE_LEN};
    const TPM2B_NV_PUBLIC template = template_of(index, more);
    ESYS_TR nv = ESYS_TR_NONE;
    memcpy(value.buffer, auth, TPM2_AUTH_VALUE_LEN);
    TSS2_RC rv = tpm2_link_owner(link);
    if (rv == TSS2_RC_SUCCESS)
        rv = TPM2_CALL(link,
                       Esys_NV_DefineSpace(link->esys, ESYS_TR_RH_OWNER, link->session,
                                           ESYS_TR_NONE, ESYS_TR_NONE, &value, &template, &nv));
    secret_wipe(&value, sizeof(value));
    tpm2_link_forget(link, link->session);
    close_index(link, &nv);
    return rv;
}

/* Noted before and after, so that at every moment the disk knows of what the TPM has. */
static enum attest_rc
define_somewhere(struct tpm2_link *link, const uint8_t *auth, TPMA_NV more,
                 struct tpm2_intent *intent, uint32_t *index, struct attest_error *err)
{
    uint8_t start;
    enum attest_rc rc = ATTEST_OK;
    TSS2_RC rv = TPM2_RC_NV_DEFINED;
    random_bytes(&start, sizeof(start));
    for (uint32_t i = 0; i < INDEX_COUNT && tpm2_rc_base(rv) == TPM2_RC_NV_DEFINED; i++) {
        *index = INDEX_FIRST + (start + i) % INDEX_COUNT;
        if ((rc = tpm2_intent_note(intent, TPM2_INTENT_DEFINE, *index, err)))
            return rc;
        rv = define_at(link, auth, more, *index);
    }
    return rv == TSS2_RC_SUCCESS ? tpm2_intent_note(intent, TPM2_INTENT_REMOVE, *index, err)
                                 : tpm2_error(err, "TPM2_NV_DefineSpace (owner hierarchy)", rv);
}

static TSS2_RC
undefine(struct tpm2_link *link, ESYS_TR *nv)
{
    TSS2_RC rv = TPM2_CALL(link, Esys_NV_UndefineSpace(link->esys, ESYS_TR_RH_OWNER, *nv,
                                                       link->session, ESYS_TR_NONE, ESYS_TR_NONE));
    if (rv == TSS2_RC_SUCCESS)
        *nv = ESYS_TR_NONE; /* ESAPI has closed it */
    return rv;
}

static enum attest_rc
raise_index(struct tpm2_link *link, uint32_t index, enum looks looks, const uint8_t *auth,
            struct attest_error *err)
{
    ESYS_TR nv;
    TSS2_RC rv = open_index(link, index, looks, auth, &nv);
    if (rv == TSS2_RC_SUCCESS)
        rv = TPM2_CALL(
            link, Esys_NV_Increment(link->esys, nv, nv, link->session, ESYS_TR_NONE, ESYS_TR_NONE));
    close_index(link, &nv);
    return rv == TSS2_RC_SUCCESS ? ATTEST_OK : counter_error(err, "TPM2_NV_Increment", rv);
}

enum attest_rc
tpm2_counter_create(struct tpm2_link *link, const uint8_t auth[TPM2_AUTH_VALUE_LEN],
                    bool owner_reads, struct tpm2_intent *intent, uint32_t *index, uint64_t *value,
                    struct attest_error *err)
{
    uint32_t made = 0;
    enum attest_rc rc =
        define_somewhere(link, auth, owner_reads ? TPMA_NV_OWNERREAD : 0, intent, &made, err);
    if (rc || (rc = raise_index(link, made, EMPTY, auth, err)) ||
        (rc = tpm2_counter_read(link, made, auth, value, err)))
        return rc;
    *index = made;
    return ATTEST_OK;
}

enum attest_rc
tpm2_counter_remove(struct tpm2_link *link, uint32_t index, bool unused, struct attest_error *err)
{
    ESYS_TR nv;
    TSS2_RC rv = find_index(link, index, unused ? EMPTY : OWN | APPROVALS | EMPTY, &nv);
    if (rv != TSS2_RC_SUCCESS)
        return counter_error(err, "TPM2_NV_ReadPublic", rv);
    rv = tpm2_link_owner(link);
    if (rv == TSS2_RC_SUCCESS)
        rv = undefine(link, &nv);
    tpm2_link_forget(link, link->session);
    close_index(link, &nv);
    return rv == TSS2_RC_SUCCESS ? ATTEST_OK : tpm2_error(err, "TPM2_NV_UndefineSpace", rv);
}

static uint64_t
number_of(const TPM2B_MAX_NV_BUFFER *data)
{
    uint64_t n = 0;
    for (size_t i = 0; i < data->size; i++)
        n = n << 8 | data->buffer[i];
    return n;
}

static enum attest_rc
read_index(struct tpm2_link *link, ESYS_TR by, ESYS_TR nv, uint64_t *value,
           struct attest_error *err)
{
    TPM2B_MAX_NV_BUFFER *data = NULL;
    TSS2_RC rv = TPM2_CALL(link, Esys_NV_Read(link->esys, by, nv, link->session, ESYS_TR_NONE,
                                              ESYS_TR_NONE, VALUE_LEN, 0, &data));
    if (rv != TSS2_RC_SUCCESS)
        return counter_error(err, "TPM2_NV_Read", rv);
    bool whole = data->size == VALUE_LEN;
    *value = number_of(data);
    Esys_Free(data);
    if (!whole || *value == 0)
        return error_set(err, ATTEST_E_DENIED, "the TPM's counter does not count");
    return ATTEST_OK;
}

enum attest_rc
tpm2_counter_read(struct tpm2_link *link, uint32_t index, const uint8_t auth[TPM2_AUTH_VALUE_LEN],
                  uint64_t *value, struct attest_error *err)
{
    ESYS_TR nv;
    TSS2_RC rv = open_index(link, index, OWN | APPROVALS, auth, &nv);
    enum attest_rc rc = rv == TSS2_RC_SUCCESS ? read_index(link, nv, nv, value, err)
                                              : counter_error(err, "TPM2_NV_ReadPublic", rv);
    close_index(link, &nv);
    return rc;
}

enum attest_rc
tpm2_counter_read_owner(struct tpm2_link *link, uint32_t index, uint64_t *value,
                        struct attest_error *err)
{
    ESYS_TR nv;
    TSS2_RC rv = tpm2_counter_open(link, index, &nv);
    if (rv == TSS2_RC_SUCCESS)
        rv = tpm2_link_owner(link);
    enum attest_rc rc = rv == TSS2_RC_SUCCESS ? read_index(link, ESYS_TR_RH_OWNER, nv, value, err)
                                              : counter_error(err, "TPM2_NV_ReadPublic", rv);
    tpm2_link_forget(link, link->session);
    close_index(link, &nv);
    return rc;
}

enum attest_rc
tpm2_counter_raise(struct tpm2_link *link, uint32_t index, const uint8_t auth[TPM2_AUTH_VALUE_LEN],
                   struct attest_error *err)
{
    return raise_index(link, index, OWN | APPROVALS, auth, err);
}
