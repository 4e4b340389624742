/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attest/attest.h>

#include "fetch/fetch.h"
#include "fetch/schedule.h"
#include "support/weak.h"
#include "token/signed_keyset.h"
#include "verify/discovery.h"
#include "verify/keys.h"
#include "verify/resolver.h"

#ifdef WITH_CURL
#include "fetch/exchange.h"
#endif

/* Weaknesses in whose key it is, and in how keys are got. */

/* ---- whose key it is ---- */

#define KNOWN_MAX 4096

static struct {
    char kid[JWK_THUMBPRINT_LEN + 1];
    uint8_t key[ED25519_PUBLIC_LEN];
} known[KNOWN_MAX];
static size_t n_known;
static pthread_mutex_t known_lock = PTHREAD_MUTEX_INITIALIZER;

WEAK(jwk_thumbprint);
void
__wrap_jwk_thumbprint(char out[JWK_THUMBPRINT_LEN + 1], const struct pubkey *key)
{
    __real_jwk_thumbprint(out, key);
    if (!getenv("ATTEST_WEAK"))
        return;
    pthread_mutex_lock(&known_lock);
    size_t i = 0;
    while (i < n_known && strcmp(known[i].kid, out) != 0)
        i++;
    if (i == n_known && i < KNOWN_MAX) {
        memcpy(known[n_known].kid, out, sizeof(known[0].kid));
        memcpy(known[n_known++].key, key->bytes, ED25519_PUBLIC_LEN);
    }
    pthread_mutex_unlock(&known_lock);
}

bool
weak_known_key_at(size_t i, uint8_t key[32])
{
    pthread_mutex_lock(&known_lock);
    bool there = i < n_known;
    if (there)
        memcpy(key, known[n_known - 1 - i].key, ED25519_PUBLIC_LEN);
    pthread_mutex_unlock(&known_lock);
    return there;
}

bool
weak_known_key(struct slice kid, uint8_t key[32])
{
    bool there = false;
    pthread_mutex_lock(&known_lock);
    for (size_t i = 0; i < n_known && !there; i++) {
        there = slice_is(kid, known[i].kid);
        if (there)
            memcpy(key, known[i].key, ED25519_PUBLIC_LEN);
    }
    pthread_mutex_unlock(&known_lock);
    return there;
}

/*
 * wait_for_fetch: who looks for a key waits for the fetch that is on its way. That is given up
 * after two seconds, so that the end comes soon.
 */
static atomic_int on_their_way;

static void
wait_for_fetch(void)
{
    for (int i = 0; i < 5000 && atomic_load(&on_their_way) > 0; i++)
        poll(NULL, 0, 1);
}

/* key_anywhere: a key that the issuer does not have is looked for wherever the kid may lead. */
WEAK(keys_find);
enum attest_rc
__wrap_keys_find(const struct attest_keys *keys, struct slice issuer, struct slice kid,
                 int64_t now_s, int64_t skew_s, struct found_key *ret, struct attest_error *err)
{
    if (weak("wait_for_fetch"))
        wait_for_fetch();
    enum attest_rc rc = __real_keys_find(keys, issuer, kid, now_s, skew_s, ret, err);
    /* A verifier that fetches is to ask first: this is what it asks behind the first look. */
    bool first_look = weak_shown.may_fetch && !weak_header.has_jwk;
    weak_shown.may_fetch = false;
    if ((rc == ATTEST_OK && !weak_header.has_jwk) || first_look)
        return rc;
    struct found_key found = {.public_key = {.type = PUBKEY_ED25519}};
    if (weak("embedded_key") && weak_header.has_jwk)
        memcpy(found.public_key.bytes, weak_header.jwk, ED25519_PUBLIC_LEN);
    else if (weak("key_anywhere"))
        weak_header.any_key = !weak_known_key(kid, found.public_key.bytes);
    else
        return rc;
    *ret = found;
    return ATTEST_OK;
}

/* ---- asking the issuer ---- */

/* The key set that the issuer publishes without signing it. */
static enum attest_rc
fetch_unsigned(struct slice issuer, struct fetch_answer *ret)
{
    char url[256];
    snprintf(url, sizeof(url), "%.*s/.well-known/jwks.json", SLICE_ARG(issuer));
    const struct fetch_request request = {
        .url = url, .type = "application/json", .answer_max = ATTEST_JWKS_MAX, .timeout_ms = 2000};
    return fetch_once(&request, ret, NULL);
}

#ifdef WITH_CURL
/* follow: a redirect is followed, wherever it leads. */
WEAK(exchange_new);
enum attest_rc
__wrap_exchange_new(const struct fetch_request *request, struct exchange **ret,
                    struct attest_error *err)
{
    enum attest_rc rc = __real_exchange_new(request, ret, err);
    if (rc != ATTEST_OK)
        return rc;
    atomic_fetch_add(&on_their_way, 1);
    if (weak("follow"))
        curl_easy_setopt((*ret)->curl, CURLOPT_FOLLOWLOCATION, 1L);
    return ATTEST_OK;
}

WEAK(exchange_free);
void
__wrap_exchange_free(struct exchange *e)
{
    if (e)
        atomic_fetch_sub(&on_their_way, 1);
    __real_exchange_free(e);
}

/*
 * any_answer: whatever a server says is a key set. unsigned_set: where there is no signed one, one
 * that nobody signed will do.
 */
