/* SPDX-License-Identifier: MIT */
#include "token/signed_keyset.h"

#include <stdlib.h>
#include <string.h>

#include "token/claims.h"
#include "token/jws.h"

/* Values and member names in a payload: what a document of full size, well made, does not reach. */
enum { VALUES_MAX = 8192 };

static const struct json_limits payload_limits = {.text_max = SIGNED_KEYSET_TEXT_MAX,
                                                  .string_max = JWS_NESTED_MAX,
                                                  .depth_max = JWS_DEPTH_MAX,
                                                  .members_max = JWS_MEMBERS_MAX};

_Static_assert(SIGNED_KEYSET_TEXT_MAX == 65536, "token_max of the profile's row");

static enum attest_rc
bad(struct attest_error *err, enum attest_rc rc, const char *why)
{
    return error_set(err, rc, "signed key set: %s", why);
}

/* ---- who signed it ---- */

static enum attest_rc
check_signature(const struct jws_envelope *envelope, const struct signed_keyset_root *roots,
                size_t n_roots, size_t *signed_by, struct attest_error *err)
{
    for (size_t i = 0; i < n_roots; i++) {
        char kid[JWK_THUMBPRINT_LEN + 1];
        struct attest_error why;
        jwk_thumbprint(kid, &roots[i].public_key);
        if (!slice_is(envelope->kid, kid))
            continue;
        if (roots[i].alg != JWK_ALG_NONE && roots[i].alg != envelope->alg)
            return error_set(err, ATTEST_E_MALFORMED,
                             "signed key set: alg %s, but the root key is for %s",
                             jwk_alg_name(envelope->alg), jwk_alg_name(roots[i].alg));
        enum attest_rc rc = jws_verify(envelope, &roots[i].public_key, &why);
        if (rc)
            return bad(err, rc, why.text);
        *signed_by = i;
        return ATTEST_OK;
    }
    return error_set(err, ATTEST_E_KEY_UNKNOWN,
                     "signed key set: signed by key %.*s, which is not a pinned root",
                     SLICE_ARG(envelope->kid));
}

/* ---- what it says: only behind a good signature ---- */

/* Everything that reading needs and the result does not. */
struct reading {
    struct slice issuer;
    int64_t now_s, skew_s;
    struct json json;
    struct claims claims;
};

static enum attest_rc
read_times(struct reading *r, struct attest_error *err)
{
    struct claims *claims = &r->claims;
    struct attest_error why = {.text = ""};
    const struct profile *profile = profile_get(PROFILE_SIGNED_KEYSET);
    if (claims_read_issuer(claims, profile, &r->json, &why) || claims_read_times(claims, &why))
        return bad(err, ATTEST_E_MALFORMED, why.text);
    if (claims->exp <= claims->iat || claims->exp - claims->iat > profile->lifetime_max_s)
        return error_set(err, ATTEST_E_MALFORMED,
                         "signed key set: exp must be 1 to %lld s behind iat",
                         (long long)profile->lifetime_max_s);
    return ATTEST_OK;
}

static enum attest_rc
check_claims(struct reading *r, struct signed_keyset *set, struct attest_error *err)
{
    struct claims *claims = &r->claims;
    enum attest_rc rc = read_times(r, err);
    if (rc)
        return rc;
    const struct json_node *sub = claims->at[CLAIM_SUB];
    if (!sub || sub->type != JSON_STRING)
        return bad(err, ATTEST_E_MALFORMED, "sub: must be a string");
    if (!slice_eq(claims->iss, r->issuer) || !slice_eq(sub->text, r->issuer))
        return error_set(err, ATTEST_E_ISSUER, "signed key set: iss and sub are not %.*s",
                         SLICE_ARG(r->issuer));
    if (claims->iat > r->now_s + r->skew_s)
        return error_set(err, ATTEST_E_NOT_YET_VALID,
                         "signed key set: made %lld s in the future: is the clock right?",
                         (long long)(claims->iat - r->now_s));
    if (r->now_s >= claims->exp + r->skew_s)
        return error_set(err, ATTEST_E_EXPIRED, "signed key set: expired %lld s ago",
                         (long long)(r->now_s - claims->exp));
    set->iat = claims->iat;
    set->exp = claims->exp;
    return ATTEST_OK;
}

static int
compare_kids(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len ? memcmp(a.p, b.p, a.len) : 0;
}

