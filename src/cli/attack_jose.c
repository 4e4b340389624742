/* SPDX-License-Identifier: MIT */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/x509.h>
#include <string.h>

#include "cli/attack_scene.h"
#include "cli/keyfile.h"

/* What a header can ask of a reader who lets it. */

/* ---- alg ---- */

/* So many zeros are its signature. */
static char *
unsigned_token(const struct scene *s, const char *header, size_t zeros)
{
    static const char zero[ED25519_SIG_LEN];
    AUTO(mem) char *payload = scene_payload(s, &s->provider, NULL);
    return scene_join(&s->provider, header, payload, zero, zeros);
}

static void
alg_none(struct attack_run *run)
{
    static const char *const algs[] = {"\"none\"",  "\"None\"",   "\"NONE\"", "\"nOnE\"",
                                       "\"none \"", "\"\"",       "null",     "[\"none\"]",
                                       "\"no\"",    "\"EdDSA \"", "0"};
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
            AUTO(mem)
            char *header =
                scene_text("{\"alg\":%s,\"typ\":\"JWT\",\"kid\":\"%s\"}", algs[i], s.provider.kid);
            AUTO(mem) char *name = scene_text("alg %s", algs[i]);
            AUTO(mem) char *zero = scene_text("alg %s, a signature of zeros", algs[i]);
            if (!attack_ready(run, "alg", header && name && zero ? ATTEST_OK : ATTEST_E_NOMEM,
                              NULL))
                break;
            scene_try(&s, name, ATTEST_E_MALFORMED, unsigned_token(&s, header, 0));
            scene_try(&s, zero, ATTEST_E_MALFORMED, unsigned_token(&s, header, ED25519_SIG_LEN));
        }
        AUTO(mem) char *header = scene_text("{\"typ\":\"JWT\",\"kid\":\"%s\"}", s.provider.kid);
        scene_try(&s, "no alg", ATTEST_E_MALFORMED, header ? unsigned_token(&s, header, 0) : NULL);
    }
    scene_close(&s);
}

struct hmac {
    const char *alg;
    const EVP_MD *(*digest)(void);
};

/* A token whose MAC is by this secret. */
static char *
mac(const struct scene *s, const struct hmac *hmac, struct slice secret)
{
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    AUTO(mem) char *payload = scene_payload(s, &s->provider, NULL);
    AUTO(mem)
    char *header =
        scene_text("{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", hmac->alg, s->provider.kid);
    AUTO(mem) char *input = header ? scene_join(&s->provider, header, payload, "", 0) : NULL;
    if (!input || !HMAC(hmac->digest(), secret.p, (int)secret.len, (const uint8_t *)input,
                        strlen(input) - 1, out, &len))
        return NULL;
    return scene_join(&s->provider, header, payload, out, len);
}

static void
try_mac(struct scene *s, const char *of, struct slice secret)
{
    static const struct hmac hmacs[] = {
        {"HS256", EVP_sha256}, {"HS384", EVP_sha384}, {"HS512", EVP_sha512}};
    for (size_t i = 0; i < ARRAY_LEN(hmacs); i++) {
        AUTO(mem) char *name = scene_text("%s, the secret is %s", hmacs[i].alg, of);
        scene_try(s, name ? name : of, ATTEST_E_MALFORMED, mac(s, &hmacs[i], secret));
    }
}

static void
hmac_public_key(struct attack_run *run)
{
    static const char *const others[] = {"RS256", "PS256", "ES256", "ES256K", "Ed448", "Ed25519ph"};
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        const uint8_t *key = s.provider.public_key.bytes;
        AUTO(mem) char *x = scene_b64u(key, ED25519_PUBLIC_LEN);
        AUTO(mem) char *jwk = scene_jwk(&s.provider);
        AUTO(mem) char *set = scene_key_set(&s.provider);
        AUTO(buf) struct buf pem;
        struct attest_error err = {0};
        buf_init(&pem, 4096);
        attack_ready(run, "PEM", keyfile_public_pem(key, &pem, &err), &err);
        try_mac(&s, "the key", (struct slice){(const char *)key, ED25519_PUBLIC_LEN});
        try_mac(&s, "x", slice_cstr(x ? x : ""));
        try_mac(&s, "the JWK", slice_cstr(jwk ? jwk : ""));
        try_mac(&s, "the key set", slice_cstr(set ? set : ""));
        try_mac(&s, "the key in PEM", buf_view(&pem));
        try_mac(&s, "empty", slice_cstr(""));
        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
            AUTO(mem)
            char *header = scene_text("{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", others[i],
                                      s.provider.kid);
            scene_try(&s, others[i], ATTEST_E_MALFORMED,
                      header ? scene_token(&s, &s.provider, header, NULL) : NULL);
        }
    }
    scene_close(&s);
}

