/* SPDX-License-Identifier: MIT */
#include "support/many_tokens.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "base/b64u.h"

/* What a member is set to; the value begins behind the first '='. No value: it is taken out. */
static void
member(struct made *m, const char *arg)
{
    const char *value = strchr(arg, '=');
    size_t len = value ? (size_t)(value - arg) : strlen(arg);
    mint_set(&m->payload, made_say(m, "%.*s", (int)len, arg), value ? value + 1 : NULL);
}

/* A time that many seconds from now. */
static void
moment(struct made *m, const char *arg)
{
    const char *value = strchr(arg, '=');
    made_time(m, made_say(m, "%.*s", (int)(value - arg), arg), atoll(value + 1));
}

/* The header, with "@" for the kid. */
static void
header(struct made *m, const char *arg)
{
    const char *at = strchr(arg, '@');
    m->header = at ? made_say(m, "%.*s%s%s", (int)(at - arg), arg, m->by->kid, at + 1) : arg;
}

/* The payload as text, with "@" for the members of the right one. */
static void
payload(struct made *m, const char *arg)
{
    char *json AUTO(mem) = mint_json(&m->payload);
    const char *at = strchr(arg, '@');
    json[strlen(json) - 1] = '\0';
    m->text = at ? made_say(m, "%.*s%s%s", (int)(at - arg), arg, json + 1, at + 1) : arg;
}

/* ---- good ones ---- */

static void
other_order(struct made *m, const char *arg)
{
    (void)arg;
    for (size_t i = m->payload.n - 1; i > 0; i--) {
        size_t j = (size_t)made_random(m, i + 1);
        __typeof__(m->payload.member[0]) was = m->payload.member[i];
        m->payload.member[i] = m->payload.member[j];
        m->payload.member[j] = was;
    }
}

static void
with_spaces(struct made *m, const char *arg)
{
    static const char *const gaps[] = {" ", "\n", "\t", "\r\n", "   "};
    (void)arg;
    const char *gap = gaps[made_random(m, ARRAY_LEN(gaps))];
    payload(m, made_say(m, "%s{%s@%s}%s", gap, gap, gap, gap));
}

static void
unknown_claim(struct made *m, const char *arg)
{
    static const char *const values[] = {
        "null",
        "true",
        "-0",
        "1.5e-7",
        "[]",
        "{}",
        "\"\"",
        "\"\\ud83d\\ude00\"",
        "\"\xf0\x9f\x98\x80\"",
        "[1,[2,[3,{\"a\":null}]]]",
        "{\"iss\":\"x\",\"exp\":0}",
        "99999999999999999999",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    };
    (void)arg;
    mint_set(&m->payload, made_say(m, "x_%u", (unsigned)made_random(m, 1000)),
             values[made_random(m, ARRAY_LEN(values))]);
}

static void
bound(struct made *m, const char *arg)
{
    char *cnf AUTO(mem) = mint_cnf(&m->key[2]);
    mint_set(&m->payload, "cnf", made_say(m, "%s", cnf));
    if (arg)
        mint_set(&m->payload, "aud", arg);
}

/* Random text where the format leaves it open. */
static void
any_text(struct made *m, const char *arg)
{
    char text[64] = "";
    size_t n = (size_t)made_random(m, sizeof(text) - 1);
    (void)arg;
    for (size_t i = 0; i < n; i++) {
        text[i] = (char)(0x20 + made_random(m, 0x5f));
        if (text[i] == '"' || text[i] == '\\')
            text[i] = '_';
    }
    text[n] = '\0';
    mint_set(&m->payload, "agent_identity",
             made_say(m,
                      "{\"model_family\":\"f%s\",\"model_version\":\"claude-sonnet-4\","
                      "\"provider\":\"p%s\",\"deployment_id\":\"d%s\"}",
                      text, text, text));
}

#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define OK_HEADER "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"@\"}"

