/* SPDX-License-Identifier: MIT */
#include "jwks/keyset.h"

#include <string.h>

#include "base/jsondoc.h"

#define DEPTH_MAX 16

struct keyset {
    struct jwk *keys; /* ordered by kid */
    size_t n;
    char *kids; /* their bytes */
};

/* What a document says of itself before anything is copied: slices borrow from jansson's strings.
 */
struct draft {
    struct slice *kids; /* of all keys, whoever may use them */
    size_t n_kids;
    struct jwk *keys; /* the usable ones */
    size_t n_keys;
};

static void
draft_auto(struct draft *d)
{
    free(d->kids);
    free(d->keys);
}

static struct slice
string_of(const json_t *v)
{
    return (struct slice){json_string_value(v), json_string_length(v)};
}

static int
compare_slices(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return memcmp(a.p, b.p, a.len);
}

static int
compare_kids(const void *a, const void *b)
{
    return compare_slices(*(const struct slice *)a, *(const struct slice *)b);
}

static int
compare_keys(const void *a, const void *b)
{
    return compare_slices(((const struct jwk *)a)->kid, ((const struct jwk *)b)->kid);
}

static bool
member_is(const json_t *key, const char *name, const char *value)
{
    const json_t *v = json_object_get(key, name);
    return json_is_string(v) && slice_is(string_of(v), value);
}

/* key_ops is an array of strings (RFC 7517 section 4.3); absent is no objection. */
static bool
may_verify(const json_t *key)
{
    const json_t *ops = json_object_get(key, "key_ops"), *op;
    size_t i;
    json_array_foreach((json_t *)ops, i, op)
    {
        if (json_is_string(op) && slice_is(string_of(op), "verify"))
            return true;
    }
    return !ops;
}

/* The empty slice for what is no string, or not there. */
static struct slice
text_of(const json_t *v)
{
    return json_is_string(v) ? string_of(v) : (struct slice){"", 0};
}

/* Whether the key is of our kind and for our purpose; if not, it is somebody else's affair. */
static bool
is_ours(const json_t *key, struct jwk *jwk)
{
    const json_t *alg = json_object_get(key, "alg");
    jwk->alg = JWK_ALG_NONE;
    if (!jwk_type_from(text_of(json_object_get(key, "kty")), text_of(json_object_get(key, "crv")),
                       &jwk->public_key.type))
        return false;
    if (json_object_get(key, "use") && !member_is(key, "use", "sig"))
        return false;
    if (alg &&
        (!jwk_alg_from(text_of(alg), &jwk->alg) || !jwk_alg_fits(jwk->alg, jwk->public_key.type)))
        return false;
    return may_verify(key) && json_object_get(key, "kid");
}

static bool
read_point(const json_t *key, struct pubkey *ret)
{
    return !jwk_decode(ret, ret->type, text_of(json_object_get(key, "x")),
                       text_of(json_object_get(key, "y"))) &&
           pubkey_ok(ret);
}

/* Appends what key i says to the draft, which has room for it. */
static enum attest_rc
draft_key(struct draft *d, const json_t *key, size_t i, struct attest_error *err)
{
    const json_t *kid = json_object_get(key, "kid");
    if (!json_is_object(key))
        return error_set(err, ATTEST_E_MALFORMED, "key set: key %zu is no object", i);
    if (json_object_get(key, "d"))
        return error_set(err, ATTEST_E_MALFORMED, "key set: key %zu shows its private part", i);
    if (kid && !json_is_string(kid))
        return error_set(err, ATTEST_E_MALFORMED, "key set: key %zu has a kid that is no string",
                         i);
    if (kid)
        d->kids[d->n_kids++] = string_of(kid);

    struct jwk *jwk = &d->keys[d->n_keys];
    if (!is_ours(key, jwk))
        return ATTEST_OK;
    jwk->kid = string_of(kid);
    if (jwk->kid.len == 0 || jwk->kid.len > JWK_KID_MAX)
        return error_set(err, ATTEST_E_MALFORMED,
                         "key set: the kid of key %zu is not 1 to %d bytes", i, JWK_KID_MAX);
    if (!read_point(key, &jwk->public_key))
        return error_set(err, ATTEST_E_MALFORMED,
                         "key set: x of key %zu is no %s public key in base64url", i,
                         jwk_crv(jwk->public_key.type));
    d->n_keys++;
    return ATTEST_OK;
}