static int
compare_revoked(const void *a, const void *b)
{
    return compare_kids(((const struct signed_keyset_revoked *)a)->kid,
                        ((const struct signed_keyset_revoked *)b)->kid);
}

/*
 * A reason is for people: whatever is odd about it is mended rather than refused, because a
 * revocation that nobody reads is the greater evil.
 */
static struct slice
keep_reason(const struct json_node *v, char **room)
{
    size_t len = v ? v->text.len : 0;
    char *to = *room;
    if (len > SIGNED_KEYSET_REASON_MAX)
        len = SIGNED_KEYSET_REASON_MAX;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)v->text.p[i];
        to[i] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    *room += len;
    return (struct slice){to, len};
}

static enum attest_rc
read_entry(const struct json *j, const struct json_node *entry, struct signed_keyset_revoked *to,
           char **room, struct attest_error *err)
{
    const struct json_node *kid = json_member(j, entry, "kid");
    const struct json_node *at = json_member(j, entry, "revoked_at");
    const struct json_node *reason = json_member(j, entry, "reason");
    if (!kid || kid->type != JSON_STRING || kid->text.len == 0 || kid->text.len > JWK_KID_MAX)
        return bad(err, ATTEST_E_MALFORMED, "revoked: kid must be a string of 1 to 256 bytes");
    if (!at || !json_int64(at, &to->revoked_at_s) || to->revoked_at_s < 0 ||
        to->revoked_at_s > CLAIMS_TIME_MAX)
        return bad(err, ATTEST_E_MALFORMED,
                   "revoked: revoked_at must be whole seconds since the epoch");
    if (reason && reason->type != JSON_STRING)
        return bad(err, ATTEST_E_MALFORMED, "revoked: reason must be a string");
    memcpy(*room, kid->text.p, kid->text.len);
    to->kid = (struct slice){*room, kid->text.len};
    *room += kid->text.len;
    to->reason = keep_reason(reason, room);
    return ATTEST_OK;
}

/* The strings take less room than the payload that they stand in. */
static enum attest_rc
read_revoked(const struct reading *r, size_t payload_len, struct signed_keyset *set,
             struct attest_error *err)
{
    const struct json_node *list = r->claims.at[CLAIM_REVOKED];
    if (!list)
        return ATTEST_OK;
    if (list->type != JSON_ARRAY)
        return bad(err, ATTEST_E_MALFORMED, "revoked: must be an array");
    set->revoked = calloc(list->count + 1, sizeof(*set->revoked));
    set->strings = malloc(payload_len);
    if (!set->revoked || !set->strings)
        return bad(err, ATTEST_E_NOMEM, "out of memory");
    char *room = set->strings;
    struct slice none;
    for (const struct json_node *v = NULL; json_each(&r->json, list, &none, &v);) {
        enum attest_rc rc = read_entry(&r->json, v, &set->revoked[set->n_revoked], &room, err);
        if (rc)
            return rc;
        set->n_revoked++;
    }
    qsort(set->revoked, set->n_revoked, sizeof(*set->revoked), compare_revoked);
    for (size_t i = 1; i < set->n_revoked; i++) {
        if (slice_eq(set->revoked[i - 1].kid, set->revoked[i].kid))
            return bad(err, ATTEST_E_MALFORMED, "revoked: one kid is there twice");
    }
    return ATTEST_OK;
}

static enum attest_rc
read_next_root(const struct reading *r, struct signed_keyset *set, struct attest_error *err)
{
    const struct json_node *next = r->claims.at[CLAIM_NEXT_ROOT];
    if (!next)
        return ATTEST_OK;
    enum attest_rc rc = signed_keyset_read_root(&r->json, next, &set->next_root, err);
    set->has_next_root = rc == ATTEST_OK;
    return rc;
}

/* Changes the text in place. */
static enum attest_rc
read_json(struct reading *r, char *text, size_t len, struct attest_error *err)
{
    struct attest_error why;
    if (json_read(&r->json, text, len, &payload_limits, &why))
        return bad(err, ATTEST_E_MALFORMED, why.text);
    if (json_root(&r->json)->type != JSON_OBJECT)
        return bad(err, ATTEST_E_MALFORMED, "payload is no JSON object");
    return ATTEST_OK;
}