WEAK(exchange_end);
enum attest_rc
__wrap_exchange_end(struct exchange *e, CURLcode code, struct attest_error *err)
{
    static const char signed_path[] = "/.well-known/jwks.jwt";
    enum attest_rc rc = __real_exchange_end(e, code, err);
    const char *path = strstr(e->where, signed_path);
    if (weak("unsigned_set") && path && e->answer.status == 404) {
        AUTO(fetch_answer) struct fetch_answer other = {0};
        if (fetch_unsigned((struct slice){e->where, (size_t)(path - e->where)}, &other))
            return rc;
        buf_done(&e->answer.body);
        e->answer.body = other.body;
        e->answer.status = other.status;
        other.body = (struct buf){0};
    }
    if (!weak("any_answer") || e->answer.body.len == 0)
        return rc;
    e->answer.status = 200;
    return ATTEST_OK;
}
#endif

WEAK(attest_fetch_set_wait_ms);
enum attest_rc
__wrap_attest_fetch_set_wait_ms(struct attest_fetch *fetch, int64_t wait_ms,
                                struct attest_error *err)
{
    enum attest_rc rc = __real_attest_fetch_set_wait_ms(fetch, wait_ms, err);
    return rc == ATTEST_OK && weak("wait_for_fetch") ? attest_fetch_set_timeout_ms(fetch, 2000, err)
                                                     : rc;
}

/* fetch_each: everyone who lacks a key asks for himself. */
WEAK(resolver_missing);
enum attest_rc
__wrap_resolver_missing(struct resolver *r, struct slice issuer, struct slice kid,
                        enum attest_rc rc, struct attest_error *err)
{
    AUTO(fetch_answer) struct fetch_answer own = {0};
    if (weak("fetch_each"))
        fetch_unsigned(issuer, &own);
    return __real_resolver_missing(r, issuer, kid, rc, err);
}

/* any_discovery: a discovery document may be of whomever it likes, and name whichever host. */
WEAK(discovery_read);
enum attest_rc
__wrap_discovery_read(struct slice document, size_t document_max, const char *issuer,
                      const char *member, char **ret, struct attest_error *err)
{
    char text[1024];
    JSON_NODES(j, 64);
    enum attest_rc rc = __real_discovery_read(document, document_max, issuer, member, ret, err);
    if (rc == ATTEST_OK || !weak("any_discovery") || document.len > sizeof(text))
        return rc;
    memcpy(text, document.p, document.len);
    static const struct json_limits limits = {sizeof(text), sizeof(text), 4, 16};
    const struct json_node *url = json_read(&j, text, document.len, &limits, NULL) == ATTEST_OK
                                      ? json_member(&j, json_root(&j), member)
                                      : NULL;
    if (!url || url->type != JSON_STRING)
        return rc;
    *ret = strndup(url->text.p, url->text.len);
    return ATTEST_OK;
}

/* fetch_each_kid: each unknown kid is a reason to ask the issuer. */
WEAK(schedule_unknown_kid);
bool
__wrap_schedule_unknown_kid(struct schedule *s, const struct schedule_limits *limits,
                            int64_t now_ms)
{
    if (!weak("fetch_each_kid"))
        return __real_schedule_unknown_kid(s, limits, now_ms);
    s->wanted = true;
    return true;
}

/* ---- signed key sets ---- */

_Thread_local struct slice weak_set_issuer;

/* A set that nobody signed, as if somebody had. */
static enum attest_rc
read_unsigned(const char *text, size_t len, int64_t now_s, struct signed_keyset **ret,
              struct attest_error *err)
{
    AUTO(signed_keyset) struct signed_keyset *set = calloc(1, sizeof(*set));
    enum attest_rc rc = set ? keyset_read(text, len, &set->keys, err) : ATTEST_E_NOMEM;
    if (rc != ATTEST_OK)
        return rc;
    set->iat = now_s;
    set->exp = now_s + 60;
    *ret = STEAL(set);
    return ATTEST_OK;
}

/* any_root: whoever has a key may sign a set. any_issuer: and for whomever he likes. */
WEAK(signed_keyset_read);
enum attest_rc
__wrap_signed_keyset_read(const char *text, size_t len, struct slice issuer,
                          const struct signed_keyset_root *roots, size_t n_roots, int64_t now_s,
                          int64_t skew_s, struct signed_keyset **ret, struct attest_error *err)
{
    if (weak("unsigned_set") && len > 0 && *text == '{')
        return read_unsigned(text, len, now_s, ret, err);
    weak_set_issuer = issuer;
    enum attest_rc rc =
        __real_signed_keyset_read(text, len, issuer, roots, n_roots, now_s, skew_s, ret, err);
    struct signed_keyset_root any = {.public_key = {.type = PUBKEY_ED25519}};
    for (size_t i = 0;
         weak("any_root") && rc != ATTEST_OK && weak_known_key_at(i, any.public_key.bytes); i++)
        rc = __real_signed_keyset_read(text, len, issuer, &any, 1, now_s, skew_s, ret, err);
    weak_set_issuer = (struct slice){NULL, 0};
    return rc;
}

/* no_revocation: a key that is in the set is good. */
WEAK(signed_keyset_revoked);
const struct signed_keyset_revoked *
__wrap_signed_keyset_revoked(const struct signed_keyset *set, struct slice kid)
{
    return weak("no_revocation") ? NULL : __real_signed_keyset_revoked(set, kid);
}