static enum attest_rc
draft_keys(struct draft *d, const json_t *keys, struct attest_error *err)
{
    size_t n = json_array_size(keys);
    d->kids = calloc(n + 1, sizeof(*d->kids));
    d->keys = calloc(n + 1, sizeof(*d->keys));
    if (!d->kids || !d->keys)
        return error_set(err, ATTEST_E_NOMEM, "key set: out of memory");
    for (size_t i = 0; i < n; i++) {
        enum attest_rc rc = draft_key(d, json_array_get(keys, i), i, err);
        if (rc)
            return rc;
    }
    qsort(d->kids, d->n_kids, sizeof(*d->kids), compare_kids);
    for (size_t i = 1; i < d->n_kids; i++) {
        if (slice_eq(d->kids[i - 1], d->kids[i]))
            return error_set(err, ATTEST_E_MALFORMED, "key set: one kid is there twice");
    }
    return ATTEST_OK;
}

/* Copies the draft's usable keys, so that nothing borrows from jansson any more. */
static struct keyset *
keyset_from(const struct draft *d)
{
    AUTO(keyset) struct keyset *set = calloc(1, sizeof(*set));
    size_t len = 0;
    for (size_t i = 0; i < d->n_keys; i++)
        len += d->keys[i].kid.len;
    if (!set)
        return NULL;
    set->keys = malloc((d->n_keys + 1) * sizeof(*set->keys));
    set->kids = malloc(len + 1);
    if (!set->keys || !set->kids)
        return NULL;
    char *at = set->kids;
    for (size_t i = 0; i < d->n_keys; i++) {
        set->keys[i] = d->keys[i];
        memcpy(at, d->keys[i].kid.p, d->keys[i].kid.len);
        set->keys[i].kid.p = at;
        at += d->keys[i].kid.len;
    }
    set->n = d->n_keys;
    qsort(set->keys, set->n, sizeof(*set->keys), compare_keys);
    return STEAL(set);
}

enum attest_rc
keyset_read_member(const char *text, size_t len, const char *member, struct keyset **ret,
                   struct attest_error *err)
{
    struct attest_error why = {.rc = ATTEST_E_MALFORMED};
    AUTO(json_t) json_t *doc = jsondoc_read(text, len, KEYSET_TEXT_MAX, DEPTH_MAX, &why);
    if (!doc)
        return error_set(err, why.rc, "key set: %s", why.text);
    const json_t *keys = json_object_get(doc, member);
    if (!json_is_array(keys))
        return error_set(err, ATTEST_E_MALFORMED, "key set: no array '%s'", member);
    AUTO(draft) struct draft draft = {NULL};
    enum attest_rc rc = draft_keys(&draft, keys, err);
    if (rc)
        return rc;
    struct keyset *set = keyset_from(&draft);
    if (!set)
        return error_set(err, ATTEST_E_NOMEM, "key set: out of memory");
    *ret = set;
    return ATTEST_OK;
}

enum attest_rc
keyset_read(const char *text, size_t len, struct keyset **ret, struct attest_error *err)
{
    AUTO(keyset) struct keyset *set = NULL;
    enum attest_rc rc = keyset_read_member(text, len, "keys", &set, err);
    if (rc)
        return rc;
    if (set->n == 0)
        return error_set(err, ATTEST_E_NOT_FOUND,
                         "key set: no Ed25519 signature key in it, and no P-256 one");
    *ret = STEAL(set);
    return ATTEST_OK;
}

void
keyset_free(struct keyset *set)
{
    if (!set)
        return;
    free(set->keys);
    free(set->kids);
    free(set);
}

const struct jwk *
keyset_find(const struct keyset *set, struct slice kid)
{
    struct jwk wanted = {.kid = kid};
    return bsearch(&wanted, set->keys, set->n, sizeof(*set->keys), compare_keys);
}

size_t
keyset_count(const struct keyset *set)
{
    return set->n;
}

const struct jwk *
keyset_at(const struct keyset *set, size_t i)
{
    return &set->keys[i];
}
