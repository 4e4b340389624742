/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_ek.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/file.h"

#define CERTIFICATE_MAX 8192
#define CA_MAX 262144
#define CHUNK 512 /* bytes of non-volatile memory that every TPM gives at once */

DEFINE_AUTO(x509, X509 *, X509_free);
DEFINE_AUTO(pkey, EVP_PKEY *, EVP_PKEY_free);
DEFINE_AUTO(bio, BIO *, BIO_free_all);
DEFINE_AUTO(store, X509_STORE *, X509_STORE_free);
DEFINE_AUTO(verify, X509_STORE_CTX *, X509_STORE_CTX_free);

static void
free_stack(STACK_OF(X509) * stack)
{
    sk_X509_pop_free(stack, X509_free);
}
typedef STACK_OF(X509) x509_stack;
DEFINE_AUTO(stack, x509_stack *, free_stack);
DEFINE_AUTO(purposes, EXTENDED_KEY_USAGE *, EXTENDED_KEY_USAGE_free);
DEFINE_AUTO(object, ASN1_OBJECT *, ASN1_OBJECT_free);

#define EK_PURPOSE "2.23.133.8.1" /* tcg-kp-EKCertificate */

/* PolicySecret of the endorsement hierarchy, as the profile has it. */
#define EK_POLICY                                                                                  \
    {                                                                                              \
        0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7,  \
            0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33,    \
            0x14, 0x69, 0xaa                                                                       \
    }
#define EK_ATTRIBUTES                                                                              \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |            \
     TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)
#define EK_SYMMETRIC                                                                               \
    {                                                                                              \
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB                    \
    }

static const struct {
    uint32_t index;
    TPM2B_PUBLIC template;
} kinds[] = {
    {0x01c0000a,
     {.publicArea = {.type = TPM2_ALG_ECC,
                     .nameAlg = TPM2_ALG_SHA256,
                     .objectAttributes = EK_ATTRIBUTES,
                     .authPolicy = {.size = SHA256_LEN, .buffer = EK_POLICY},
                     .parameters.eccDetail = {.symmetric = EK_SYMMETRIC,
                                              .scheme.scheme = TPM2_ALG_NULL,
                                              .curveID = TPM2_ECC_NIST_P256,
                                              .kdf.scheme = TPM2_ALG_NULL},
                     .unique.ecc = {.x.size = 32, .y.size = 32}}}},
    {0x01c00002,
     {.publicArea = {.type = TPM2_ALG_RSA,
                     .nameAlg = TPM2_ALG_SHA256,
                     .objectAttributes = EK_ATTRIBUTES,
                     .authPolicy = {.size = SHA256_LEN, .buffer = EK_POLICY},
                     .parameters.rsaDetail = {.symmetric = EK_SYMMETRIC,
                                              .scheme.scheme = TPM2_ALG_NULL,
                                              .keyBits = 2048},
                     .unique.rsa.size = 256}}},
};

/* ---- the certificate ---- */

static TSS2_RC
read_open_index(struct tpm2_link *link, ESYS_TR nv, struct buf *out)
{
    TPM2B_NV_PUBLIC *about = NULL;
    TSS2_RC rv = TPM2_CALL(link, Esys_NV_ReadPublic(link->esys, nv, ESYS_TR_NONE, ESYS_TR_NONE,
                                                    ESYS_TR_NONE, &about, NULL));
    size_t len = rv == TSS2_RC_SUCCESS ? about->nvPublic.dataSize : 0;
    Esys_Free(about);
    for (size_t at = 0; rv == TSS2_RC_SUCCESS && at < len && at < CERTIFICATE_MAX;) {
        TPM2B_MAX_NV_BUFFER *data = NULL;
        UINT16 want = (UINT16)(len - at < CHUNK ? len - at : CHUNK);
        rv = TPM2_CALL(link, Esys_NV_Read(link->esys, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                          ESYS_TR_NONE, want, (UINT16)at, &data));
        if (rv != TSS2_RC_SUCCESS)
            break;
        buf_append(out, data->buffer, data->size);
        at += data->size ? data->size : CERTIFICATE_MAX;
        Esys_Free(data);
    }
    return rv;
}

