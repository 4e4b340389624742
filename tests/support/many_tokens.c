/* SPDX-License-Identifier: MIT */
/*
 * What many kinds of tokens are to libattest, for a comparison with others:
 *
 *     many_tokens jwks               the key set that they are to be verified with
 *     many_tokens tokens SEED N      N lines: kind, what attest_verify() said, the token in
 * base64url
 *
 * A quarter of them is good, and has to be accepted; nothing else may be. Where that is not so the
 * program says which token it was, and ends with 1.
 */
#include "support/many_tokens.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <attest/attest.h>

#include "base/b64u.h"
#include "base/clock.h"
#include "jwks/keyset.h"

/* ---- making one ---- */

/* splitmix64: repeatable, and good enough to choose by. */
uint64_t
made_random(struct made *m, uint64_t below)
{
    uint64_t z = (m->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

const char *
made_say(struct made *m, const char *format, ...)
{
    va_list ap;
    char *text = m->room + m->room_used;
    size_t left = sizeof(m->room) - m->room_used;
    va_start(ap, format);
    int n = vsnprintf(text, left, format, ap);
    va_end(ap);
    assert(n >= 0 && (size_t)n < left);
    m->room_used += (size_t)n + 1;
    return text;
}

void
made_time(struct made *m, const char *member, int64_t offset_s)
{
    mint_set(&m->payload, member, made_say(m, "%lld", (long long)(m->now_s + offset_s)));
}

static void
set_out(struct made *m)
{
    uint64_t a = made_random(m, UINT64_MAX), b = made_random(m, UINT64_MAX);
    int64_t ago_s = (int64_t)made_random(m, 20);
    m->by = &m->key[made_random(m, 2)];
    m->header = m->text = NULL;
    m->text_len = m->room_used = 0;
    mint_payload(&m->payload);
    made_time(m, "iat", -ago_s);
    made_time(m, "nbf", -ago_s);
    made_time(m, "exp", 860 - ago_s + (int64_t)made_random(m, 40));
    mint_set(&m->payload, "jti",
             made_say(m, "\"%08x-%04x-4%03x-a%03x-%012llx\"", (unsigned)a, (unsigned)(a >> 48),
                      (unsigned)(a >> 32) & 0xfff, (unsigned)b & 0xfff,
                      (unsigned long long)b >> 16));
}

void
made_sign(struct made *m)
{
    char *payload AUTO(mem) = mint_json(&m->payload);
    const char *text = m->text ? m->text : payload;
    const char *header =
        m->header ? m->header
                  : made_say(m, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}", m->by->kid);
    buf_reset(&m->token);
    b64u_append(&m->token, header, strlen(header));
    buf_char(&m->token, '.');
    b64u_append(&m->token, text, m->text_len ? m->text_len : strlen(text));
    ed25519_sign(m->sig, m->token.p, m->token.len, &m->by->seed);
    m->sig_len = ED25519_SIG_LEN;
    buf_char(&m->token, '.');
    b64u_append(&m->token, m->sig, m->sig_len);
}

void
made_put_sig(struct made *m, const void *sig, size_t len)
{
    const char *dot = memrchr(m->token.p, '.', m->token.len);
    m->token.len = (size_t)(dot - m->token.p) + 1;
    b64u_append(&m->token, sig, len);
}

static void
make(struct made *m, const struct made_kind *kind)
{
    set_out(m);
    if (kind->before)
        kind->before(m, kind->arg);
    made_sign(m);
    if (kind->after)
        kind->after(m, kind->arg);
    assert(buf_rc(&m->token) == ATTEST_OK);
}

/* ---- judging it ---- */

struct judge {
    struct attest_keys *keys;
    struct attest_policy *policy;
};

static void
write_jwks(const struct mint_key *key, struct buf *out)
{
    struct keyset_entry entry[2];
    for (int i = 0; i < 2; i++)
        entry[i] = (struct keyset_entry){
            .public_key = key[i].public_key, .alg = JWK_ALG_EDDSA, .state = KEY_ACTIVE};
    keyset_write(entry, 2, out);
}

static enum attest_rc
open_judge(struct judge *j, const struct mint_key *key, struct attest_error *err)
{
    AUTO(buf) struct buf jwks;
    buf_init(&jwks, 8192);
    write_jwks(key, &jwks);
    enum attest_rc rc = attest_keys_new(&j->keys, err);
    if (!rc)
        rc = attest_keys_add_jwks(j->keys, MINT_ISSUER, jwks.p, jwks.len, err);
    if (!rc)
        rc = attest_policy_new(&j->policy, err);
    if (!rc)
        rc = attest_policy_add_audience(j->policy, MINT_AUDIENCE, err);
    if (!rc)
        rc = attest_policy_add_issuer(j->policy, MINT_ISSUER, ATTEST_TRUST_PROVIDER, err);
    return rc ? rc : attest_policy_freeze(j->policy, err);
}

/* False when it was accepted and should not be, or the other way round. */
static bool
judge_one(const struct judge *j, const struct made *m, const struct made_kind *kind, bool good)
{
    AUTO(buf) struct buf encoded;
    struct attest_claims *claims = NULL;
    struct attest_error err = {.text = "accepted"};
    enum attest_rc rc =
        attest_verify(j->keys, j->policy, m->token.p, m->token.len, m->now_s, &claims, &err);
    attest_claims_free(claims);
    buf_init(&encoded, 262144);
    b64u_append(&encoded, m->token.p, m->token.len);
    printf("%s %d %.*s\n", kind->name, (int)rc, (int)encoded.len, encoded.p);
    if ((rc == ATTEST_OK) == good)
        return true;
    fprintf(stderr, "many_tokens: %s: %s: %.*s\n", kind->name, err.text, (int)m->token.len,
            m->token.p);
    return false;
}

static const struct made_kind *
choose(struct made *m, const struct made_kind *kinds, size_t n)
{
    return &kinds[made_random(m, n)];
}

static bool
tokens(struct made *m, const struct judge *j, unsigned long n)
{
    bool as_it_should_be = true;
    for (unsigned long i = 0; i < n; i++) {
        const struct made_kind *kind = i % 4 == 0   ? choose(m, good_kinds, n_good_kinds)
                                       : i % 4 == 1 ? choose(m, spoilt_kinds, n_spoilt_kinds)
                                                    : choose(m, wrong_kinds, n_wrong_kinds);
        make(m, kind);
        as_it_should_be &= judge_one(j, m, kind, i % 4 == 0);
    }
    return as_it_should_be;
}

int
main(int argc, char **argv)
{
    static struct made m;
    struct mint_key key[3];
    struct judge judge = {0};
    struct attest_error err = {0};
    if (argc < 2 || crypto_init(NULL) != ATTEST_OK)
        return 2;
    for (uint8_t i = 0; i < 3; i++)
        mint_key_init(&key[i], (uint8_t)(i + 1));
    bool good = open_judge(&judge, key, &err) == ATTEST_OK;
    m.key = key;
    m.now_s = clock_wall_s();
    buf_init(&m.token, 262144);
    if (!good) {
        fprintf(stderr, "many_tokens: %s\n", err.text);
    } else if (strcmp(argv[1], "tokens") == 0 && argc == 4) {
        m.random = strtoull(argv[2], NULL, 10);
        good = tokens(&m, &judge, strtoul(argv[3], NULL, 10));
    } else {
        AUTO(buf) struct buf jwks;
        buf_init(&jwks, 8192);
        write_jwks(key, &jwks);
        printf("%.*s\n", (int)jwks.len, jwks.p);
    }
    attest_keys_free(judge.keys);
    attest_policy_free(judge.policy);
    buf_done(&m.token);
    for (int i = 0; i < 3; i++)
        mint_key_done(&key[i]);
    return good ? 0 : 1;
}