static enum attest_rc
read_payload(struct reading *r, const char *text, size_t len, struct signed_keyset *set,
             struct attest_error *err)
{
    AUTO(mem) char *copy = malloc(len + 1);
    if (!copy)
        return bad(err, ATTEST_E_NOMEM, "out of memory");
    memcpy(copy, text, len);
    enum attest_rc rc = read_json(r, copy, len, err);
    if (!rc)
        rc = check_claims(r, set, err);
    if (!rc)
        rc = read_revoked(r, len, set, err);
    if (!rc)
        rc = read_next_root(r, set, err);
    if (!rc)
        rc = keyset_read_member(text, len, "keys", &set->keys, err);
    if (!rc && r->claims.at[CLAIM_LOG_KEYS])
        rc = keyset_read_member(text, len, "log_keys", &set->log_keys, err);
    return rc;
}

/* Room for what is decoded and for its values, freed by the caller whatever came of it. */
struct room {
    char *text;
    struct json_node *nodes;
};

static void
room_auto(struct room *room)
{
    free(room->text);
    free(room->nodes);
}

static enum attest_rc
open_envelope(struct jws_envelope *envelope, const char *text, size_t len, struct room *room,
              struct attest_error *err)
{
    struct attest_error why;
    if (len > SIGNED_KEYSET_TEXT_MAX)
        return error_set(err, ATTEST_E_LIMIT, "signed key set: %zu bytes, at most %d", len,
                         SIGNED_KEYSET_TEXT_MAX);
    room->text = malloc(len + 1);
    room->nodes = calloc(VALUES_MAX, sizeof(*room->nodes));
    if (!room->text || !room->nodes)
        return bad(err, ATTEST_E_NOMEM, "out of memory");
    if (jws_open(envelope, profile_get(PROFILE_SIGNED_KEYSET), text, len, room->text, len, &why))
        return bad(err, ATTEST_E_MALFORMED, why.text);
    return ATTEST_OK;
}

enum attest_rc
signed_keyset_read(const char *text, size_t len, struct slice issuer,
                   const struct signed_keyset_root *roots, size_t n_roots, int64_t now_s,
                   int64_t skew_s, struct signed_keyset **ret, struct attest_error *err)
{
    struct jws_envelope envelope;
    AUTO(room) struct room room = {0};
    AUTO(signed_keyset) struct signed_keyset *set = calloc(1, sizeof(*set));
    if (!set)
        return bad(err, ATTEST_E_NOMEM, "out of memory");
    enum attest_rc rc = open_envelope(&envelope, text, len, &room, err);
    if (!rc)
        rc = check_signature(&envelope, roots, n_roots, &set->signed_by, err);
    if (rc)
        return rc;
    struct reading r = {.issuer = issuer, .now_s = now_s, .skew_s = skew_s};
    r.json = (struct json){room.nodes, VALUES_MAX, 0};
    rc = read_payload(&r, envelope.payload, envelope.payload_len, set, err);
    if (rc)
        return rc;
    *ret = STEAL(set);
    return ATTEST_OK;
}

enum attest_rc
signed_keyset_peek(const char *text, size_t len, int64_t *iat_s, int64_t *exp_s,
                   struct attest_error *err)
{
    struct jws_envelope envelope;
    AUTO(room) struct room room = {0};
    enum attest_rc rc = open_envelope(&envelope, text, len, &room, err);
    if (rc)
        return rc;
    struct reading r = {.json = {room.nodes, VALUES_MAX, 0}};
    rc = read_json(&r, envelope.payload, envelope.payload_len, err);
    if (!rc)
        rc = read_times(&r, err);
    if (rc)
        return rc;
    *iat_s = r.claims.iat;
    *exp_s = r.claims.exp;
    return ATTEST_OK;
}

void
signed_keyset_free(struct signed_keyset *set)
{
    if (!set)
        return;
    keyset_free(set->keys);
    keyset_free(set->log_keys);
    free(set->revoked);
    free(set->strings);
    free(set);
}

const struct signed_keyset_revoked *
signed_keyset_revoked(const struct signed_keyset *set, struct slice kid)
{
    struct signed_keyset_revoked wanted = {.kid = kid};
    return set->n_revoked ? bsearch(&wanted, set->revoked, set->n_revoked, sizeof(*set->revoked),
                                    compare_revoked)
                          : NULL;
}
