/* SPDX-License-Identifier: MIT */
#include "verify/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "token/subject.h"

#define ISSUERS_MAX 64

struct issuer_keys {
    char *issuer;
    struct keyset *set;
};

struct attest_keys {
    atomic_uint holders;
    size_t n;
    struct issuer_keys list[ISSUERS_MAX];
};

enum attest_rc
attest_keys_new(struct attest_keys **ret, struct attest_error *err)
{
    enum attest_rc rc = crypto_init(err);
    if (rc != ATTEST_OK)
        return rc;
    struct attest_keys *keys = calloc(1, sizeof(*keys));
    if (!keys)
        return error_set(err, ATTEST_E_NOMEM, "keys: out of memory");
    atomic_init(&keys->holders, 1);
    *ret = keys;
    return ATTEST_OK;
}

void
attest_keys_free(struct attest_keys *keys)
{
    if (!keys || atomic_fetch_sub(&keys->holders, 1) != 1)
        return;
    for (size_t i = 0; i < keys->n; i++) {
        free(keys->list[i].issuer);
        keyset_free(keys->list[i].set);
    }
    free(keys);
}

struct attest_keys *
keys_hold(struct attest_keys *keys)
{
    atomic_fetch_add(&keys->holders, 1);
    return keys;
}

static struct issuer_keys *
find(const struct attest_keys *keys, struct slice issuer)
{
    for (size_t i = 0; i < keys->n; i++) {
        if (slice_is(issuer, keys->list[i].issuer))
            return (struct issuer_keys *)&keys->list[i];
    }
    return NULL;
}

const struct keyset *
keys_of_issuer(const struct attest_keys *keys, struct slice issuer)
{
    const struct issuer_keys *entry = find(keys, issuer);
    return entry ? entry->set : NULL;
}

size_t
attest_keys_count(const struct attest_keys *keys, const char *issuer)
{
    const struct keyset *set = keys_of_issuer(keys, slice_cstr(issuer));
    return set ? keyset_count(set) : 0;
}

/* Puts the set in its place; on success it belongs to keys. */
static enum attest_rc
store(struct attest_keys *keys, const char *issuer, struct keyset *set, struct attest_error *err)
{
    struct issuer_keys *entry = find(keys, slice_cstr(issuer));
    if (entry) {
        keyset_free(entry->set);
        entry->set = set;
        return ATTEST_OK;
    }
    if (keys->n == ISSUERS_MAX)
        return error_set(err, ATTEST_E_LIMIT, "keys: at most %d issuers", ISSUERS_MAX);
    char *name = strdup(issuer);
    if (!name)
        return error_set(err, ATTEST_E_NOMEM, "keys: out of memory");
    keys->list[keys->n++] = (struct issuer_keys){name, set};
    return ATTEST_OK;
}

enum attest_rc
attest_keys_add_jwks(struct attest_keys *keys, const char *issuer, const char *jwks,
                     size_t jwks_len, struct attest_error *err)
{
    if (atomic_load(&keys->holders) != 1)
        return error_set(err, ATTEST_E_ARGUMENT, "keys: in use by a verifier");
    enum attest_rc rc = issuer_check(slice_cstr(issuer), true, err);
    if (rc != ATTEST_OK)
        return rc;
    AUTO(keyset) struct keyset *set = NULL;
    rc = keyset_read(jwks, jwks_len, &set, err);
    if (rc == ATTEST_OK)
        rc = store(keys, issuer, set, err);
    if (rc == ATTEST_OK)
        set = NULL;
    return rc;
}

static enum attest_rc
read_file(const char *path, char *text, size_t *len, struct attest_error *err)
{
    AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? ATTEST_E_NOT_FOUND : ATTEST_E_IO, errno, "%s",
                           path);
    for (;;) {
        ssize_t n = read(fd, text + *len, ATTEST_JWKS_MAX + 1 - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ATTEST_E_IO, errno, "%s", path);
        if (n == 0)
            return ATTEST_OK;
        *len += (size_t)n;
        if (*len > ATTEST_JWKS_MAX)
            return error_set(err, ATTEST_E_LIMIT, "%s: more than %d bytes", path, ATTEST_JWKS_MAX);
    }
}

enum attest_rc
attest_keys_add_file(struct attest_keys *keys, const char *issuer, const char *path,
                     struct attest_error *err)
{
    char *text AUTO(mem) = malloc(ATTEST_JWKS_MAX + 1);
    size_t len = 0;
    if (!text)
        return error_set(err, ATTEST_E_NOMEM, "keys: out of memory");
    enum attest_rc rc = read_file(path, text, &len, err);
    if (rc != ATTEST_OK)
        return rc;
    return attest_keys_add_jwks(keys, issuer, text, len, err);
}
