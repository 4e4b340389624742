/* SPDX-License-Identifier: MIT */
#include "tests/bench/token_check.h"

#include <string.h>

#include "base/b64u.h"
#include "base/json.h"

static const struct json_limits limits = {
    .text_max = 65536, .string_max = 8192, .depth_max = 8, .members_max = 64};

static struct slice
string_member(const struct json *j, const struct json_node *object, const char *name)
{
    const struct json_node *node = json_member(j, object, name);
    return node && node->type == JSON_STRING ? node->text : (struct slice){NULL, 0};
}

enum attest_rc
token_check_keys(struct token_check *c, char *text, size_t len, struct attest_error *err)
{
    JSON_NODES(j, 512);
    enum attest_rc rc = json_read(&j, text, len, &limits, err);
    if (rc)
        return rc;
    const struct json_node *list = json_member(&j, json_root(&j), "keys");
    if (!list || list->type != JSON_ARRAY)
        return error_set(err, ATTEST_E_MALFORMED, "no `keys` in the key set");
    c->n = 0;
    struct slice name;
    for (const struct json_node *v = NULL; json_each(&j, list, &name, &v);) {
        struct slice kid = string_member(&j, v, "kid");
        struct pubkey *key = &c->keys[c->n].key;
        bool p256 = slice_is(string_member(&j, v, "crv"), "P-256");
        if ((!p256 && !slice_is(string_member(&j, v, "crv"), "Ed25519")) || kid.len == 0 ||
            kid.len >= sizeof(c->keys[0].kid) || c->n == TOKEN_CHECK_KEYS_MAX)
            continue;
        key->type = p256 ? PUBKEY_P256 : PUBKEY_ED25519;
        if (!b64u_decode_exact(key->bytes, PUBKEY_COORD_LEN, string_member(&j, v, "x")) ||
            (p256 && !b64u_decode_exact(key->bytes + PUBKEY_COORD_LEN, PUBKEY_COORD_LEN,
                                        string_member(&j, v, "y"))))
            return error_set(err, ATTEST_E_MALFORMED, "key %.*s: bad `x` or `y`", SLICE_ARG(kid));
        memcpy(c->keys[c->n].kid, kid.p, kid.len);
        c->keys[c->n].kid[kid.len] = '\0';
        c->n++;
    }
    return c->n ? ATTEST_OK
                : error_set(err, ATTEST_E_KEY_UNKNOWN,
                            "the key set holds no key that is known here");
}

static const struct pubkey *
find_key(const struct token_check *c, struct slice header, struct attest_error *err)
{
    char text[512];
    size_t len;
    JSON_NODES(j, 32);
    if (!b64u_decode(text, sizeof(text), &len, header) || json_read(&j, text, len, &limits, err))
        return NULL;
    struct slice kid = string_member(&j, json_root(&j), "kid");
    for (size_t i = 0; i < c->n; i++)
        if (slice_is(kid, c->keys[i].kid))
            return &c->keys[i].key;
    return NULL;
}

static enum attest_rc
check_token(const struct token_check *c, struct slice token, struct attest_error *err)
{
    const char *dot = token.len ? memchr(token.p, '.', token.len) : NULL;
    const char *last = token.len ? memrchr(token.p, '.', token.len) : NULL;
    uint8_t sig[ED25519_SIG_LEN];
    if (!dot || dot == last)
        return error_set(err, ATTEST_E_MALFORMED, "the answer holds no token");
    struct slice sig_text = {last + 1, token.len - (size_t)(last + 1 - token.p)};
    if (!b64u_decode_exact(sig, sizeof(sig), sig_text))
        return error_set(err, ATTEST_E_MALFORMED, "the token's signature is not 64 bytes");
    const struct pubkey *key = find_key(c, (struct slice){token.p, (size_t)(dot - token.p)}, err);
    if (!key)
        return error_set(err, ATTEST_E_KEY_UNKNOWN, "the token's key is not in the key set");
    if (!pubkey_verify(key, (struct slice){token.p, (size_t)(last - token.p)}, sig))
        return error_set(err, ATTEST_E_SIGNATURE, "the token's signature does not verify");
    return ATTEST_OK;
}

enum attest_rc
token_check_answer(const struct token_check *c, char *text, size_t len, struct attest_error *err)
{
    JSON_NODES(j, 64);
    enum attest_rc rc = json_read(&j, text, len, &limits, err);
    if (rc)
        return rc;
    return check_token(c, string_member(&j, json_root(&j), "token"), err);
}
