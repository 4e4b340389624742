/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_SWTPM_ESYS_H
#define TESTS_SUPPORT_SWTPM_ESYS_H

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include "hsm/tpm2_store.h"
#include "tests/support/swtpm.h"

/* What tests do to a TPM and see of it by themselves, over a connection of their own. */
struct swtpm_direct {
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys;
};

static inline struct swtpm_direct
swtpm_connect(const struct swtpm *t)
{
    struct swtpm_direct d = {0};
    setenv("TSS2_LOG", "all+NONE", 1);
    if (Tss2_TctiLdr_Initialize(t->plain, &d.tcti) != TSS2_RC_SUCCESS ||
        Esys_Initialize(&d.esys, d.tcti, NULL) != TSS2_RC_SUCCESS)
        abort();
    return d;
}

static inline void
swtpm_disconnect(struct swtpm_direct *d)
{
    Esys_Finalize(&d->esys);
    Tss2_TctiLdr_Finalize(&d->tcti);
}

static inline unsigned
swtpm_count(const struct swtpm_direct *d, TPM2_HANDLE first)
{
    TPMI_YES_NO more;
    TPMS_CAPABILITY_DATA *data = NULL;
    if (Esys_GetCapability(d->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                           first, 64, &more, &data) != TSS2_RC_SUCCESS)
        abort();
    unsigned n = data->data.handles.count;
    Esys_Free(data);
    return n;
}

/* Objects and sessions that the TPM holds for whoever forgot them. */
static inline unsigned
swtpm_loaded(const struct swtpm *t)
{
    struct swtpm_direct d = swtpm_connect(t);
    /* The library's names for these shift into the sign of an int. */
    unsigned n = swtpm_count(&d, 0x80000000U) + swtpm_count(&d, 0x02000000U);
    swtpm_disconnect(&d);
    return n;
}

static inline void
swtpm_extend(const struct swtpm *t, unsigned pcr)
{
    struct swtpm_direct d = swtpm_connect(t);
    TPML_DIGEST_VALUES values = {.count = 1, .digests = {{.hashAlg = TPM2_ALG_SHA256}}};
    if (Esys_PCR_Extend(d.esys, ESYS_TR_PCR0 + pcr, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                        &values) != TSS2_RC_SUCCESS)
        abort();
    swtpm_disconnect(&d);
}

/* Gives the owner hierarchy a password. */
static inline void
swtpm_own(const struct swtpm *t, const char *password)
{
    struct swtpm_direct d = swtpm_connect(t);
    TPM2B_AUTH auth = {.size = (UINT16)strlen(password)};
    memcpy(auth.buffer, password, auth.size);
    if (Esys_HierarchyChangeAuth(d.esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                 ESYS_TR_NONE, &auth) != TSS2_RC_SUCCESS)
        abort();
    swtpm_disconnect(&d);
}

/* Takes the counter at this handle away, or makes one there that has an empty value. */
static inline void
swtpm_counter(const struct swtpm *t, uint32_t index, bool make)
{
    struct swtpm_direct d = swtpm_connect(t);
    ESYS_TR nv = ESYS_TR_NONE;
    TSS2_RC rv;
    if (make) {
        const TPM2B_AUTH none = {0};
        const TPM2B_NV_PUBLIC template = {
            .nvPublic = {.nvIndex = index,
                         .nameAlg = TPM2_ALG_SHA256,
                         .attributes = TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA |
                                       (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT),
                         .dataSize = 8}};
        rv = Esys_NV_DefineSpace(d.esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                 ESYS_TR_NONE, &none, &template, &nv);
        if (rv == TSS2_RC_SUCCESS)
            rv = Esys_NV_Increment(d.esys, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
    } else {
        rv = Esys_TR_FromTPMPublic(d.esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &nv);
        if (rv == TSS2_RC_SUCCESS)
            rv = Esys_NV_UndefineSpace(d.esys, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                       ESYS_TR_NONE);
    }
    if (rv != TSS2_RC_SUCCESS)
        abort();
    swtpm_disconnect(&d);
}

/* None of what is open now may cross the bus, before or after. */
static inline void
swtpm_secrets_of(const struct swtpm *t, const struct tpm2_store *store)
{
    swtpm_secret(t, "wrapping", store->wrapping.p, store->wrapping.len);
    swtpm_secret(t, "authority", store->authority.p, store->authority.len);
    for (size_t i = 0; i < store->file->n_keys; i++)
        if (tpm2_file_key_sealed(&store->file->keys[i]))
            swtpm_secret(t, "seed", store->pairs.p + i * ED25519_PAIR_LEN, ED25519_SEED_LEN);
}

#endif