const struct made_kind good_kinds[] = {
    {"good", NULL, NULL, NULL},
    {"good-order", other_order, NULL, NULL},
    {"good-spaces", with_spaces, NULL, NULL},
    {"good-unknown-claim", unknown_claim, NULL, NULL},
    {"good-bound", bound, NULL, NULL},
    {"good-two-audiences", bound, NULL, "[\"https://a.example\",\"" MINT_AUDIENCE "\"]"},
    {"good-audience-list", member, NULL, "aud=[\"" MINT_AUDIENCE "\"]"},
    {"good-integrity", member, NULL, "agent_integrity={\"config_hash\":\"" DIGEST "\"}"},
    {"good-any-text", any_text, NULL, NULL},
    {"good-typ", header, NULL,
     "{\"alg\":\"EdDSA\",\"typ\":\"agent-attestation+jwt\",\"kid\":\"@\"}"},
    {"good-header-spaces", header, NULL,
     " { \"kid\" : \"@\" ,\n\"typ\":\"JWT\",\t\"alg\":\"EdDSA\" } "},
    {"good-header-escapes", header, NULL,
     "{\"\\u0061lg\":\"Ed\\u0044SA\",\"typ\":\"\\u004aWT\",\"kid\":\"@\"}"},
    {"good-slow-clock", moment, NULL, "iat=5"},
};
const size_t n_good_kinds = ARRAY_LEN(good_kinds);

/* ---- wrong in what is signed ---- */

static void
unknown_key(struct made *m, const char *arg)
{
    (void)arg;
    m->by = &m->key[2];
}

static void
deep(struct made *m, const char *arg)
{
    size_t n = 9 + (size_t)made_random(m, 2000);
    char nested[4096];
    (void)arg;
    memset(nested, '[', n);
    memset(nested + n, ']', n);
    mint_set(&m->payload, "x", made_say(m, "%.*s", (int)(2 * n), nested));
}

static void
long_text(struct made *m, const char *arg)
{
    char text[8000];
    size_t n = 1100 + (size_t)made_random(m, sizeof(text) - 1100);
    memset(text, 'a', n);
    mint_set(&m->payload, arg, made_say(m, "\"%.*s\"", (int)n, text));
}

static void
many_members(struct made *m, const char *arg)
{
    AUTO(buf) struct buf list;
    buf_init(&list, 16384);
    (void)arg;
    for (int i = 0; i < 70; i++)
        buf_printf(&list, ",\"m%d\":1", i);
    buf_terminate(&list);
    payload(m, made_say(m, "{@%s}", list.p));
}

static void
bytes_behind(struct made *m, const char *arg)
{
    payload(m, "{@}");
    size_t n = strlen(m->text), more = strlen(arg) ? strlen(arg) : 1;
    char *text = m->room + m->room_used;
    assert(m->room_used + n + more <= sizeof(m->room));
    memcpy(text, m->text, n);
    memcpy(text + n, arg, more); /* "" stands for a NUL */
    m->room_used += n + more;
    m->text = text;
    m->text_len = n + more;
}

static void
crafted_key(struct made *m, const char *arg)
{
    char x[64] = "";
    m->by = &m->key[2];
    b64u_encode(x, m->by->public_key.bytes, ED25519_PUBLIC_LEN);
    m->header =
        made_say(m, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\",%s%s}", m->key[0].kid, arg,
                 made_say(m, "\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}", x));
}

/* ---- wrong in the signature ---- */

static void
by_stranger(struct made *m, const char *arg)
{
    (void)arg;
    header(m, OK_HEADER); /* with the right kid, and now the wrong key */
    m->by = &m->key[2];
}

static void
no_sig(struct made *m, const char *arg)
{
    made_put_sig(m, arg, 0);
}

static void
hmac(struct made *m, const char *arg)
{
    char *jwk AUTO(mem) = mint_jwk(&m->key[0]);
    uint8_t mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    const char *dot = memrchr(m->token.p, '.', m->token.len);
    bool raw = strstr(arg, "raw") != NULL;
    crypto_auth_hmacsha256_init(&state, raw ? m->key[0].public_key.bytes : (const uint8_t *)jwk,
                                raw ? ED25519_PUBLIC_LEN : strlen(jwk));
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)m->token.p, (size_t)(dot - m->token.p));
    crypto_auth_hmacsha256_final(&state, mac);
    made_put_sig(m, mac, sizeof(mac));
}