/* ---- keys that come along ---- */

struct header_row {
    const char *name;
    const char *members; /* behind alg and typ; %s stands for the attacker's JWK */
};

/* Signed by this key. The rows are ours, so their one conversion is right. */
static void
try_headers(struct scene *s, const struct scene_key *key, const struct header_row *rows, size_t n)
{
    AUTO(mem) char *jwk = scene_jwk(&s->attacker);
    attack_ready(s->run, "JWK", jwk ? ATTEST_OK : ATTEST_E_NOMEM, NULL);
    for (size_t i = 0; i < n && jwk; i++) {
        const char *hole = strstr(rows[i].members, "%s");
        size_t before = hole ? (size_t)(hole - rows[i].members) : strlen(rows[i].members);
        AUTO(mem)
        char *header =
            scene_text("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\",%.*s%s%s}", key->kid,
                       (int)before, rows[i].members, hole ? jwk : "", hole ? hole + 2 : "");
        scene_try(s, rows[i].name, ATTEST_E_MALFORMED,
                  header ? scene_token(s, key, header, NULL) : NULL);
    }
}

DEFINE_AUTO(EVP_PKEY, EVP_PKEY *, EVP_PKEY_free);
DEFINE_AUTO(X509, X509 *, X509_free);

/* A certificate of this key by itself, as x5c has it (RFC 7515, section 4.1.6); NULL: no memory. */
static char *
self_signed(const struct scene_key *key)
{
    AUTO(EVP_PKEY)
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->seed.p, key->seed.len);
    AUTO(X509) X509 *cert = X509_new();
    uint8_t *der = NULL;
    if (!pkey || !cert || !X509_set_version(cert, X509_VERSION_3) ||
        !ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) ||
        !X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                    (const uint8_t *)SCENE_PROVIDER, -1, -1, 0) ||
        !X509_set_issuer_name(cert, X509_get_subject_name(cert)) ||
        !X509_gmtime_adj(X509_getm_notBefore(cert), 0) ||
        !X509_gmtime_adj(X509_getm_notAfter(cert), 3600) || !X509_set_pubkey(cert, pkey) ||
        !X509_sign(cert, pkey, NULL))
        return NULL;
    int len = i2d_X509(cert, &der);
    char *text = len > 0 ? malloc((size_t)(len + 2) / 3 * 4 + 1) : NULL;
    if (text)
        EVP_EncodeBlock((uint8_t *)text, der, len);
    OPENSSL_free(der);
    return text;
}

static void
embedded_jwk(struct attack_run *run)
{
    static const struct header_row rows[] = {
        {"the attacker's key as jwk", "\"jwk\":%s"},
        {"the attacker's key as jwk, spelled with an escape", "\"\\u006awk\":%s"},
        {"the attacker's key set as jwks", "\"jwks\":{\"keys\":[%s]}"},
    };
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        AUTO(mem) char *jwk = scene_jwk(&s.attacker);
        AUTO(mem)
        char *bare = jwk ? scene_text("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"jwk\":%s}", jwk) : NULL;
        AUTO(mem)
        char *named = jwk ? scene_text("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\","
                                       "\"jwk\":%s}",
                                       s.provider.kid, jwk)
                          : NULL;
        AUTO(mem) char *x5c = self_signed(&s.attacker);
        AUTO(mem)
        char *certified = x5c ? scene_text("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\","
                                           "\"x5c\":[\"%s\"]}",
                                           s.attacker.kid, x5c)
                              : NULL;
        try_headers(&s, &s.attacker, rows, ARRAY_LEN(rows));
        scene_try(&s, "a certificate of the attacker's key as x5c", ATTEST_E_MALFORMED,
                  certified ? scene_token(&s, &s.attacker, certified, NULL) : NULL);
        scene_try(&s, "the attacker's key as jwk, no kid", ATTEST_E_MALFORMED,
                  bare ? scene_token(&s, &s.attacker, bare, NULL) : NULL);
        scene_try(&s, "the attacker's key as jwk, the issuer's kid", ATTEST_E_MALFORMED,
                  named ? scene_token(&s, &s.attacker, named, NULL) : NULL);
    }
    scene_close(&s);
}

