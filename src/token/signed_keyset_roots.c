/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "token/signed_keyset.h"

/* Root keys as JWK, inside a signed set and in the hands of who pins them. */

enum { VALUES_MAX = 1024 };

static const struct json_limits limits = {
    .text_max = SIGNED_KEYSET_TEXT_MAX, .string_max = 4096, .depth_max = 8, .members_max = 64};

enum attest_rc
signed_keyset_read_root(const struct json *j, const struct json_node *jwk,
                        struct signed_keyset_root *ret, struct attest_error *err)
{
    struct signed_keyset_root root = {.alg = JWK_ALG_NONE};
    struct attest_error why;
    if (jwk_read(j, jwk, &root.public_key, NULL, &why))
        return error_set(err, ATTEST_E_MALFORMED, "root key: %s", why.text);
    const struct json_node *alg = json_member(j, jwk, "alg");
    if (alg && (alg->type != JSON_STRING || !jwk_alg_from(alg->text, &root.alg) ||
                !jwk_alg_fits(root.alg, root.public_key.type)))
        return error_set(err, ATTEST_E_MALFORMED, "root key: JWK alg: not one for a %s key",
                         jwk_crv(root.public_key.type));
    *ret = root;
    return ATTEST_OK;
}

static enum attest_rc
read_list(const struct json *j, const struct json_node *keys, struct signed_keyset_root *roots,
          size_t n_max, size_t *n, struct attest_error *err)
{
    struct slice none;
    if (keys->count == 0)
        return error_set(err, ATTEST_E_MALFORMED, "root key: a key set without a key");
    if (keys->count > n_max)
        return error_set(err, ATTEST_E_LIMIT, "root key: %u keys, at most %zu", keys->count, n_max);
    for (const struct json_node *v = NULL; json_each(j, keys, &none, &v); ++*n) {
        enum attest_rc rc = signed_keyset_read_root(j, v, &roots[*n], err);
        if (rc)
            return rc;
    }
    return ATTEST_OK;
}

enum attest_rc
signed_keyset_read_roots(const char *text, size_t len, struct signed_keyset_root *roots,
                         size_t n_max, size_t *n, struct attest_error *err)
{
    static const char pem[] = "-----BEGIN ";
    struct attest_error why;
    if (len == 0)
        return error_set(err, ATTEST_E_MALFORMED, "root key: empty; a JWK is wanted");
    if (len >= sizeof(pem) - 1 && memcmp(text, pem, sizeof(pem) - 1) == 0)
        return error_set(err, ATTEST_E_MALFORMED, "root key: PEM; a JWK is wanted");
    if (len > SIGNED_KEYSET_TEXT_MAX)
        return error_set(err, ATTEST_E_LIMIT, "root key: %zu bytes, at most %d", len,
                         SIGNED_KEYSET_TEXT_MAX);
    AUTO(mem) char *copy = malloc(len + 1);
    AUTO(mem) struct json_node *nodes = calloc(VALUES_MAX, sizeof(*nodes));
    if (!copy || !nodes)
        return error_set(err, ATTEST_E_NOMEM, "root key: out of memory");
    memcpy(copy, text, len);
    struct json json = {nodes, VALUES_MAX, 0};
    if (json_read(&json, copy, len, &limits, &why))
        return error_set(err, ATTEST_E_MALFORMED, "root key: %s", why.text);
    const struct json_node *keys = json_member(&json, json_root(&json), "keys");
    *n = 0;
    if (keys && keys->type == JSON_ARRAY)
        return read_list(&json, keys, roots, n_max, n, err);
    enum attest_rc rc = n_max ? signed_keyset_read_root(&json, json_root(&json), roots, err)
                              : error_set(err, ATTEST_E_LIMIT, "root key: one too many");
    *n = rc == ATTEST_OK;
    return rc;
}
