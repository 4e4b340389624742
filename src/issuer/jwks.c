/* SPDX-License-Identifier: MIT */
#include "issuer/jwks.h"

#include <pthread.h>
#include <string.h>

#include "base/b64u.h"
#include "base/clock.h"
#include "base/ed25519.h"
#include "issuer/issuer.h"

enum { MAX_AGE_CEILING_S = 86400, ETAG_BYTES = 18 };

struct jwks {
    pthread_rwlock_t lock;
    struct jwks_status status;
    struct MHD_Response *response; /* for 200, HEAD and 304; NULL before the first key set */
    char etag[ETAG_BYTES * 4 / 3 + 3];
    int64_t max_age_s;
};

struct jwks *
jwks_new(void)
{
    struct jwks *jwks = calloc(1, sizeof(*jwks));
    if (!jwks)
        return NULL;
    pthread_rwlock_init(&jwks->lock, NULL);
    snprintf(jwks->status.why, sizeof(jwks->status.why), "attest-signer has not answered yet");
    return jwks;
}

void
jwks_free(struct jwks *jwks)
{
    if (!jwks)
        return;
    if (jwks->response)
        MHD_destroy_response(jwks->response);
    pthread_rwlock_destroy(&jwks->lock);
    free(jwks);
}

/* Copies a member that is a short string; empty when it is not there. */
static void
copy_member(char *to, size_t size, const struct json *json, const struct json_node *object,
            const char *name)
{
    struct slice s;
    if (!frame_string(json, object, name, &s))
        s = (struct slice){"", 0};
    snprintf(to, size, "%.*s", SLICE_ARG(s));
    for (char *c = to; *c; c++) /* they become labels in the metrics */
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            *c = '_';
}

static void
read_keys(const struct json *json, const struct json_node *keyset, struct jwks_status *to)
{
    const struct json_node *keys = json_member(json, keyset, "keys");
    struct slice none;
    to->n_keys = 0;
    if (!keys || keys->type != JSON_ARRAY)
        return;
    for (const struct json_node *k = NULL; json_each(json, keys, &none, &k);) {
        if (to->n_keys == JWKS_KEYS_MAX)
            return;
        struct jwks_key *key = &to->keys[to->n_keys++];
        copy_member(key->kid, sizeof(key->kid), json, k, "kid");
        copy_member(key->purpose, sizeof(key->purpose), json, k, "purpose");
        copy_member(key->state, sizeof(key->state), json, k, "state");
        key->since_s = 0;
        if (!frame_int64(json, k, "active", &key->since_s) || key->since_s == 0)
            (void)frame_int64(json, k, "created", &key->since_s);
    }
}

static void
make_etag(struct jwks *to, struct slice text)
{
    uint8_t hash[SHA256_LEN];
    sha256(hash, text.p, text.len);
    to->etag[0] = '"';
    b64u_encode(to->etag + 1, hash, ETAG_BYTES);
    memcpy(to->etag + sizeof(to->etag) - 2, "\"", 2);
}

static enum attest_rc
make_response(struct jwks *next, struct slice text, struct attest_error *err)
{
    char cache[64];
    snprintf(cache, sizeof(cache), "public, max-age=%lld", (long long)next->max_age_s);
    make_etag(next, text);
    struct MHD_Response *r = http_response(text, "application/json", cache);
    if (r && MHD_add_response_header(r, "ETag", next->etag) == MHD_YES &&
        MHD_add_response_header(r, "Access-Control-Allow-Origin", "*") == MHD_YES) {
        next->response = r;
        return ATTEST_OK;
    }
    if (r)
        MHD_destroy_response(r);
    return error_set(err, ATTEST_E_NOMEM, "no memory for the key set");
}

