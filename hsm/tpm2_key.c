/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_key.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define ATTRIBUTES                                                                                 \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |            \
     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT)

#define TEMPLATE(attributes)                                                                       \
    {                                                                                              \
        .publicArea = {                                                                            \
            .type = TPM2_ALG_ECC,                                                                  \
            .nameAlg = TPM2_ALG_SHA256,                                                            \
            .objectAttributes = (attributes),                                                      \
            .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,                         \
                                     .scheme = {.scheme = TPM2_ALG_ECDSA,                          \
                                                .details.ecdsa.hashAlg = TPM2_ALG_SHA256},         \
                                     .curveID = TPM2_ECC_NIST_P256,                                \
                                     .kdf.scheme = TPM2_ALG_NULL},                                 \
        }                                                                                          \
    }

/* Restricted: it refuses to sign what could pass for the TPM's own word. */
static const TPM2B_PUBLIC templates[TPM2_KEY_USES] = {
    [TPM2_KEY_ATTESTS] = TEMPLATE(ATTRIBUTES | TPMA_OBJECT_RESTRICTED),
    [TPM2_KEY_SIGNS] = TEMPLATE(ATTRIBUTES),
};

/* ---- making it ---- */

/* Whoever sits in the bus could have changed what we asked for. */
static bool
as_asked(enum tpm2_key_use use, const TPM2B_PUBLIC *got)
{
    const TPMT_PUBLIC *a = &got->publicArea, *b = &templates[use].publicArea;
    const TPMS_ECC_PARMS *p = &a->parameters.eccDetail, *q = &b->parameters.eccDetail;
    return a->type == b->type && a->nameAlg == b->nameAlg &&
           a->objectAttributes == b->objectAttributes && a->authPolicy.size == 0 &&
           p->symmetric.algorithm == q->symmetric.algorithm &&
           p->scheme.scheme == q->scheme.scheme &&
           p->scheme.details.ecdsa.hashAlg == q->scheme.details.ecdsa.hashAlg &&
           p->curveID == q->curveID && p->kdf.scheme == q->kdf.scheme;
}

static TSS2_RC
create(struct tpm2_link *link, enum tpm2_key_use use, const TPM2B_SENSITIVE_CREATE *in,
       TPM2B_PRIVATE **private_part, TPM2B_PUBLIC **public_part)
{
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION creation = {0};
    return TPM2_CALL(link, Esys_Create(link->esys, link->primary, link->session, ESYS_TR_NONE,
                                       ESYS_TR_NONE, in, &templates[use], &outside, &creation,
                                       private_part, public_part, NULL, NULL, NULL));
}

enum attest_rc
tpm2_key_create(struct tpm2_link *link, enum tpm2_key_use use,
                const uint8_t auth[TPM2_AUTH_VALUE_LEN], struct tpm2_sealed *ret,
                struct attest_error *err)
{
    AUTO(secret) struct secret room = secret_new(sizeof(TPM2B_SENSITIVE_CREATE));
    TPM2B_SENSITIVE_CREATE *in = memset(room.p, 0, room.len);
    TPM2B_PRIVATE *private_part = NULL;
    TPM2B_PUBLIC *public_part = NULL;
    struct tpm2_sealed made = {0};
    enum attest_rc rc = ATTEST_OK;
    in->sensitive.userAuth.size = TPM2_AUTH_VALUE_LEN;
    memcpy(in->sensitive.userAuth.buffer, auth, TPM2_AUTH_VALUE_LEN);
    TSS2_RC rv = create(link, use, in, &private_part, &public_part);
    /* ESAPI keeps what it was given and frees it as it is: it shall have kept zeros. */
    memset(in->sensitive.userAuth.buffer, 0, TPM2_AUTH_VALUE_LEN);
    (void)create(link, use, in, NULL, NULL);
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_Create (signing key)", rv);
    if (!as_asked(use, public_part))
        rc = error_set(err, ATTEST_E_DENIED, "TPM2_Create: made another key than we asked for");
    else if ((rv = Tss2_MU_TPM2B_PUBLIC_Marshal(public_part, made.public_part, TPM2_SEALED_MAX,
                                                &made.public_len)) != TSS2_RC_SUCCESS ||
             (rv = Tss2_MU_TPM2B_PRIVATE_Marshal(private_part, made.private_part, TPM2_SEALED_MAX,
                                                 &made.private_len)) != TSS2_RC_SUCCESS)
        rc = tpm2_error(err, "signing key", rv);
    Esys_Free(public_part);
    Esys_Free(private_part);
    if (!rc)
        *ret = made;
    return rc;
}

/* ---- using it ---- */

