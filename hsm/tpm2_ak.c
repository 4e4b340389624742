/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_ak.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define TRIES 3 /* to have a quote and values that belong together */

/* Restricted: it refuses to sign what could pass for the TPM's own word. noDA: see tpm2_counter. */
static const TPM2B_PUBLIC template = {
    .publicArea = {
        .type = TPM2_ALG_ECC,
        .nameAlg = TPM2_ALG_SHA256,
        .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                            TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                            TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT,
        .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
                                 .scheme = {.scheme = TPM2_ALG_ECDSA,
                                            .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
                                 .curveID = TPM2_ECC_NIST_P256,
                                 .kdf.scheme = TPM2_ALG_NULL},
    }};

/* ---- making it ---- */

/* Whoever sits in the bus could have changed what we asked for. */
static bool
as_asked(const TPM2B_PUBLIC *got)
{
    const TPMT_PUBLIC *a = &got->publicArea, *b = &template.publicArea;
    const TPMS_ECC_PARMS *p = &a->parameters.eccDetail, *q = &b->parameters.eccDetail;
    return a->type == b->type && a->nameAlg == b->nameAlg &&
           a->objectAttributes == b->objectAttributes && a->authPolicy.size == 0 &&
           p->symmetric.algorithm == q->symmetric.algorithm &&
           p->scheme.scheme == q->scheme.scheme &&
           p->scheme.details.ecdsa.hashAlg == q->scheme.details.ecdsa.hashAlg &&
           p->curveID == q->curveID && p->kdf.scheme == q->kdf.scheme;
}

static TSS2_RC
create(struct tpm2_link *link, const TPM2B_SENSITIVE_CREATE *in, TPM2B_PRIVATE **private_part,
       TPM2B_PUBLIC **public_part)
{
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION creation = {0};
    return TPM2_CALL(link, Esys_Create(link->esys, link->primary, link->session, ESYS_TR_NONE,
                                       ESYS_TR_NONE, in, &template, &outside, &creation,
                                       private_part, public_part, NULL, NULL, NULL));
}

enum attest_rc
tpm2_ak_create(struct tpm2_link *link, const uint8_t auth[TPM2_AUTH_VALUE_LEN],
               struct tpm2_sealed *ret, struct attest_error *err)
{
    AUTO(secret) struct secret room = secret_new(sizeof(TPM2B_SENSITIVE_CREATE));
    TPM2B_SENSITIVE_CREATE *in = memset(room.p, 0, room.len);
    TPM2B_PRIVATE *private_part = NULL;
    TPM2B_PUBLIC *public_part = NULL;
    struct tpm2_sealed made = {0};
    enum attest_rc rc = ATTEST_OK;
    in->sensitive.userAuth.size = TPM2_AUTH_VALUE_LEN;
    memcpy(in->sensitive.userAuth.buffer, auth, TPM2_AUTH_VALUE_LEN);
    TSS2_RC rv = create(link, in, &private_part, &public_part);
    /* ESAPI keeps what it was given and frees it as it is: it shall have kept zeros. */
    memset(in->sensitive.userAuth.buffer, 0, TPM2_AUTH_VALUE_LEN);
    (void)create(link, in, NULL, NULL);
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_Create (attestation key)", rv);
    if (!as_asked(public_part))
        rc = error_set(err, ATTEST_E_DENIED, "TPM2_Create: made another key than we asked for");
    else if ((rv = Tss2_MU_TPM2B_PUBLIC_Marshal(public_part, made.public_part, TPM2_SEALED_MAX,
                                                &made.public_len)) != TSS2_RC_SUCCESS ||
             (rv = Tss2_MU_TPM2B_PRIVATE_Marshal(private_part, made.private_part, TPM2_SEALED_MAX,
                                                 &made.private_len)) != TSS2_RC_SUCCESS)
        rc = tpm2_error(err, "attestation key", rv);
    Esys_Free(public_part);
    Esys_Free(private_part);
    if (!rc)
        *ret = made;
    return rc;
}

/* ---- using it ---- */

static enum attest_rc
load(struct tpm2_link *link, const struct tpm2_sealed *ak, ESYS_TR *ret, struct attest_error *err)
{
    TPM2B_PUBLIC public_part = {0};
    TPM2B_PRIVATE private_part = {0};
    size_t at = 0, end = 0;
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(ak->public_part, ak->public_len, &at, &public_part) !=
            TSS2_RC_SUCCESS ||
        at != ak->public_len ||
        Tss2_MU_TPM2B_PRIVATE_Unmarshal(ak->private_part, ak->private_len, &end, &private_part) !=
            TSS2_RC_SUCCESS ||
        end != ak->private_len || !as_asked(&public_part))
        return error_set(err, ATTEST_E_CORRUPT, "what is kept as attestation key is none");
    TSS2_RC rv = TPM2_CALL(link, Esys_Load(link->esys, link->primary, link->session, ESYS_TR_NONE,
                                           ESYS_TR_NONE, &private_part, &public_part, ret));
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_Load (attestation key)", rv);
    tpm2_link_keep(link, *ret);
    return ATTEST_OK;
}

static TSS2_RC
give_auth(struct tpm2_link *link, ESYS_TR key, const uint8_t auth[TPM2_AUTH_VALUE_LEN])
{
    TPM2B_AUTH value = {.size = TPM2_AUTH_VALUE_LEN};
    memcpy(value.buffer, auth, TPM2_AUTH_VALUE_LEN);
    TSS2_RC rv = Esys_TR_SetAuth(link->esys, key, &value);
    secret_wipe(&value, sizeof(value));
    return rv;
}

