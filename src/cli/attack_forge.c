/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/b64u.h"
#include "base/clock.h"
#include "cli/attack_scene.h"

/* Tokens, right and wrong, of the scene of an attack. */

#define TEXT_MAX 262144
#define MEMBERS_MAX 20
#define LIFETIME_S 300

static char *
finish(struct buf *b)
{
    if (buf_terminate(b))
        return b->p;
    buf_done(b);
    return NULL;
}

char *
scene_text(const char *format, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);
    return n < 0 ? NULL : text;
}

char *
scene_b64u(const void *p, size_t len)
{
    struct buf b;
    buf_init(&b, TEXT_MAX);
    b64u_append(&b, p, len);
    return finish(&b);
}

/* ---- keys ---- */

void
scene_key_init(struct scene_key *key)
{
    key->seed = secret_new(ED25519_SEED_LEN);
    random_bytes(key->seed.p, key->seed.len);
    key->public_key = (struct pubkey){.type = PUBKEY_ED25519};
    ed25519_public_from_seed(key->public_key.bytes, &key->seed);
    jwk_thumbprint(key->kid, &key->public_key);
}

void
scene_key_done(struct scene_key *key)
{
    secret_free(&key->seed);
}

char *
scene_jwk(const struct scene_key *key)
{
    struct buf b;
    buf_init(&b, TEXT_MAX);
    jwk_write(&key->public_key, &b);
    return finish(&b);
}

char *
scene_cnf(const struct scene_key *key)
{
    AUTO(mem) char *jwk = scene_jwk(key);
    return jwk ? scene_text("{\"jwk\":%s}", jwk) : NULL;
}

char *
scene_key_set(const struct scene_key *key)
{
    AUTO(mem) char *x = scene_b64u(key->public_key.bytes, ED25519_PUBLIC_LEN);
    return x ? scene_text("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\","
                          "\"x\":\"%s\",\"use\":\"sig\",\"alg\":\"EdDSA\"}]}",
                          key->kid, x)
             : NULL;
}

/* ---- payloads ---- */

struct members {
    const char *name[MEMBERS_MAX], *json[MEMBERS_MAX];
    size_t n;
    bool full;
};

static void
set(struct members *m, const char *name, const char *json)
{
    size_t i = 0;
    while (i < m->n && strcmp(m->name[i], name) != 0)
        i++;
    if (i == MEMBERS_MAX) {
        m->full = true;
        return;
    }
    m->name[i] = name;
    m->json[i] = json;
    m->n += i == m->n;
}

static char *
write_members(const struct members *m)
{
    struct buf b;
    buf_init(&b, m->full ? 0 : TEXT_MAX);
    buf_char(&b, '{');
    for (size_t i = 0; i < m->n; i++) {
        if (m->json[i][0])
            buf_printf(&b, "%s\"%s\":", b.len > 1 ? "," : "", m->name[i]);
        buf_str(&b, m->json[i]);
    }
    buf_char(&b, '}');
    return finish(&b);
}

int64_t
scene_now_s(const struct scene *s)
{
    return s->clock_s ? s->clock_s : clock_wall_s();
}

struct times {
    char now[24], end[24], jti[40];
};

static void
times_at(struct times *t, int64_t now_s, int64_t lifetime_s)
{
    char uuid[37];
    random_uuid(uuid);
    snprintf(t->now, sizeof(t->now), "%lld", (long long)now_s);
    snprintf(t->end, sizeof(t->end), "%lld", (long long)(now_s + lifetime_s));
    snprintf(t->jti, sizeof(t->jti), "\"%s\"", uuid);
}

/* What a right token has; t outlives m. */
static void
set_right(struct members *m, const struct times *t, bool enterprise)
{
    set(m, "iss", enterprise ? "\"" SCENE_ENTERPRISE "\"" : "\"" SCENE_PROVIDER "\"");
    set(m, "sub",
        enterprise ? "\"spiffe://agents.example.net/agent/buyer-7\""
                   : "\"spiffe://ai.example.com/model/claude-sonnet-4\"");
    set(m, "aud", "\"" SCENE_AUDIENCE "\"");
    set(m, "iat", t->now);
    set(m, "nbf", t->now);
    set(m, "exp", t->end);
    set(m, "jti", t->jti);
    set(m, "agent_identity",
        enterprise ? "{\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\","
                     "\"provider\":\"anthropic\",\"enterprise\":{\"org_id\":\"example\","
                     "\"workload_id\":\"buyer-7\",\"deployment_env\":\"production\"}}"
                   : "{\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\","
                     "\"provider\":\"anthropic\"}");
    set(m, "attestation_metadata",
        enterprise ? "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"enterprise\","
                     "\"safety_level\":\"standard\",\"capabilities_declared\":[\"tools\"]}"
                   : "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
                     "\"safety_level\":\"standard\",\"capabilities_declared\":[\"tools\"]}");
}

static char *
payload(const struct scene *s, const struct scene_key *key, va_list pairs)
{
    struct members m = {0};
    struct times t;
    times_at(&t, scene_now_s(s), LIFETIME_S);
    set_right(&m, &t, key == &s->enterprise);
    for (const char *name; (name = va_arg(pairs, const char *));) {
        const char *json = va_arg(pairs, const char *);
        if (!json) /* no memory where it was made */
            return NULL;
        set(&m, name, json);
    }
    return write_members(&m);
}