/* S + L: the same residue, which RFC 8032 does not allow. */
static void
s_plus_order(struct made *m, const char *arg)
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                      0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    unsigned carry = 0;
    (void)arg;
    for (int i = 0; i < 32; i++) {
        carry += m->sig[32 + i] + order[i];
        m->sig[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    made_put_sig(m, m->sig, 64);
}

static void
trivial_sig(struct made *m, const char *arg)
{
    uint8_t sig[64] = {0};
    if (*arg)
        sig[0] = 1; /* R is the neutral element */
    made_put_sig(m, sig, sizeof(sig));
}

static void
sig_length(struct made *m, const char *arg)
{
    m->sig[64] = 0;
    made_put_sig(m, m->sig, (size_t)atoi(arg));
}

/* ---- the whole text spoilt ---- */

static void
flip_bit(struct made *m, const char *arg)
{
    size_t at = (size_t)made_random(m, m->token.len);
    (void)arg;
    m->token.p[at] = (char)(m->token.p[at] ^ (1 << made_random(m, 8)));
}

static void
cut(struct made *m, const char *arg)
{
    (void)arg;
    m->token.len = (size_t)made_random(m, m->token.len);
}

static void
insert(struct made *m, const char *arg)
{
    size_t at = (size_t)made_random(m, m->token.len + 1), rest = m->token.len - at;
    char with = arg[made_random(m, strlen(arg))];
    buf_char(&m->token, with);
    memmove(m->token.p + at + 1, m->token.p + at, rest);
    m->token.p[at] = with;
}

static void
append(struct made *m, const char *arg)
{
    buf_str(&m->token, arg);
}

static void
prepend(struct made *m, const char *arg)
{
    size_t n = strlen(arg);
    buf_str(&m->token, arg);
    memmove(m->token.p + n, m->token.p, m->token.len - n);
    memcpy(m->token.p, arg, n);
}

/* The last characters of a segment say fewer bits than they could hold: the others are set. */
static void
trailing_bits(struct made *m, const char *arg)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (void)arg;
    char *last = &m->token.p[m->token.len - 1]; /* of 64 bytes: four bits of it are not used */
    const char *at = memchr(alphabet, *last, 64);
    *last = at[1 + made_random(m, 15)];
}

static void
other_alphabet(struct made *m, const char *arg)
{
    (void)arg;
    size_t changed = 0;
    for (size_t i = 0; i < m->token.len; i++) {
        char c = m->token.p[i];
        m->token.p[i] = c == '-' ? '+' : c == '_' ? '/' : c;
        changed += c == '-' || c == '_';
    }
    if (!changed)
        flip_bit(m, NULL);
}

static void
payload_of_another(struct made *m, const char *arg)
{
    char *token AUTO(mem) = slice_dup(buf_view(&m->token));
    (void)arg;
    assert(token);
    mint_set(&m->payload, "sub", "\"spiffe://ai.example.com/model/other\"");
    char *first = strchr(token, '.') + 1;
    made_sign(m);
    uint8_t sig[64];
    memcpy(sig, m->sig, sizeof(sig));
    buf_reset(&m->token);
    size_t upto = (size_t)(strchr(first, '.') - token);
    for (size_t i = 0; i <= upto; i++)
        buf_char(&m->token, token[i]);
    b64u_append(&m->token, sig, sizeof(sig));
}

/* RFC 7515 section 7.2: the same as JSON, which nobody was asked to take here. */
static void
as_json(struct made *m, const char *arg)
{
    char *token AUTO(mem) = slice_dup(buf_view(&m->token));
    (void)arg;
    assert(token);
    char *second = strchr(token, '.'), *third = strrchr(token, '.');
    buf_reset(&m->token);
    buf_printf(&m->token, "{\"protected\":\"%.*s\",\"payload\":\"%.*s\",\"signature\":\"%s\"}",
               (int)(second - token), token, (int)(third - second - 1), second + 1, third + 1);
}