static void
key_url(struct attack_run *run)
{
    static const struct header_row rows[] = {
        {"jku", "\"jku\":\"https://evil.example/jwks.json\""},
        {"jku on the issuer's host", "\"jku\":\"https://ai.example.com/upload/jwks.json\""},
        {"jku with the issuer as user", "\"jku\":\"https://ai.example.com@evil.example/\""},
        {"jku of a file", "\"jku\":\"file:///etc/passwd\""},
        {"x5u", "\"x5u\":\"https://evil.example/cert.pem\""},
        {"x5t", "\"x5t\":\"dGVzdA\""},
        {"x5t#S256", "\"x5t#S256\":\"dGVzdA\""},
        {"url", "\"url\":\"https://evil.example/\""},
        {"iss in the header", "\"iss\":\"https://evil.example\""},
    };
    struct scene s;
    if (scene_open(&s, run, NULL))
        try_headers(&s, &s.attacker, rows, ARRAY_LEN(rows));
    scene_close(&s);
}

/* ---- kid ---- */

static void
try_kid(struct scene *s, const char *what, const char *kid, enum attest_rc expected)
{
    AUTO(mem) char *name = scene_text("kid %s", what);
    AUTO(mem) char *header = scene_text("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":%s}", kid);
    if (attack_ready(s->run, "kid", name && header ? ATTEST_OK : ATTEST_E_NOMEM, NULL))
        scene_try(s, name, expected, scene_token(s, &s->attacker, header, NULL));
}

static void
kid_tricks(struct attack_run *run)
{
    static const char *const unknown[] = {
        "\"../../../../dev/null\"",
        "\"/proc/self/environ\"",
        "\"' OR '1'='1\"",
        "\"| sleep 1 |\"",
        "\"https://evil.example/key\"",
        "\"%s%s%s%n\"",
        "\"*\"",
        "\" \"",
        "\"\\u00e9\"",
    };
    static const char *const wrong[] = {"\"\"", "null", "0", "[]", "{}", "true", "\"\\u0000\""};
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        AUTO(mem) char *none = scene_text("\"%s\\u0000x\"", s.provider.kid);
        AUTO(mem) char *longer = scene_text("\"%s \"", s.provider.kid);
        AUTO(mem) char *shorter = scene_text("\"%.42s\"", s.provider.kid);
        AUTO(mem) char *list = scene_text("[\"%s\"]", s.provider.kid);
        AUTO(mem) char *huge = scene_text("\"%0257d\"", 0);
        for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
            try_kid(&s, unknown[i], unknown[i], ATTEST_E_KEY_UNKNOWN);
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
            try_kid(&s, wrong[i], wrong[i], ATTEST_E_MALFORMED);
        if (attack_ready(run, "kids",
                         none && longer && shorter && list && huge ? ATTEST_OK : ATTEST_E_NOMEM,
                         NULL)) {
            try_kid(&s, "of the issuer, a NUL behind", none, ATTEST_E_MALFORMED);
            try_kid(&s, "of the issuer, a blank behind", longer, ATTEST_E_KEY_UNKNOWN);
            try_kid(&s, "of the issuer, cut", shorter, ATTEST_E_KEY_UNKNOWN);
            try_kid(&s, "of the issuer in a list", list, ATTEST_E_MALFORMED);
            try_kid(&s, "of 257 bytes", huge, ATTEST_E_MALFORMED);
        }
    }
    scene_close(&s);
}

/* ---- members that change what is read: by a key that is trusted, so that nothing else refuses ---
 */

