/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_ak.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#include "hsm/tpm2_key.h"

#define TRIES 3 /* to have a quote and values that belong together */

enum attest_rc
tpm2_ak_create(struct tpm2_link *link, const uint8_t auth[TPM2_AUTH_VALUE_LEN],
               struct tpm2_sealed *ret, struct attest_error *err)
{
    return tpm2_key_create(link, TPM2_KEY_ATTESTS, auth, ret, err);
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
        TSS2_RC rv = tpm2_key_give_auth(link, key, auth);
        if (rv == TSS2_RC_SUCCESS)
            rv = quote_once(link, key, q->pcrs, qualifying, q);
        tpm2_key_forget_auth(link, key);
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
    enum attest_rc rc = tpm2_key_load(link, TPM2_KEY_ATTESTS, ak, &key, err);
    if (!rc)
        rc = quote_with(link, key, auth, qualifying, &q, err);
    tpm2_link_drop(link, &key);
    if (!rc)
        *ret = q;
    return rc;
}