static void
swap_segments(struct made *m, const char *arg)
{
    char *token AUTO(mem) = slice_dup(buf_view(&m->token));
    (void)arg;
    assert(token);
    char *second = strchr(token, '.'), *third = strrchr(token, '.');
    buf_reset(&m->token);
    buf_printf(&m->token, "%.*s.%.*s%s", (int)(third - second - 1), second + 1,
               (int)(second - token), token, third);
}

const struct made_kind spoilt_kinds[] = {
    {"bit-flipped", NULL, flip_bit, NULL},
    {"cut", NULL, cut, NULL},
    {"byte-more", NULL, insert, "ABCxyz019-_"},
    {"white-space-more", NULL, insert, " \n\t\r"},
    {"dot-more", NULL, insert, "."},
    {"padding-more", NULL, insert, "="},
    {"odd-byte-more", NULL, insert, "+/%\"\\{}\xc3\x80~"},
    {"padding-behind", NULL, append, "=="},
    {"newline-behind", NULL, append, "\n"},
    {"space-before", NULL, prepend, " "},
    {"bearer-before", NULL, prepend, "Bearer "},
    {"segment-more", NULL, append, ".AAAA"},
    {"trailing-bits", NULL, trailing_bits, NULL},
    {"other-alphabet", NULL, other_alphabet, NULL},
    {"other-payload", NULL, payload_of_another, NULL},
    {"as-json", NULL, as_json, NULL},
    {"segments-swapped", NULL, swap_segments, NULL},
    {"by-stranger", by_stranger, NULL, NULL},
    {"no-signature", NULL, no_sig, ""},
    {"s-not-canonical", NULL, s_plus_order, NULL},
    {"signature-zero", NULL, trivial_sig, ""},
    {"signature-trivial", NULL, trivial_sig, "1"},
    {"signature-63", NULL, sig_length, "63"},
    {"signature-65", NULL, sig_length, "65"},
    {"signature-32", NULL, sig_length, "32"},
};
const size_t n_spoilt_kinds = ARRAY_LEN(spoilt_kinds);

#define HEADER(name, more)                                                                         \
    {                                                                                              \
        name, header, NULL, "{\"typ\":\"JWT\",\"kid\":\"@\"," more "}"                             \
    }
#define MEMBER(name, text)                                                                         \
    {                                                                                              \
        name, member, NULL, text                                                                   \
    }
#define PAYLOAD(name, text)                                                                        \
    {                                                                                              \
        name, payload, NULL, text                                                                  \
    }

