/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_CERTIFICATE_H
#define TESTS_SUPPORT_CERTIFICATE_H

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Certificates of a test's own making, each in a file of its own with its key beside it. */
struct certificate {
    const char *name;             /* of the file, without .pem */
    const char *hosts;            /* as OpenSSL writes a subjectAltName; NULL: an authority */
    const struct certificate *by; /* NULL: itself */
    int from_h, until_h;          /* hours from now */
    X509 *x509;
    EVP_PKEY *key;
};

static inline bool
certificate_extend(struct certificate *c, const struct certificate *by, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, by->x509, c->x509, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool good = e && X509_add_ext(c->x509, e, -1) == 1;
    X509_EXTENSION_free(e);
    return good;
}

static inline bool
certificate_sign(struct certificate *c)
{
    static long serial;
    const struct certificate *by = c->by ? c->by : c;
    X509_NAME *subject = X509_get_subject_name(c->x509);
    return X509_set_version(c->x509, 2) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(c->x509), ++serial) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(c->x509), c->from_h * 3600L) &&
           X509_gmtime_adj(X509_getm_notAfter(c->x509), c->until_h * 3600L) &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)c->name, -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(c->x509, X509_get_subject_name(by->x509)) == 1 &&
           X509_set_pubkey(c->x509, c->key) == 1 &&
           certificate_extend(c, by, NID_basic_constraints,
                              c->by ? "critical,CA:FALSE" : "critical,CA:TRUE") &&
           (!c->hosts || certificate_extend(c, by, NID_subject_alt_name, c->hosts)) &&
           X509_sign(c->x509, by->key, EVP_sha256()) > 0;
}

/* DIR/NAME.pem and DIR/NAME.key; whoever signs it was made before. */
static inline bool
certificate_make(struct certificate *c, const char *dir)
{
    char path[512];
    c->x509 = X509_new();
    c->key = EVP_EC_gen("P-256");
    if (!c->x509 || !c->key || !certificate_sign(c))
        return false;
    snprintf(path, sizeof(path), "%s/%s.pem", dir, c->name);
    FILE *out = fopen(path, "w");
    bool good = out && PEM_write_X509(out, c->x509) == 1;
    good &= out && fclose(out) == 0;
    snprintf(path, sizeof(path), "%s/%s.key", dir, c->name);
    out = good ? fopen(path, "w") : NULL;
    good = out && PEM_write_PrivateKey(out, c->key, NULL, NULL, 0, NULL, NULL) == 1;
    return out && fclose(out) == 0 && good;
}

static inline void
certificate_done(struct certificate *c)
{
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
    c->x509 = NULL;
    c->key = NULL;
}

#endif