/* Empty when there is none. */
static enum attest_rc
read_index(struct tpm2_link *link, uint32_t index, struct buf *out, struct attest_error *err)
{
    ESYS_TR nv = ESYS_TR_NONE;
    TSS2_RC rv = TPM2_CALL(link, Esys_TR_FromTPMPublic(link->esys, index, ESYS_TR_NONE,
                                                       ESYS_TR_NONE, ESYS_TR_NONE, &nv));
    if (tpm2_rc_base(rv) == TPM2_RC_HANDLE)
        return ATTEST_OK;
    if (rv == TSS2_RC_SUCCESS) {
        rv = read_open_index(link, nv, out);
        (void)Esys_TR_Close(link->esys, &nv);
    }
    return rv == TSS2_RC_SUCCESS ? ATTEST_OK : tpm2_error(err, "EK certificate", rv);
}

static X509 *
parse(const struct buf *der, uint8_t digest[SHA256_LEN])
{
    const unsigned char *at = (const unsigned char *)der->p;
    X509 *certificate = d2i_X509(NULL, &at, (long)der->len);
    if (certificate) /* what stands behind it in the TPM's memory is padding */
        sha256(digest, der->p, (size_t)((const char *)at - der->p));
    ERR_clear_error();
    return certificate;
}

/* Self-signed ones are trusted, the others may stand between. */
static enum attest_rc
read_ca(const char *path, X509_STORE *roots, x509_stack *between, struct attest_error *err)
{
    unsigned n = 0;
    AUTO(buf) struct buf pem;
    buf_init(&pem, CA_MAX);
    enum attest_rc rc = file_read(path, CA_MAX, &pem, err);
    if (rc)
        return rc;
    AUTO(bio) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
    for (X509 *one; bio && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL));) {
        if (X509_self_signed(one, 0) == 1)
            n += X509_STORE_add_cert(roots, one) == 1;
        else if (sk_X509_push(between, one) > 0)
            continue; /* the stack's now */
        X509_free(one);
    }
    ERR_clear_error();
    return n ? ATTEST_OK
             : error_set(err, ATTEST_E_CONFIG, "ek_ca: %s: no self-signed certificate in PEM",
                         path);
}

static enum attest_rc
check_chain(X509 *certificate, const char *ca_path, struct attest_error *err)
{
    AUTO(store) X509_STORE *roots = X509_STORE_new();
    AUTO(stack) x509_stack *between = sk_X509_new_null();
    AUTO(verify) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (!roots || !between || !ctx)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    enum attest_rc rc = read_ca(ca_path, roots, between, err);
    if (rc)
        return rc;
    if (X509_STORE_CTX_init(ctx, roots, certificate, between) != 1)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    if (X509_verify_cert(ctx) != 1)
        rc = error_set(err, ATTEST_E_DENIED, "the TPM's EK certificate is not of ek_ca: %s",
                       X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    ERR_clear_error();
    return rc;
}

/* False too when what it says of purposes cannot be read. */
static bool
purpose_fits(X509 *certificate)
{
    int critical;
    AUTO(purposes)
    EXTENDED_KEY_USAGE *list = X509_get_ext_d2i(certificate, NID_ext_key_usage, &critical, NULL);
    AUTO(object) ASN1_OBJECT *wanted = OBJ_txt2obj(EK_PURPOSE, 1);
    if (!list)
        return critical == -1; /* it says nothing */
    for (int i = 0; wanted && i < sk_ASN1_OBJECT_num(list); i++) {
        const ASN1_OBJECT *one = sk_ASN1_OBJECT_value(list, i);
        if (!OBJ_cmp(one, wanted) || OBJ_obj2nid(one) == NID_anyExtendedKeyUsage)
            return true;
    }
    return false;
}

/*
 * Makers certify more than endorsement keys, and another key may be in software. What the profile
 * wants in the certificate older ones leave out, so only what is there and says otherwise is held
 * against it.
 */
static enum attest_rc
check_use(X509 *certificate, bool rsa, struct attest_error *err)
{
    const char *what = NULL;
    uint32_t needed = rsa ? KU_KEY_ENCIPHERMENT : KU_KEY_AGREEMENT;
    if (X509_get_extension_flags(certificate) & EXFLAG_CA)
        what = "it is a CA's";
    else if (!(X509_get_key_usage(certificate) & needed))
        what = rsa ? "its key usage has no keyEncipherment" : "its key usage has no keyAgreement";
    else if (!purpose_fits(certificate))
        what = "its extended key usage has no tcg-kp-EKCertificate";
    ERR_clear_error();
    return what ? error_set(err, ATTEST_E_DENIED,
                            "the TPM's EK certificate is not for an endorsement key: %s", what)
                : ATTEST_OK;
}

/* ---- the key ---- */

static bool
same_rsa(EVP_PKEY *key, const TPMT_PUBLIC *area)
{
    BIGNUM *n = NULL, *e = NULL;
    uint8_t modulus[256];
    uint32_t exponent = area->parameters.rsaDetail.exponent;
    bool same = EVP_PKEY_is_a(key, "RSA") && area->unique.rsa.size == sizeof(modulus) &&
                EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
                EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
                BN_bn2binpad(n, modulus, sizeof(modulus)) == sizeof(modulus) &&
                BN_is_word(e, exponent ? exponent : 65537) &&
                !memcmp(modulus, area->unique.rsa.buffer, sizeof(modulus));
    BN_free(n);
    BN_free(e);
    return same;
}

static bool
same_ecc(EVP_PKEY *key, const TPMT_PUBLIC *area)
{
    uint8_t point[65];
    char group[32];
    size_t len = 0;
    return EVP_PKEY_is_a(key, "EC") && area->unique.ecc.x.size == 32 &&
           area->unique.ecc.y.size == 32 &&
           EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
           !strcmp(group, "prime256v1") &&
           EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point,
                                           sizeof(point), &len) == 1 &&
           len == sizeof(point) && point[0] == 4 &&
           !memcmp(point + 1, area->unique.ecc.x.buffer, 32) &&
           !memcmp(point + 33, area->unique.ecc.y.buffer, 32);
}

