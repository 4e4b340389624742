/* SPDX-License-Identifier: MIT */
#include "tests/bench/contest.h"

/* In a file of its own: it and rhonabwy both have a jwt_t. */
#ifdef HAVE_LIBJWT
#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

/* libjwt takes keys as PEM text. */
static void *
libjwt_open(const struct contest *c)
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, c->public_key, ED25519_PUBLIC_LEN);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    char *pem = NULL;
    if (key && bio && PEM_write_bio_PUBKEY(bio, key) == 1) {
        long len = BIO_get_mem_data(bio, &text);
        pem = slice_dup((struct slice){text, (size_t)len});
    }
    BIO_free(bio);
    EVP_PKEY_free(key);
    return pem;
}

static bool
libjwt_verify(void *state, const struct contest *c, size_t i)
{
    jwt_t *jwt = NULL;
    bool good =
        jwt_decode(&jwt, c->token[i], state, (int)slice_cstr(state).len) == 0 && jwt != NULL;
    jwt_free(jwt);
    return good;
}

const struct contestant contestant_libjwt = {
    .name = "libjwt",
    .may_lack = true,
    .does = "parsing and the signature",
    .open = libjwt_open,
    .verify = libjwt_verify,
    .close = free,
};
#else
const struct contestant contestant_libjwt = {.name = "libjwt", .absent = true};
#endif
