/* SPDX-License-Identifier: MIT */
#include "tests/bench/contest.h"

#include <string.h>

#include "base/b64u.h"
#include "base/clock.h"

/* A token with everything in it that an agent of a provider puts there. */
static const char payload_format[] =
    "{\"iss\":\"%s\",\"sub\":\"spiffe://attest.example.com/model/claude-sonnet-4\","
    "\"aud\":\"" CONTEST_AUDIENCE "\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld,\"jti\":\"%s\","
    "\"agent_identity\":{\"model_family\":\"claude-4\",\"model_version\":\"claude-sonnet-4\","
    "\"provider\":\"anthropic\",\"deployment_id\":\"prod-eu-west-1-blue\"},"
    "\"agent_integrity\":{"
    "\"config_hash\":\"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\","
    "\"system_prompt_hash\":"
    "\"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"},"
    "\"attestation_metadata\":{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
    "\"safety_level\":\"standard\",\"capabilities_declared\":[\"tools\",\"code\",\"browse\"]}}";

char *
contest_token(const struct contest *c, const char *issuer, const char *kid, size_t *len,
              size_t *signed_len, uint8_t sig[ED25519_SIG_LEN])
{
    AUTO(buf) struct buf token;
    AUTO(buf) struct buf text;
    char jti[37];
    buf_init(&token, 8192);
    buf_init(&text, 8192);
    random_uuid(jti);
    buf_printf(&text, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}", kid);
    b64u_append(&token, text.p, text.len);
    buf_reset(&text);
    buf_printf(&text, payload_format, issuer, (long long)c->now_s - 10, (long long)c->now_s - 10,
               (long long)c->now_s + 290, jti);
    buf_char(&token, '.');
    b64u_append(&token, text.p, text.len);
    *signed_len = token.len;
    ed25519_sign_pair(sig, token.p, token.len, c->pair);
    buf_char(&token, '.');
    b64u_append(&token, sig, ED25519_SIG_LEN);
    if (!buf_terminate(&token) || buf_rc(&text) != ATTEST_OK)
        return NULL;
    *len = token.len;
    return slice_dup(buf_view(&token));
}

bool
contest_renew(struct contest *c)
{
    c->now_s = clock_wall_s();
    for (size_t i = 0; i < CONTEST_TOKENS; i++) {
        free(c->token[i]);
        c->token[i] = contest_token(c, CONTEST_ISSUER, c->kid, &c->token_len[i], &c->signed_len[i],
                                    c->sig[i]);
        if (!c->token[i])
            return false;
    }
    return true;
}

bool
contest_init(struct contest *c)
{
    AUTO(secret) struct secret seed = secret_new(ED25519_SEED_LEN);
    uint8_t thumbprint[SHA256_LEN];
    char x[64] = "", text[256];
    memset(c, 0, sizeof(*c));
    random_bytes(seed.p, seed.len);
    memcpy(c->pair, seed.p, ED25519_SEED_LEN);
    ed25519_public_from_seed(c->pair + ED25519_SEED_LEN, &seed);
    c->public_key = c->pair + ED25519_SEED_LEN;
    b64u_encode(x, c->public_key, ED25519_PUBLIC_LEN);
    /* RFC 7638: the required members in lexical order. */
    snprintf(text, sizeof(text), "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);
    sha256(thumbprint, text, strlen(text));
    b64u_encode(c->kid, thumbprint, sizeof(thumbprint));
    snprintf(c->jwk, sizeof(c->jwk),
             "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\",\"x\":\"%s\","
             "\"use\":\"sig\",\"alg\":\"EdDSA\"}",
             c->kid, x);
    snprintf(c->jwks, sizeof(c->jwks), "{\"keys\":[%s]}", c->jwk);
    return contest_renew(c);
}

void
contest_done(struct contest *c)
{
    for (size_t i = 0; i < CONTEST_TOKENS; i++) {
        free(c->token[i]);
        c->token[i] = NULL;
    }
}
