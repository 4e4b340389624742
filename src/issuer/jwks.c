/* SPDX-License-Identifier: MIT */
#include "issuer/jwks.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "issuer/document.h"
#include "issuer/issuer.h"
#include "token/signed_keyset.h"

enum { MAX_AGE_CEILING_S = 86400 };

/* What is served, in the order of their writing. */
enum { DOCUMENT_JWKS, DOCUMENT_SIGNED, DOCUMENTS };

struct jwks {
    pthread_rwlock_t lock;
    struct jwks_status status;
    struct document documents[DOCUMENTS];
    int64_t signed_exp_s;
    bool signed_withdrawn; /* the signer has none any more; the last one serves until its end */
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
    for (size_t i = 0; i < DOCUMENTS; i++)
        document_done(&jwks->documents[i]);
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
read_rollover(const struct json *json, const struct json_node *keyset, struct jwks_rollover *to)
{
    const struct json_node *from = json_member(json, keyset, "rollover");
    *to = (struct jwks_rollover){.known = from && from->type == JSON_OBJECT};
    if (!to->known)
        return;
    copy_member(to->loop, sizeof(to->loop), json, from, "loop");
    copy_member(to->why, sizeof(to->why), json, from, "why");
    copy_member(to->next_action, sizeof(to->next_action), json, from, "next_action");
    (void)frame_int64(json, from, "next_at", &to->next_at_s);
    (void)frame_int64(json, from, "due", &to->due_s);
    (void)frame_int64(json, from, "overdue", &to->overdue_s);
}

/* What a snapshot makes of the documents; one without response stays as it is. */
struct next {
    struct document documents[DOCUMENTS];
    int64_t signed_exp_s;
};

static void
next_auto(struct next *next)
{
    for (size_t i = 0; i < DOCUMENTS; i++)
        document_done(&next->documents[i]);
}

/*
 * The signer makes the next one when half of the lifetime is over: what a cache has kept for the
 * other half at most is never beyond its end.
 */
static enum attest_rc
make_signed(struct next *next, struct slice text, int64_t max_age_s, struct attest_error *err)
{
    int64_t iat_s;
    struct attest_error why;
    if (signed_keyset_peek(text.p, text.len, &iat_s, &next->signed_exp_s, &why))
        return error_set(err, ATTEST_E_MALFORMED, "keyset: signed: %s", why.text);
    int64_t half_s = (next->signed_exp_s - iat_s) / 2;
    return document_make(&next->documents[DOCUMENT_SIGNED], text, "application/jwk-set+jwt",
                         max_age_s < half_s ? max_age_s : half_s, next->signed_exp_s, err);
}

static enum attest_rc
make_documents(struct next *next, const struct json *json, const struct json_node *keyset,
               struct attest_error *err)
{
    int64_t max_age_s;
    struct slice text;
    if (!frame_string(json, keyset, "jwks", &text) || text.len < 2 || text.p[0] != '{' ||
        text.p[text.len - 1] != '}')
        return error_set(err, ATTEST_E_MALFORMED, "keyset: jwks: missing or no object");
    if (!frame_int64(json, keyset, "max_age_s", &max_age_s) || max_age_s < 0 ||
        max_age_s > MAX_AGE_CEILING_S)
        return error_set(err, ATTEST_E_MALFORMED, "keyset: max_age_s: missing or out of range");
    enum attest_rc rc = document_make(&next->documents[DOCUMENT_JWKS], text, "application/json",
                                      max_age_s, INT64_MAX, err);
    struct attest_error why = {0};
    if (rc || !json_member(json, keyset, "signed"))
        return rc;
    /* What is wrong with the signed set is no reason to serve a plain one that is out of date. */
    if (!frame_string(json, keyset, "signed", &text) || make_signed(next, text, max_age_s, &why))
        log_event(LOG_LEVEL_ERROR, "signed_keyset_refused", "why=%s",
                  LOG_QUOTED(slice_cstr(why.rc ? why.text : "no string")));
    return ATTEST_OK;
}

/* Leaves the old ones in next, to be freed without the lock; who still sends one holds it. */
static void
swap_documents(struct jwks *jwks, struct next *next)
{
    pthread_rwlock_wrlock(&jwks->lock);
    jwks->signed_withdrawn = !next->documents[DOCUMENT_SIGNED].response;
    for (size_t i = 0; i < DOCUMENTS; i++) {
        struct document old = jwks->documents[i];
        if (!next->documents[i].response)
            continue;
        jwks->documents[i] = next->documents[i];
        next->documents[i] = old;
    }
    if (!jwks->signed_withdrawn)
        jwks->signed_exp_s = next->signed_exp_s;
    pthread_rwlock_unlock(&jwks->lock);
}

/* The signer writes its key set in one form (jwks/keyset.h). */
static bool
says_es256(const struct json *json, const struct json_node *keyset)
{
    static const char member[] = "\"alg\":\"ES256\"";
    struct slice text;
    return frame_string(json, keyset, "jwks", &text) &&
           memmem(text.p, text.len, member, sizeof(member) - 1);
}

bool
jwks_es256(struct jwks *jwks)
{
    pthread_rwlock_rdlock(&jwks->lock);
    bool es256 = jwks->status.es256;
    pthread_rwlock_unlock(&jwks->lock);
    return es256;
}

enum attest_rc
jwks_update(struct jwks *jwks, const struct json *json, const struct json_node *keyset,
            struct attest_error *err)
{
    AUTO(next) struct next next = {0};
    enum attest_rc rc = make_documents(&next, json, keyset, err);
    if (rc)
        return rc;
    struct jwks_status status = {.link_up = true, .have = true, .updated_ms = clock_mono_ms()};
    const struct json_node *ready = json_member(json, keyset, "ready");
    status.ready = ready && ready->type == JSON_TRUE;
    const struct json_node *evidence = json_member(json, keyset, "evidence");
    status.evidence = evidence && evidence->type == JSON_TRUE;
    status.es256 = says_es256(json, keyset);
    status.signed_exp_s = next.signed_exp_s;
    copy_member(status.keystore, sizeof(status.keystore), json, keyset, "keystore");
    copy_member(status.why, sizeof(status.why), json, keyset, "why");
    read_keys(json, keyset, &status);
    read_rollover(json, keyset, &status.rollover);
    swap_documents(jwks, &next);
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

enum MHD_Result
jwks_get(struct exchange *x)
{
    struct jwks *jwks = x->issuer->jwks;
    pthread_rwlock_rdlock(&jwks->lock);
    const struct document *document = &jwks->documents[DOCUMENT_JWKS];
    bool have = document->response != NULL;
    enum MHD_Result ret = have ? document_answer(document, x, clock_wall_s()) : MHD_NO;
    pthread_rwlock_unlock(&jwks->lock);
    return have ? ret
                : http_problem(x, 503, "attest-signer has not sent a key set yet", NULL,
                               "Retry-After", "1");
}

static bool
has_root(const struct jwks_status *status)
{
    for (size_t i = 0; i < status->n_keys; i++) {
        const struct jwks_key *key = &status->keys[i];
        if (strcmp(key->purpose, "root") == 0 && strcmp(key->state, "active") == 0)
            return true;
    }
    return false;
}

/* An expired one, too, while the signer is away: it says better than 404 what is wrong. */
enum MHD_Result
jwks_get_signed(struct exchange *x)
{
    struct jwks *jwks = x->issuer->jwks;
    int64_t now_s = clock_wall_s();
    pthread_rwlock_rdlock(&jwks->lock);
    const struct document *document = &jwks->documents[DOCUMENT_SIGNED];
    bool rootless = jwks->status.have && !has_root(&jwks->status);
    bool have = document->response && !(jwks->signed_withdrawn && now_s >= jwks->signed_exp_s);
    enum MHD_Result ret = have ? document_answer(document, x, now_s) : MHD_NO;
    pthread_rwlock_unlock(&jwks->lock);
    if (have)
        return ret;
    if (!rootless)
        return http_problem(x, 503, "attest-signer has not sent a signed key set yet", NULL,
                            "Retry-After", "1");
    return http_problem(x, 404,
                        "no signed key set: the issuer has no root key; attestctl key generate "
                        "--purpose root makes one",
                        NULL, NULL, NULL);
}