static bool
unmarshal(enum tpm2_key_use use, const struct tpm2_sealed *kept, TPM2B_PUBLIC *public_part,
          TPM2B_PRIVATE *private_part)
{
    size_t at = 0, end = 0;
    return Tss2_MU_TPM2B_PUBLIC_Unmarshal(kept->public_part, kept->public_len, &at, public_part) ==
               TSS2_RC_SUCCESS &&
           at == kept->public_len &&
           Tss2_MU_TPM2B_PRIVATE_Unmarshal(kept->private_part, kept->private_len, &end,
                                           private_part) == TSS2_RC_SUCCESS &&
           end == kept->private_len && as_asked(use, public_part);
}

/* A TPM may leave zeros at the front away. */
static bool
put_number(uint8_t out[PUBKEY_COORD_LEN], const TPM2B_ECC_PARAMETER *n)
{
    if (n->size > PUBKEY_COORD_LEN)
        return false;
    memset(out, 0, PUBKEY_COORD_LEN);
    memcpy(out + PUBKEY_COORD_LEN - n->size, n->buffer, n->size);
    return true;
}

bool
tpm2_key_public(enum tpm2_key_use use, const struct tpm2_sealed *kept, struct pubkey *ret)
{
    TPM2B_PUBLIC public_part = {0};
    TPM2B_PRIVATE private_part = {0};
    struct pubkey key = {.type = PUBKEY_P256};
    if (!unmarshal(use, kept, &public_part, &private_part))
        return false;
    const TPMS_ECC_POINT *point = &public_part.publicArea.unique.ecc;
    if (!put_number(key.bytes, &point->x) || !put_number(key.bytes + PUBKEY_COORD_LEN, &point->y) ||
        !pubkey_ok(&key))
        return false;
    *ret = key;
    return true;
}

enum attest_rc
tpm2_key_load(struct tpm2_link *link, enum tpm2_key_use use, const struct tpm2_sealed *kept,
              ESYS_TR *ret, struct attest_error *err)
{
    TPM2B_PUBLIC public_part = {0};
    TPM2B_PRIVATE private_part = {0};
    if (!unmarshal(use, kept, &public_part, &private_part))
        return error_set(err, ATTEST_E_CORRUPT, "what is kept as a key of the TPM is none");
    TSS2_RC rv = TPM2_CALL(link, Esys_Load(link->esys, link->primary, link->session, ESYS_TR_NONE,
                                           ESYS_TR_NONE, &private_part, &public_part, ret));
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_Load (signing key)", rv);
    tpm2_link_keep(link, *ret);
    return ATTEST_OK;
}

TSS2_RC
tpm2_key_give_auth(struct tpm2_link *link, ESYS_TR key, const uint8_t auth[TPM2_AUTH_VALUE_LEN])
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
void
tpm2_key_forget_auth(struct tpm2_link *link, ESYS_TR key)
{
    static const uint8_t zeros[TPM2_AUTH_VALUE_LEN];
    const TPM2B_DATA nothing = {0};
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    const TPML_PCR_SELECTION none = {0};
    if (tpm2_key_give_auth(link, key, zeros) == TSS2_RC_SUCCESS)
        (void)Esys_Quote_Async(link->esys, key, link->session, link->session, ESYS_TR_NONE,
                               &nothing, &scheme, &none);
}

TSS2_RC
tpm2_key_sign(struct tpm2_link *link, ESYS_TR key, const uint8_t digest[SHA256_LEN],
              uint8_t sig[PUBKEY_SIG_LEN])
{
    TPM2B_DIGEST in = {.size = SHA256_LEN};
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL}; /* the key's own */
    /* Nobody but a restricted key asks whether the TPM has made the digest. */
    const TPMT_TK_HASHCHECK none = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TPMT_SIGNATURE *signature = NULL;
    memcpy(in.buffer, digest, SHA256_LEN);
    TSS2_RC rv = TPM2_CALL(link, Esys_Sign(link->esys, key, link->session, ESYS_TR_NONE,
                                           ESYS_TR_NONE, &in, &scheme, &none, &signature));
    if (rv != TSS2_RC_SUCCESS)
        return rv;
    const TPMS_SIGNATURE_ECDSA *ecdsa = &signature->signature.ecdsa;
    if (signature->sigAlg != TPM2_ALG_ECDSA || ecdsa->hash != TPM2_ALG_SHA256 ||
        !put_number(sig, &ecdsa->signatureR) ||
        !put_number(sig + PUBKEY_COORD_LEN, &ecdsa->signatureS))
        rv = TSS2_ESYS_RC_MALFORMED_RESPONSE;
    Esys_Free(signature);
    return rv;
}