/* Frees the old one only after the lock is given back; who still sends it holds it. */
static void
swap_response(struct jwks *jwks, const struct jwks *next)
{
    pthread_rwlock_wrlock(&jwks->lock);
    struct MHD_Response *old = jwks->response;
    jwks->response = next->response;
    jwks->max_age_s = next->max_age_s;
    memcpy(jwks->etag, next->etag, sizeof(jwks->etag));
    pthread_rwlock_unlock(&jwks->lock);
    if (old)
        MHD_destroy_response(old);
}

enum attest_rc
jwks_update(struct jwks *jwks, const struct json *json, const struct json_node *keyset,
            struct attest_error *err)
{
    struct jwks next = {0};
    struct slice text;
    if (!frame_string(json, keyset, "jwks", &text) || text.len < 2 || text.p[0] != '{' ||
        text.p[text.len - 1] != '}')
        return error_set(err, ATTEST_E_MALFORMED, "keyset: jwks: missing or no object");
    if (!frame_int64(json, keyset, "max_age_s", &next.max_age_s) || next.max_age_s < 0 ||
        next.max_age_s > MAX_AGE_CEILING_S)
        return error_set(err, ATTEST_E_MALFORMED, "keyset: max_age_s: missing or out of range");
    enum attest_rc rc = make_response(&next, text, err);
    if (rc)
        return rc;
    swap_response(jwks, &next);

    const struct json_node *ready = json_member(json, keyset, "ready");
    struct jwks_status status = {.link_up = true, .have = true, .updated_ms = clock_mono_ms()};
    status.ready = ready && ready->type == JSON_TRUE;
    copy_member(status.keystore, sizeof(status.keystore), json, keyset, "keystore");
    copy_member(status.why, sizeof(status.why), json, keyset, "why");
    read_keys(json, keyset, &status);
    pthread_rwlock_wrlock(&jwks->lock);
    jwks->status = status;
    pthread_rwlock_unlock(&jwks->lock);
    return ATTEST_OK;
}

void
jwks_link(struct jwks *jwks, bool up, const char *why)
{
    pthread_rwlock_wrlock(&jwks->lock);
    jwks->status.link_up = up;
    jwks->status.ready = false; /* until the snapshot that follows a connect */
    snprintf(jwks->status.why, sizeof(jwks->status.why), "attest-signer is away: %s",
             up ? "connected, its key set not yet here" : why);
    pthread_rwlock_unlock(&jwks->lock);
}

void
jwks_status(struct jwks *jwks, struct jwks_status *ret)
{
    pthread_rwlock_rdlock(&jwks->lock);
    *ret = jwks->status;
    pthread_rwlock_unlock(&jwks->lock);
}

bool
etag_listed(struct slice list, const char *etag)
{
    if (slice_is(list, "*"))
        return true;
    size_t etag_len = strlen(etag);
    for (size_t at = 0; at < list.len;) {
        if (strchr(" \t,", list.p[at])) {
            at++;
            continue;
        }
        if (list.len - at > 2 && memcmp(list.p + at, "W/", 2) == 0)
            at += 2; /* the comparison is the weak one */
        const char *quote =
            list.p[at] == '"' ? memchr(list.p + at + 1, '"', list.len - at - 1) : NULL;
        if (!quote)
            return false;
        size_t len = (size_t)(quote + 1 - (list.p + at));
        if (len == etag_len && memcmp(list.p + at, etag, len) == 0)
            return true;
        at += len;
    }
    return false;
}

enum MHD_Result
jwks_get(struct exchange *x)
{
    struct jwks *jwks = x->issuer->jwks;
    enum MHD_Result ret;
    pthread_rwlock_rdlock(&jwks->lock);
    if (!jwks->response) {
        pthread_rwlock_unlock(&jwks->lock);
        return http_problem(x, 503, "attest-signer has not sent a key set yet", NULL, "Retry-After",
                            "1");
    }
    bool unchanged = x->head.if_none_match.p && etag_listed(x->head.if_none_match, jwks->etag);
    ret = http_answer(x, unchanged ? 304 : 200, jwks->response); /* without a body for 304 */
    pthread_rwlock_unlock(&jwks->lock);
    return ret;
}