/*
 * ESAPI keeps the value in the object and behind the key of the session. Zeros take its place in
 * both: a command with the same session twice is refused by ESAPI, after it has put the value of
 * now where it wants it.
 */
static void
forget_auth(struct tpm2_link *link, ESYS_TR key)
{
    static const uint8_t zeros[TPM2_AUTH_VALUE_LEN];
    const TPM2B_DATA nothing = {0};
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    const TPML_PCR_SELECTION none = {0};
    if (give_auth(link, key, zeros) == TSS2_RC_SUCCESS)
        (void)Esys_Quote_Async(link->esys, key, link->session, link->session, ESYS_TR_NONE,
                               &nothing, &scheme, &none);
}

static TSS2_RC
quote_once(struct tpm2_link *link, ESYS_TR key, uint32_t pcrs, const uint8_t *qualifying,
           struct keystore_quote *ret)
{
    TPM2B_DATA data = {.size = SHA256_LEN};
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL}; /* the key's own */
    const TPML_PCR_SELECTION selection = {
        .count = 1,
        .pcrSelections = {{.hash = TPM2_ALG_SHA256,
                           .sizeofSelect = 3,
                           .pcrSelect = {(BYTE)pcrs, (BYTE)(pcrs >> 8), (BYTE)(pcrs >> 16)}}}};
    TPM2B_ATTEST *quoted = NULL;
    TPMT_SIGNATURE *signature = NULL;
    memcpy(data.buffer, qualifying, SHA256_LEN);
    TSS2_RC rv =
        TPM2_CALL(link, Esys_Quote(link->esys, key, link->session, ESYS_TR_NONE, ESYS_TR_NONE,
                                   &data, &scheme, &selection, &quoted, &signature));
    if (rv != TSS2_RC_SUCCESS)
        return rv;
    ret->signature_len = 0;
    rv = Tss2_MU_TPMT_SIGNATURE_Marshal(signature, ret->signature, sizeof(ret->signature),
                                        &ret->signature_len);
    ret->quote_len = quoted->size;
    if (quoted->size > sizeof(ret->quote))
        rv = TSS2_MU_RC_INSUFFICIENT_BUFFER;
    else
        memcpy(ret->quote, quoted->attestationData, quoted->size);
    Esys_Free(quoted);
    Esys_Free(signature);
    return rv;
}

/* Whether the values that were read are what was quoted. */
static bool
belongs(const struct keystore_quote *q)
{
    uint8_t all[KEYSTORE_PCRS * SHA256_LEN], digest[SHA256_LEN];
    size_t len = 0, at = 0;
    TPMS_ATTEST attest;
    for (unsigned i = 0; i < KEYSTORE_PCRS; i++) {
        if (q->pcrs >> i & 1)
            memcpy(all + SHA256_LEN * len++, q->pcr_values[i], SHA256_LEN);
    }
    sha256(digest, all, SHA256_LEN * len);
    return Tss2_MU_TPMS_ATTEST_Unmarshal(q->quote, q->quote_len, &at, &attest) == TSS2_RC_SUCCESS &&
           attest.type == TPM2_ST_ATTEST_QUOTE &&
           attest.attested.quote.pcrDigest.size == SHA256_LEN &&
           !memcmp(attest.attested.quote.pcrDigest.buffer, digest, SHA256_LEN);
}

static enum attest_rc
quote_with(struct tpm2_link *link, ESYS_TR key, const uint8_t *auth, const uint8_t *qualifying,
           struct keystore_quote *q, struct attest_error *err)
{
    for (unsigned i = 0; i < TRIES; i++) {
        TSS2_RC rv = give_auth(link, key, auth);
        if (rv == TSS2_RC_SUCCESS)
            rv = quote_once(link, key, q->pcrs, qualifying, q);
        forget_auth(link, key);
        if (rv != TSS2_RC_SUCCESS)
            return tpm2_error(err, "TPM2_Quote", rv);
        enum attest_rc rc = tpm2_pcrs_read(link, q->pcrs, q->pcr_values, err);
        if (rc)
            return rc;
        if (belongs(q))
            return ATTEST_OK;
    }
    return error_set(err, ATTEST_E_BUSY, "the PCRs move while they are quoted");
}

enum attest_rc
tpm2_ak_quote(struct tpm2_link *link, const struct tpm2_sealed *ak,
              const uint8_t auth[TPM2_AUTH_VALUE_LEN], uint32_t pcrs,
              const uint8_t qualifying[SHA256_LEN], struct keystore_quote *ret,
              struct attest_error *err)
{
    struct keystore_quote q = {.pcrs = pcrs};
    ESYS_TR key = ESYS_TR_NONE;
    if (ak->public_len > sizeof(q.ak_public))
        return error_set(err, ATTEST_E_CORRUPT, "what is kept as attestation key is none");
    memcpy(q.ak_public, ak->public_part, ak->public_len);
    q.ak_public_len = ak->public_len;
    enum attest_rc rc = load(link, ak, &key, err);
    if (!rc)
        rc = quote_with(link, key, auth, qualifying, &q, err);
    tpm2_link_drop(link, &key);
    if (!rc)
        *ret = q;
    return rc;
}