static void
crit_header(struct attack_run *run)
{
    static const struct header_row rows[] = {
        {"crit of what nobody knows", "\"crit\":[\"evil\"],\"evil\":true"},
        {"crit of a claim", "\"crit\":[\"exp\"],\"exp\":1"},
        {"crit of alg", "\"crit\":[\"alg\"]"},
        {"crit of nothing", "\"crit\":[]"},
        {"crit as a string", "\"crit\":\"exp\""},
        {"crit null", "\"crit\":null"},
        {"a member that is not critical", "\"evil\":true"},
        {"cty of another token", "\"cty\":\"JWT\""},
        {"enc of a JWE", "\"enc\":\"A256GCM\""},
    };
    struct scene s;
    if (scene_open(&s, run, NULL))
        try_headers(&s, &s.provider, rows, ARRAY_LEN(rows));
    scene_close(&s);
}

/* Signed over what stands between the header and the signature, whatever that is. */
static char *
signed_over(const struct scene *s, const char *members, const char *middle)
{
    AUTO(mem)
    char *header = scene_text("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",%s,\"kid\":\"%s\"}", members,
                              s->provider.kid);
    AUTO(mem) char *head64 = header ? scene_b64u(header, strlen(header)) : NULL;
    AUTO(mem) char *input = head64 && middle ? scene_text("%s.%s", head64, middle) : NULL;
    if (!input)
        return NULL;
    uint8_t signature[ED25519_SIG_LEN];
    ed25519_sign(signature, input, strlen(input), &s->provider.seed);
    AUTO(mem) char *sig64 = scene_b64u(signature, sizeof(signature));
    return sig64 ? scene_text("%s.%s", input, sig64) : NULL;
}

/* RFC 1951, one stored block: what any inflater reads. */
static char *
deflated(const struct scene *s)
{
    AUTO(mem) char *payload = scene_payload(s, &s->provider, NULL);
    AUTO(buf) struct buf block;
    buf_init(&block, 65536);
    size_t len = payload ? strlen(payload) : 0;
    const char head[5] = {1, (char)(len & 0xff), (char)(len >> 8), (char)(~len & 0xff),
                          (char)(~len >> 8 & 0xff)};
    buf_append(&block, head, sizeof(head));
    buf_str(&block, payload ? payload : "");
    AUTO(mem) char *text = scene_b64u(block.p, block.len);
    return signed_over(s, "\"zip\":\"DEF\"", text);
}

static void
zip_header(struct attack_run *run)
{
    static const struct header_row rows[] = {
        {"zip DEF, though it is not", "\"zip\":\"DEF\""},
        {"zip GZIP", "\"zip\":\"GZIP\""},
        {"zip null", "\"zip\":null"},
    };
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        try_headers(&s, &s.provider, rows, ARRAY_LEN(rows));
        scene_try(&s, "zip DEF, and so it is", ATTEST_E_MALFORMED, deflated(&s));
    }
    scene_close(&s);
}

/* RFC 7797: what is signed is the payload as it is. */
static char *
unencoded(const struct scene *s)
{
    AUTO(mem) char *payload = scene_payload(s, &s->provider, NULL);
    return signed_over(s, "\"b64\":false,\"crit\":[\"b64\"]", payload);
}

static void
b64_header(struct attack_run *run)
{
    static const struct header_row rows[] = {
        {"b64 false, though it is", "\"b64\":false"},
        {"b64 false and critical, though it is", "\"b64\":false,\"crit\":[\"b64\"]"},
        {"b64 true", "\"b64\":true"},
    };
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        try_headers(&s, &s.provider, rows, ARRAY_LEN(rows));
        scene_try(&s, "b64 false and critical, and so it is", ATTEST_E_MALFORMED, unencoded(&s));
    }
    scene_close(&s);
}

const struct attack attacks_on_jose[] = {
    {"alg_none", "a token that nobody signed is none, however that is spelled", alg_none},
    {"hmac_public_key", "the key decides the algorithm, and a public key is no secret",
     hmac_public_key},
    {"embedded_jwk", "a token does not bring its own key", embedded_jwk},
    {"key_url", "a token does not say where its key is (jku, x5u)", key_url},
    {"kid_tricks", "a kid is a name to compare, nothing to look behind", kid_tricks},
    {"crit_header", "a header with anything more in it is refused", crit_header},
    {"zip_header", "nothing is unpacked", zip_header},
    {"b64_header", "a payload has one encoding", b64_header},
    {NULL, NULL, NULL},
};