const struct made_kind wrong_kinds[] = {
    /* time, audience, issuer, key */
    {"expired", moment, NULL, "exp=-4000"},
    {"not-yet", moment, NULL, "nbf=40000"},
    {"issued-ahead", moment, NULL, "iat=40000"},
    {"lives-too-long", moment, NULL, "exp=5000"},
    MEMBER("exp-missing", "exp"),
    MEMBER("iat-missing", "iat"),
    MEMBER("nbf-missing", "nbf"),
    MEMBER("jti-missing", "jti"),
    MEMBER("sub-missing", "sub"),
    MEMBER("aud-missing", "aud"),
    MEMBER("iss-missing", "iss"),
    MEMBER("identity-missing", "agent_identity"),
    MEMBER("metadata-missing", "attestation_metadata"),
    MEMBER("iss-other", "iss=\"https://ai.example.net\""),
    MEMBER("iss-slash", "iss=\"" MINT_ISSUER "/\""),
    MEMBER("iss-case", "iss=\"https://AI.example.com\""),
    MEMBER("iss-list", "iss=[\"" MINT_ISSUER "\"]"),
    MEMBER("aud-other", "aud=\"https://mcp.example.net\""),
    MEMBER("aud-slash", "aud=\"" MINT_AUDIENCE "/\""),
    MEMBER("aud-list-other", "aud=[\"https://a.example\"]"),
    MEMBER("aud-list-empty", "aud=[]"),
    MEMBER("aud-list-mixed", "aud=[\"" MINT_AUDIENCE "\",1]"),
    MEMBER("aud-list-unbound", "aud=[\"" MINT_AUDIENCE "\",\"https://a.example\"]"),
    MEMBER("aud-object", "aud={\"" MINT_AUDIENCE "\":1}"),
    MEMBER("aud-number", "aud=1"),
    {"unknown-key", unknown_key, NULL, NULL},
    /* numbers */
    MEMBER("exp-string", "exp=\"99999999999\""),
    MEMBER("exp-fraction", "exp=99999999999.5"),
    MEMBER("exp-power", "exp=9e10"),
    MEMBER("exp-huge", "exp=1e400"),
    MEMBER("exp-long", "exp=99999999999999999999999999"),
    MEMBER("exp-negative", "exp=-1"),
    MEMBER("exp-null", "exp=null"),
    MEMBER("exp-true", "exp=true"),
    MEMBER("exp-octal", "exp=0123456789"),
    MEMBER("exp-plus", "exp=+99999999999"),
    MEMBER("exp-nan", "exp=NaN"),
    MEMBER("exp-infinity", "exp=Infinity"),
    MEMBER("nbf-string", "nbf=\"1\""),
    MEMBER("nbf-negative", "nbf=-1"),
    MEMBER("iat-string", "iat=\"1\""),
    MEMBER("iat-fraction", "iat=1.5"),
    /* what the claim set says of its members */
    MEMBER("jti-plain", "jti=\"1\""),
    MEMBER("jti-number", "jti=1"),
    MEMBER("sub-plain", "sub=\"claude\""),
    MEMBER("sub-number", "sub=1"),
    MEMBER("sub-other-model", "sub=\"spiffe://ai.example.com/model/other\""),
    MEMBER("sub-dots", "sub=\"spiffe://ai.example.com/model/../claude-sonnet-4\""),
    MEMBER("identity-text", "agent_identity=\"x\""),
    MEMBER("identity-empty", "agent_identity={}"),
    MEMBER("metadata-list", "attestation_metadata=[]"),
    MEMBER("metadata-version",
           "attestation_metadata={\"attestation_version\":\"9\",\"attestation_type\":\"provider\","
           "\"safety_level\":\"standard\",\"capabilities_declared\":[]}"),
    MEMBER("integrity-form", "agent_integrity={\"config_hash\":\"md5:00\"}"),
    MEMBER("cnf-empty", "cnf={}"),
    MEMBER("cnf-zero-key", "cnf={\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                           "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}"),
    /* the form of the payload */
    {"deep", deep, NULL, NULL},
    {"long-jti", long_text, NULL, "jti"},
    {"long-sub", long_text, NULL, "sub"},
    {"long-unknown", long_text, NULL, "x"},
    {"many-members", many_members, NULL, NULL},
    PAYLOAD("exp-twice", "{@,\"exp\":99999999999}"),
    PAYLOAD("aud-twice", "{\"aud\":\"https://a.example\",@}"),
    PAYLOAD("iss-twice-escaped", "{\"\\u0069ss\":\"https://a.example\",@}"),
    PAYLOAD("unknown-twice", "{@,\"x\":1,\"x\":2}"),
    PAYLOAD("inner-twice", "{@,\"x\":{\"a\":1,\"a\":2}}"),
    PAYLOAD("comma-behind", "{@,}"),
    PAYLOAD("comment", "{@/* */}"),
    PAYLOAD("array", "[{@}]"),
    PAYLOAD("null", "null"),
    PAYLOAD("empty-object", "{}"),
    PAYLOAD("number", "1"),
    PAYLOAD("bom", "\xef\xbb\xbf{@}"),
    PAYLOAD("bad-utf8", "{@,\"x\":\"\xc3\x28\"}"),
    PAYLOAD("overlong-utf8", "{@,\"x\":\"\xc0\xaf\"}"),
    PAYLOAD("lone-surrogate", "{@,\"x\":\"\\ud800\"}"),
    PAYLOAD("nul-escaped", "{@,\"x\":\"\\u0000\"}"),
    PAYLOAD("control", "{@,\"x\":\"\x01\"}"),
    PAYLOAD("bad-escape", "{@,\"x\":\"\\x41\"}"),
    PAYLOAD("vertical-tab", "{@\v}"),
    {"brace-behind", bytes_behind, NULL, "}"},
    {"object-behind", bytes_behind, NULL, "{}"},
    {"nul-behind", bytes_behind, NULL, ""},
    /* the header */
    HEADER("alg-none", "\"alg\":\"none\""),
    HEADER("alg-missing", "\"x\":1"),
    HEADER("alg-lower", "\"alg\":\"eddsa\""),
    HEADER("alg-list", "\"alg\":[\"EdDSA\"]"),
    HEADER("alg-es256", "\"alg\":\"ES256\""),
    HEADER("alg-ed25519-of-eddsa-key", "\"alg\":\"Ed25519\""),
    HEADER("alg-twice", "\"alg\":\"none\",\"alg\":\"EdDSA\""),
    HEADER("alg-twice-escaped", "\"alg\":\"EdDSA\",\"\\u0061lg\":\"none\""),
    HEADER("crit-unknown", "\"alg\":\"EdDSA\",\"crit\":[\"x\"],\"x\":1"),
    HEADER("crit-empty", "\"alg\":\"EdDSA\",\"crit\":[]"),
    HEADER("b64-false", "\"alg\":\"EdDSA\",\"b64\":false,\"crit\":[\"b64\"]"),
    HEADER("b64-false-uncritical", "\"alg\":\"EdDSA\",\"b64\":false"),
    HEADER("zip", "\"alg\":\"EdDSA\",\"zip\":\"DEF\""),
    HEADER("cty", "\"alg\":\"EdDSA\",\"cty\":\"JWT\""),
    HEADER("jku", "\"alg\":\"EdDSA\",\"jku\":\"https://evil.example/k\""),
    HEADER("x5u", "\"alg\":\"EdDSA\",\"x5u\":\"https://evil.example/k\""),
    HEADER("x5c", "\"alg\":\"EdDSA\",\"x5c\":[\"AAAA\"]"),
    HEADER("enc", "\"alg\":\"EdDSA\",\"enc\":\"A128GCM\""),
    {"jwk-embedded", crafted_key, NULL, ""},
    {"typ-other", header, NULL, "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"@\"}"},
    {"typ-number", header, NULL, "{\"alg\":\"EdDSA\",\"typ\":1,\"kid\":\"@\"}"},
    {"typ-missing", header, NULL, "{\"alg\":\"EdDSA\",\"kid\":\"@\"}"},
    {"typ-lower", header, NULL, "{\"alg\":\"EdDSA\",\"typ\":\"jwt\",\"kid\":\"@\"}"},
    {"kid-missing", header, NULL, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}"},
    {"kid-empty", header, NULL, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"\"}"},
    {"kid-number", header, NULL, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":1}"},
    {"kid-null", header, NULL, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":null}"},
    {"kid-path", header, NULL, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"../@\"}"},
    {"kid-twice", header, NULL, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"x\",\"kid\":\"@\"}"},
    {"header-array", header, NULL, "[\"EdDSA\"]"},
    {"header-behind", header, NULL, OK_HEADER "x"},
    {"header-comment", header, NULL, "//\n" OK_HEADER},
    {"none-unsigned", header, no_sig, "{\"alg\":\"none\",\"typ\":\"JWT\",\"kid\":\"@\"}"},
    {"none-unsigned-case", header, no_sig, "{\"alg\":\"nOnE\",\"typ\":\"JWT\",\"kid\":\"@\"}"},
    {"hmac-jwk", header, hmac, "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"@\"}"},
    {"hmac-raw", header, hmac, "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"@\",\"raw\":1}"},
};
const size_t n_wrong_kinds = ARRAY_LEN(wrong_kinds);