/* Flushed by whoever calls. */
static enum attest_rc
make_key(struct tpm2_link *link, const TPM2B_PUBLIC *template, X509 *certificate, ESYS_TR *ek,
         struct attest_error *err)
{
    const TPM2B_SENSITIVE_CREATE sensitive = {0};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PUBLIC *made = NULL;
    TSS2_RC rv =
        TPM2_CALL(link, Esys_CreatePrimary(link->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD,
                                           ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, template,
                                           &outside, &pcrs, ek, &made, NULL, NULL, NULL));
    if (rv != TSS2_RC_SUCCESS)
        return tpm2_error(err, "TPM2_CreatePrimary (endorsement hierarchy)", rv);
    tpm2_link_keep(link, *ek);
    AUTO(pkey) EVP_PKEY *key = X509_get_pubkey(certificate);
    bool rsa = template->publicArea.type == TPM2_ALG_RSA;
    bool same = key && made->publicArea.type == template->publicArea.type &&
                (rsa ? same_rsa(key, &made->publicArea) : same_ecc(key, &made->publicArea));
    Esys_Free(made);
    ERR_clear_error();
    return same ? ATTEST_OK
                : error_set(err, ATTEST_E_DENIED,
                            "the TPM's EK certificate is for another key than the TPM's: "
                            "something stands between, or it was put there by someone else");
}

enum attest_rc
tpm2_ek_session(struct tpm2_link *link, const char *ca_path, ESYS_TR *session,
                uint8_t certificate_sha256[SHA256_LEN], struct attest_error *err)
{
    AUTO(buf) struct buf der;
    buf_init(&der, CERTIFICATE_MAX);
    size_t kind = 0;
    enum attest_rc rc = ATTEST_OK;
    *session = ESYS_TR_NONE;
    while (!(rc = read_index(link, kinds[kind].index, &der, err)) && !der.len &&
           ++kind < ARRAY_LEN(kinds))
        ;
    if (rc)
        return rc;
    if (!der.len)
        return ca_path ? error_set(err, ATTEST_E_DENIED,
                                   "ek_ca: the TPM has no EK certificate "
                                   "for RSA 2048 or P-256")
                       : ATTEST_OK;
    AUTO(x509) X509 *certificate = parse(&der, certificate_sha256);
    if (!certificate)
        return error_set(err, ATTEST_E_DENIED, "the TPM's EK certificate cannot be read");
    const bool rsa = kinds[kind].template.publicArea.type == TPM2_ALG_RSA;
    if (ca_path &&
        ((rc = check_chain(certificate, ca_path, err)) || (rc = check_use(certificate, rsa, err))))
        return rc;
    ESYS_TR ek = ESYS_TR_NONE;
    rc = make_key(link, &kinds[kind].template, certificate, &ek, err);
    if (!rc) {
        TSS2_RC rv = tpm2_link_session_to(link, ek, TPM2_SE_HMAC, session);
        if (rv != TSS2_RC_SUCCESS)
            rc = tpm2_error(err, "TPM2_StartAuthSession (EK)", rv);
    }
    tpm2_link_drop(link, &ek);
    return rc;
}