char *
scene_payload(const struct scene *s, const struct scene_key *key, ...)
{
    va_list pairs;
    va_start(pairs, key);
    char *text = payload(s, key, pairs);
    va_end(pairs);
    return text;
}

/* ---- tokens ---- */

char *
scene_header(const struct scene_key *key)
{
    return scene_text("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}", key->kid);
}

static bool
signing_input(struct buf *b, const struct scene_key *key, const char *header, const char *payload)
{
    AUTO(mem) char *usual = header ? NULL : scene_header(key);
    const char *text = header ? header : usual;
    buf_init(b, TEXT_MAX);
    if (!text || !payload)
        return false;
    b64u_append(b, text, strlen(text));
    buf_char(b, '.');
    b64u_append(b, payload, strlen(payload));
    return buf_rc(b) == ATTEST_OK;
}

char *
scene_sign(const struct scene_key *key, const char *header, const char *payload)
{
    struct buf b;
    uint8_t signature[ED25519_SIG_LEN];
    if (!signing_input(&b, key, header, payload)) {
        buf_done(&b);
        return NULL;
    }
    ed25519_sign(signature, b.p, b.len, &key->seed);
    buf_char(&b, '.');
    b64u_append(&b, signature, sizeof(signature));
    return finish(&b);
}

char *
scene_join(const struct scene_key *key, const char *header, const char *payload,
           const void *signature, size_t signature_len)
{
    struct buf b;
    if (!signing_input(&b, key, header, payload)) {
        buf_done(&b);
        return NULL;
    }
    buf_char(&b, '.');
    b64u_append(&b, signature, signature_len);
    return finish(&b);
}

char *
scene_token(const struct scene *s, const struct scene_key *key, const char *header, ...)
{
    va_list pairs;
    va_start(pairs, header);
    AUTO(mem) char *text = payload(s, key, pairs);
    va_end(pairs);
    return text ? scene_sign(key, header, text) : NULL;
}

/* Both have the same name and times: but for what is changed they are one token. */
static bool
alter(const struct scene *s, const struct scene_key *key, struct scene_altered *ret,
      va_list triples)
{
    struct members was = {0}, is = {0};
    struct times t;
    times_at(&t, scene_now_s(s), LIFETIME_S);
    set_right(&was, &t, key == &s->enterprise);
    set_right(&is, &t, key == &s->enterprise);
    for (const char *name; (name = va_arg(triples, const char *));) {
        const char *before = va_arg(triples, const char *);
        const char *after = va_arg(triples, const char *);
        if (!before || !after)
            return false;
        if (strcmp(before, SCENE_AS_USUAL) != 0)
            set(&was, name, before);
        set(&is, name, after);
    }
    AUTO(mem) char *before = write_members(&was);
    AUTO(mem) char *after = write_members(&is);
    AUTO(mem) char *other = after ? scene_join(key, NULL, after, "", 0) : NULL;
    ret->right = before ? scene_sign(key, NULL, before) : NULL;
    ret->wrong =
        other && ret->right ? scene_text("%s%s", other, strrchr(ret->right, '.') + 1) : NULL;
    return ret->wrong != NULL;
}

bool
scene_alter(const struct scene *s, const struct scene_key *key, struct scene_altered *ret, ...)
{
    va_list triples;
    *ret = (struct scene_altered){0};
    va_start(triples, ret);
    bool made = alter(s, key, ret, triples);
    va_end(triples);
    return made;
}

void
scene_try_altered(struct scene *s, const char *name, enum attest_rc unaltered,
                  const struct scene_key *key, ...)
{
    AUTO(scene_altered) struct scene_altered a = {0};
    va_list triples;
    va_start(triples, key);
    bool made = alter(s, key, &a, triples);
    va_end(triples);
    if (!attack_ready(s->run, name, made ? ATTEST_OK : ATTEST_E_NOMEM, NULL))
        return;
    enum attest_rc got = scene_check(s, a.wrong, NULL);
    attack_tried(s->run, name, ATTEST_E_SIGNATURE, got);
    /* Without what was changed it is another matter, or nothing was shown. */
    if (got != ATTEST_OK)
        attack_ready(s->run, name,
                     scene_check(s, a.right, NULL) == unaltered ? ATTEST_OK : ATTEST_E_INTERNAL,
                     &(struct attest_error){.text = "unaltered it gets another verdict"});
}

/* ---- bound tokens ---- */

char *
scene_bound(const struct scene *s)
{
    AUTO(mem) char *cnf = scene_cnf(&s->agent);
    return scene_token(s, &s->provider, NULL, "cnf", cnf, NULL);
}

char *
scene_proof(const struct scene *s, const struct scene_key *key, const char *header,
            const char *token, const char *name, const char *json)
{
    struct members m = {0};
    struct times t;
    uint8_t digest[SHA256_LEN];
    if (!token || !json)
        return NULL;
    times_at(&t, scene_now_s(s), 30);
    sha256(digest, token, strlen(token));
    AUTO(mem) char *hash = scene_b64u(digest, sizeof(digest));
    AUTO(mem) char *wth = hash ? scene_text("\"%s\"", hash) : NULL;
    set(&m, "aud", "\"" SCENE_AUDIENCE "\"");
    set(&m, "exp", t.end);
    set(&m, "jti", t.jti);
    set(&m, "wth", wth ? wth : "");
    set(&m, name, json);
    AUTO(mem) char *text = write_members(&m);
    return text ? scene_sign(key, header ? header : "{\"alg\":\"EdDSA\",\"typ\":\"wpt+jwt\"}", text)
                : NULL;
}
