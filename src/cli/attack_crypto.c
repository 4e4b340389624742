/* SPDX-License-Identifier: MIT */
#include <openssl/evp.h>
#include <string.h>

#include "base/b64u.h"
#include "cli/attack_scene.h"

/* Keys and signatures that the textbook's check of Ed25519 lets pass. */

/* ---- keys that sign anything ---- */

/*
 * The points of order 1, 2, 4 and 8, and the other spellings of those that have one (RFC 8032,
 * section 5.1.3). Whoever checks a signature by one of them without looking at it accepts R = 1,
 * S = 0 for every eighth message, or for all.
 */
static const struct {
    const char *name, *hex;
} weak_points[] = {
    {"the neutral point", "0100000000000000000000000000000000000000000000000000000000000000"},
    {"order 2", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
    {"order 4: all zeros", "0000000000000000000000000000000000000000000000000000000000000000"},
    {"order 4, other sign", "0000000000000000000000000000000000000000000000000000000000000080"},
    {"order 8, first", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"},
    {"order 8, second", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"},
    {"order 8, third", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"},
    {"order 8, fourth", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"},
    {"the neutral point, with a sign",
     "0100000000000000000000000000000000000000000000000000000000000080"},
    {"order 2, with a sign", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
    {"order 4, p added", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
    {"order 4, p added, other sign",
     "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
    {"the neutral point, p added",
     "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
    {"the neutral point, p added, with a sign",
     "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
};

static const uint8_t neutral_signature[ED25519_SIG_LEN] = {1};

static struct scene_key
weak_key(const char *hex)
{
    struct scene_key key = {.public_key = {.type = PUBKEY_ED25519}};
    hex_decode(key.public_key.bytes, ED25519_PUBLIC_LEN, slice_cstr(hex));
    jwk_thumbprint(key.kid, &key.public_key);
    return key;
}

DEFINE_AUTO(EVP_PKEY, EVP_PKEY *, EVP_PKEY_free);
DEFINE_AUTO(EVP_MD_CTX, EVP_MD_CTX *, EVP_MD_CTX_free);

/* What OpenSSL says, which asks nothing of a key. */
static bool
openssl_accepts(const struct scene_key *key, const char *token)
{
    size_t len = (size_t)(strrchr(token, '.') - token);
    AUTO(EVP_PKEY)
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->public_key.bytes,
                                                 ED25519_PUBLIC_LEN);
    AUTO(EVP_MD_CTX) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    return pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
           EVP_DigestVerify(ctx, neutral_signature, sizeof(neutral_signature),
                            (const uint8_t *)token, len) == 1;
}

/* One that a verifier of that kind accepts: the attacker tries until it does. */
static char *
forged_by(const struct scene *s, const struct scene_key *weak)
{
    char *token = NULL;
    for (int i = 0; i < 200; i++) {
        free(token);
        AUTO(mem) char *payload = scene_payload(s, &s->provider, NULL);
        token = scene_join(weak, NULL, payload, neutral_signature, sizeof(neutral_signature));
        if (!token || openssl_accepts(weak, token))
            break;
    }
    return token;
}

/* The issuer's key set names it; if that is taken, so may be the token. */
static void
try_key_set(struct scene *s, const char *name, const struct scene_key *weak)
{
    AUTO(mem) char *set = scene_key_set(weak);
    AUTO(mem) char *right = scene_key_set(&s->provider);
    AUTO(mem) char *token = forged_by(s, weak);
    AUTO(mem) char *what = scene_text("key set: %s", name);
    if (!attack_ready(s->run, name, set && right && token && what ? ATTEST_OK : ATTEST_E_NOMEM,
                      NULL))
        return;
    enum attest_rc rc = attest_keys_add_jwks(s->keys, SCENE_PROVIDER, set, strlen(set), NULL);
    attack_tried(s->run, what, ATTEST_E_MALFORMED,
                 rc == ATTEST_OK ? scene_check(s, token, NULL) : rc);
    attack_ready(s->run, "key set",
                 attest_keys_add_jwks(s->keys, SCENE_PROVIDER, right, strlen(right), NULL), NULL);
}

/* A proof for the token that a verifier of that kind accepts. */
static char *
forged_proof(const struct scene *s, const struct scene_key *weak, const char *token)
{
    char *proof = NULL;
    for (int i = 0; i < 200; i++) {
        free(proof);
        proof = scene_proof(s, &s->attacker, NULL, token, "x", "1");
        if (!proof)
            break;
        b64u_encode(strrchr(proof, '.') + 1, neutral_signature, sizeof(neutral_signature));
        if (openssl_accepts(weak, proof))
            break;
    }
    return proof;
}

/* The issuer has bound a token to it; whoever has the token has its key. */
static void
try_cnf(struct scene *s, const char *name, const struct scene_key *weak)
{
    AUTO(mem) char *what = scene_text("cnf: %s", name);
    AUTO(mem) char *cnf = scene_cnf(weak);
    char *token = scene_token(s, &s->provider, NULL, "cnf", cnf, NULL);
    scene_try_proof(s, what ? what : name, ATTEST_E_CLAIMS, token, forged_proof(s, weak, token));
}

static void
weak_keys(struct attack_run *run)
{
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        for (size_t i = 0; i < ARRAY_LEN(weak_points); i++) {
            const struct scene_key weak = weak_key(weak_points[i].hex);
            try_key_set(&s, weak_points[i].name, &weak);
            try_cnf(&s, weak_points[i].name, &weak);
        }
    }
    scene_close(&s);
}

/* ---- a second signature from a first ---- */

/* The group's order, little-endian. */
static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                                  0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                                  0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};

static void
add_order(uint8_t scalar[32])
{
    unsigned carry = 0;
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)scalar[i] + order[i];
        scalar[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

/* What its issuer signed, with another spelling of the same signature. */
static char *
respelled(const struct scene *s, void (*change)(uint8_t signature[ED25519_SIG_LEN], int n), int n)
{
    uint8_t signature[ED25519_SIG_LEN];
    char *token = scene_token(s, &s->provider, NULL, NULL);
    char *at = token ? strrchr(token, '.') + 1 : NULL;
    if (at && b64u_decode_exact(signature, sizeof(signature), slice_cstr(at))) {
        change(signature, n);
        b64u_encode(at, signature, sizeof(signature));
    }
    return token;
}

static void
add_orders(uint8_t signature[ED25519_SIG_LEN], int n)
{
    for (int i = 0; i < n; i++)
        add_order(signature + 32);
}

static void
set_bit(uint8_t signature[ED25519_SIG_LEN], int n)
{
    signature[n / 8] ^= (uint8_t)(1 << n % 8);
}

static void
fill(uint8_t signature[ED25519_SIG_LEN], int n)
{
    memset(signature, n, ED25519_SIG_LEN);
}

static void
neutral(uint8_t signature[ED25519_SIG_LEN], int n)
{
    (void)n;
    memcpy(signature, neutral_signature, ED25519_SIG_LEN);
}

static void
signature_malleability(struct attack_run *run)
{
    static const struct {
        const char *name;
        void (*change)(uint8_t signature[ED25519_SIG_LEN], int n);
        int n;
    } rows[] = {
        {"the order added to S", add_orders, 1},
        {"twice the order added to S", add_orders, 2},
        {"seven times the order added to S", add_orders, 7},
        {"fourteen times the order added to S", add_orders, 14},
        {"the highest bit of S set", set_bit, 511},
        {"the next bit of S set", set_bit, 510},
        {"the bit below that set", set_bit, 509},
        {"the sign of R turned", set_bit, 255},
        {"R neutral, S zero", neutral, 0},
        {"all zeros", fill, 0},
        {"all ones", fill, 0xff},
    };
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            scene_try(&s, rows[i].name, ATTEST_E_SIGNATURE,
                      respelled(&s, rows[i].change, rows[i].n));
    }
    scene_close(&s);
}

/* ---- a second spelling of the same bytes ---- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* 64 bytes leave four bits of the last character over. */
static char *
with_trailing_bits(const struct scene *s, size_t bits)
{
    char *token = scene_token(s, &s->provider, NULL, NULL);
    char *last = token ? token + strlen(token) - 1 : NULL;
    const char *at = last ? strchr(alphabet, *last) : NULL;
    if (at)
        *last = alphabet[(size_t)(at - alphabet) + bits];
    return token;
}

/* A token with something before, in its signature, or behind. */
static char *
dressed(const struct scene *s, const char *before, const char *within, const char *behind)
{
    AUTO(mem) char *token = scene_token(s, &s->provider, NULL, NULL);
    if (!token)
        return NULL;
    const char *signature = strrchr(token, '.') + 1;
    return scene_text("%s%.*s%.4s%s%s%s", before, (int)(signature - token), token, signature,
                      within, signature + 4, behind);
}

/* A character of the signature as a URL may spell it. */
static char *
percent_encoded(const struct scene *s)
{
    AUTO(mem) char *token = scene_token(s, &s->provider, NULL, NULL);
    if (!token)
        return NULL;
    const char *at = strrchr(token, '.') + 5;
    return scene_text("%.*s%%%02X%s", (int)(at - token), token, (unsigned)*at, at + 1);
}

/* Standard base64 in the place of base64url, where that makes a difference. */
static char *
other_alphabet(const struct scene *s)
{
    char *token = NULL;
    for (int i = 0; i < 200; i++) {
        free(token);
        token = scene_token(s, &s->provider, NULL, NULL);
        char *signature = token ? strrchr(token, '.') + 1 : NULL;
        if (!signature || strpbrk(signature, "-_"))
            break;
    }
    for (char *p = token ? strrchr(token, '.') + 1 : NULL; p && *p; p++)
        *p = (char)(*p == '-' ? '+' : *p == '_' ? '/' : *p);
    return token;
}

static void
trailing_bits(struct attack_run *run)
{
    static const struct {
        const char *name, *before, *within, *behind;
    } rows[] = {
        {"padding", "", "", "=="},
        {"one pad", "", "", "="},
        {"a line end behind", "", "", "\n"},
        {"a blank before", " ", "", ""},
        {"a line end within", "", "\n", ""},
        {"a fourth part", "", "", "."},
        {"a dot before", ".", "", ""},
        {"Bearer before", "Bearer ", "", ""},
        {"a fourth and a fifth part", "", "", ".AA.AA"},
        {"four characters too many", "", "", "AAAA"},
    };
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        for (size_t bits = 1; bits < 16; bits++) {
            AUTO(mem) char *name = scene_text("trailing bits %zu", bits);
            scene_try(&s, name ? name : "bits", ATTEST_E_MALFORMED, with_trailing_bits(&s, bits));
        }
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            scene_try(&s, rows[i].name,
                      rows[i].behind[0] == 'A' ? ATTEST_E_SIGNATURE : ATTEST_E_MALFORMED,
                      dressed(&s, rows[i].before, rows[i].within, rows[i].behind));
        scene_try(&s, "a character as in a URL", ATTEST_E_MALFORMED, percent_encoded(&s));
        scene_try(&s, "the other alphabet", ATTEST_E_MALFORMED, other_alphabet(&s));
    }
    scene_close(&s);
}

const struct attack attacks_on_crypto[] = {
    {"weak_keys", "a key that signs anything is nobody's, in any spelling", weak_keys},
    {"signature_malleability",
     "a signature has one spelling: S below the order, points as they are", signature_malleability},
    {"trailing_bits", "base64url has one spelling: no bit, pad or blank is left to choose",
     trailing_bits},
    {NULL, NULL, NULL},
};
