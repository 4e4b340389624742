/* SPDX-License-Identifier: MIT */
#include "cli/attack_scene.h"

#include <string.h>

/* What a token says, and how it says it. */

struct claim_row {
    const char *name; /* of the claim */
    const char *json;
    enum attest_rc expected;
};

/* Each row in a token that its issuer has really signed. */
static void
try_rows(struct scene *s, const struct claim_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        AUTO(mem) char *name = scene_text("%s %s", rows[i].name, rows[i].json);
        scene_try(s, name ? name : rows[i].name, rows[i].expected,
                  scene_token(s, &s->provider, NULL, rows[i].name, rows[i].json, NULL));
    }
}

/* ---- changed on the way ---- */

static const struct {
    const char *name, *was, *json;
} changed[] = {
    {"nbf", SCENE_AS_USUAL, "1"},
    {"jti", SCENE_AS_USUAL, "\"0b0e7b1c-4a5f-4d7e-9c33-0a1b2c3d4e5f\""},
    {"attestation_metadata", SCENE_AS_USUAL,
     "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","
     "\"safety_level\":\"enhanced\",\"capabilities_declared\":[\"everything\"]}"},
    {"admin", "", "true"},
};

static char *
with_signature(const struct scene *s, const void *signature, size_t len)
{
    AUTO(mem) char *payload = scene_payload(s, &s->provider, NULL);
    return scene_join(&s->provider, NULL, payload, signature, len);
}

/* The token's own signature, but for a few bits. */
static char *
bits_flipped(const struct scene *s)
{
    char *token = scene_token(s, &s->provider, NULL, NULL);
    char *at = token ? strrchr(token, '.') + 8 : NULL;
    if (at)
        *at = *at == 'A' ? 'B' : 'A';
    return token;
}

static void
token_tampering(struct attack_run *run)
{
    static const char zeros[64];
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        AUTO(mem)
        char *agent_typ = scene_text("{\"alg\":\"EdDSA\",\"typ\":\"agent-attestation+jwt\","
                                     "\"kid\":\"%s\"}",
                                     s.provider.kid);
        AUTO(mem) char *payload = scene_payload(&s, &s.provider, NULL);
        AUTO(mem) char *token = scene_sign(&s.provider, NULL, payload);
        for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
            AUTO(mem) char *name = scene_text("%s changed", changed[i].name);
            scene_try_altered(&s, name ? name : "changed", ATTEST_OK, &s.provider, changed[i].name,
                              changed[i].was, changed[i].json, NULL);
        }
        AUTO(mem) char *later = scene_text("%lld", (long long)scene_now_s(&s) + 800);
        scene_try_altered(&s, "exp put off", ATTEST_OK, &s.provider, "exp", SCENE_AS_USUAL, later,
                          NULL);
        AUTO(mem) char *other = scene_join(&s.provider, agent_typ, payload, "", 0);
        scene_try(&s, "typ changed", ATTEST_E_SIGNATURE,
                  other && token ? scene_text("%s%s", other, strrchr(token, '.') + 1) : NULL);
        if (run->n && run->tries[run->n - 1].got != ATTEST_OK)
            scene_control(&s, STEAL(token));
        scene_try(&s, "a few bits of the signature flipped", ATTEST_E_SIGNATURE, bits_flipped(&s));
        scene_try(&s, "no signature", ATTEST_E_MALFORMED, with_signature(&s, "", 0));
        scene_try(&s, "a signature of one byte", ATTEST_E_SIGNATURE, with_signature(&s, "x", 1));
        scene_try(&s, "a signature of zeros", ATTEST_E_SIGNATURE, with_signature(&s, zeros, 64));
        scene_try(&s, "half a signature", ATTEST_E_SIGNATURE, with_signature(&s, zeros, 32));
    }
    scene_close(&s);
}

/* ---- less than is asked for ---- */

static void
downgrade_attack(struct attack_run *run)
{
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        attack_tried(run, "no token", ATTEST_E_REQUIRED, scene_check(&s, NULL, NULL));
        attack_tried(run, "an empty token", ATTEST_E_MALFORMED, scene_check(&s, "", NULL));
        AUTO(mem) char *cnf = scene_cnf(&s.agent);
        scene_try_altered(&s, "the binding taken out of a bound token", ATTEST_E_PROOF_REQUIRED,
                          &s.provider, "cnf", cnf, "", NULL);
        static const struct claim_row older[] = {
            {"cnf", "null", ATTEST_E_CLAIMS},
            {"cnf", "{}", ATTEST_E_CLAIMS},
            {"attestation_metadata",
             "{\"attestation_version\":\"0.0.1\",\"attestation_type\":\"provider\","
             "\"safety_level\":\"standard\",\"capabilities_declared\":[]}",
             ATTEST_E_CLAIMS},
            {"attestation_metadata", "", ATTEST_E_CLAIMS},
            {"exp", "", ATTEST_E_CLAIMS},
            {"jti", "", ATTEST_E_CLAIMS},
            {"aud", "", ATTEST_E_CLAIMS},
        };
        try_rows(&s, older, ARRAY_LEN(older));
    }
    scene_close(&s);
}

static enum attest_rc
only_enhanced(struct attest_policy *policy, struct attest_error *err)
{
    return attest_policy_set_safety_min(policy, ATTEST_SAFETY_ENHANCED, err);
}

#define OF_SAFETY(level)                                                                           \
    "{\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\",\"safety_level\":" level \
    ",\"capabilities_declared\":[\"tools\"]}"

static char *
enhanced_token(struct scene *s)
{
    return scene_token(s, &s->provider, NULL, "attestation_metadata", OF_SAFETY("\"enhanced\""),
                       NULL);
}

static void
safety_downgrade(struct attack_run *run)
{
    const struct scene_wish wish = {.policy = only_enhanced, .honest = enhanced_token};
    static const struct claim_row rows[] = {
        {"attestation_metadata", OF_SAFETY("\"standard\""), ATTEST_E_POLICY},
        {"attestation_metadata", OF_SAFETY("\"minimal\""), ATTEST_E_CLAIMS},
        {"attestation_metadata", OF_SAFETY("\"Enhanced\""), ATTEST_E_CLAIMS},
        {"attestation_metadata", OF_SAFETY("\"enhanced \""), ATTEST_E_CLAIMS},
        {"attestation_metadata", OF_SAFETY("\"none\""), ATTEST_E_CLAIMS},
        {"attestation_metadata", OF_SAFETY("2"), ATTEST_E_CLAIMS},
        {"attestation_metadata", OF_SAFETY("[\"enhanced\"]"), ATTEST_E_CLAIMS},
    };
    struct scene s;
    if (scene_open(&s, run, &wish)) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            const char *level = strstr(rows[i].json, "safety_level") + 14;
            AUTO(mem) char *name = scene_text("safety_level %.*s", (int)strcspn(level, ","), level);
            scene_try(&s, name ? name : "safety_level", rows[i].expected,
                      scene_token(&s, &s.provider, NULL, rows[i].name, rows[i].json, NULL));
        }
        scene_try_altered(&s, "a lower level written over", ATTEST_E_POLICY, &s.provider,
                          "attestation_metadata", OF_SAFETY("\"standard\""),
                          OF_SAFETY("\"enhanced\""), NULL);
    }
    scene_close(&s);
}

/* ---- for whom it is ---- */

static void
audience_mismatch(struct attack_run *run)
{
    static const struct claim_row rows[] = {
        {"aud", "\"https://other.example.com\"", ATTEST_E_AUDIENCE},
        {"aud", "\"https://mcp.example.com/\"", ATTEST_E_AUDIENCE},
        {"aud", "\"https://mcp.example.com:443\"", ATTEST_E_AUDIENCE},
        {"aud", "\"https://MCP.example.com\"", ATTEST_E_AUDIENCE},
        {"aud", "\"http://mcp.example.com\"", ATTEST_E_AUDIENCE},
        {"aud", "\"https://mcp.example.co\"", ATTEST_E_AUDIENCE},
        {"aud", "\"https://mcp.example.com.evil.example\"", ATTEST_E_AUDIENCE},
        {"aud", "\"https://evil.example/https://mcp.example.com\"", ATTEST_E_AUDIENCE},
        {"aud", "\"" SCENE_PROVIDER "\"", ATTEST_E_AUDIENCE},
        {"aud", "[\"https://other.example.com\"]", ATTEST_E_AUDIENCE},
    };
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        try_rows(&s, rows, ARRAY_LEN(rows));
        scene_try_altered(&s, "this server's name written over another's", ATTEST_E_AUDIENCE,
                          &s.provider, "aud", "\"https://other.example.com\"",
                          "\"" SCENE_AUDIENCE "\"", NULL);
    }
    scene_close(&s);
}

static void
audience_confusion(struct attack_run *run)
{
    static const struct claim_row rows[] = {
        {"aud", "{\"aud\":\"" SCENE_AUDIENCE "\"}", ATTEST_E_CLAIMS},
        {"aud", "{\"" SCENE_AUDIENCE "\":true}", ATTEST_E_CLAIMS},
        {"aud", "{\"0\":\"" SCENE_AUDIENCE "\",\"length\":1}", ATTEST_E_CLAIMS},
        {"aud", "[[\"" SCENE_AUDIENCE "\"]]", ATTEST_E_CLAIMS},
        {"aud", "[\"" SCENE_AUDIENCE "\",1]", ATTEST_E_CLAIMS},
        {"aud", "[\"" SCENE_AUDIENCE "\",null]", ATTEST_E_CLAIMS},
        {"aud", "[\"" SCENE_AUDIENCE "\",\"https://evil.example\"]", ATTEST_E_CLAIMS},
        {"aud", "[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"" SCENE_AUDIENCE "\"]",
         ATTEST_E_CLAIMS},
        {"aud", "[]", ATTEST_E_CLAIMS},
        {"aud", "\"\"", ATTEST_E_CLAIMS},
        {"aud", "null", ATTEST_E_CLAIMS},
        {"aud", "true", ATTEST_E_CLAIMS},
        {"aud", "0", ATTEST_E_CLAIMS},
        {"aud", "\"*\"", ATTEST_E_AUDIENCE},
        {"aud", "\"[\\\"" SCENE_AUDIENCE "\\\"]\"", ATTEST_E_AUDIENCE},
        {"aud", "\"" SCENE_AUDIENCE " https://evil.example\"", ATTEST_E_AUDIENCE},
        {"aud", "\"" SCENE_AUDIENCE ",https://evil.example\"", ATTEST_E_AUDIENCE},
        {"aud", "\"" SCENE_AUDIENCE "\\u0000\"", ATTEST_E_MALFORMED},
        {"aud", "\"" SCENE_AUDIENCE "\\n\"", ATTEST_E_CLAIMS},
    };
    struct scene s;
    if (scene_open(&s, run, NULL))
        try_rows(&s, rows, ARRAY_LEN(rows));
    scene_close(&s);
}

/* ---- two readers, two meanings ---- */

/* What was signed has more in front than the reader looks for behind. */
static char *
twice(const struct scene *s, const char *again)
{
    AUTO(mem) char *payload = scene_payload(s, &s->provider, NULL);
    AUTO(mem) char *text = payload ? scene_text("{%s,%s", again, payload + 1) : NULL;
    return text ? scene_sign(&s->provider, NULL, text) : NULL;
}

static char *
header_twice(const struct scene *s, const char *again)
{
    AUTO(mem) char *right = scene_header(&s->provider);
    AUTO(mem) char *header = right ? scene_text("{%s,%s", again, right + 1) : NULL;
    return header ? scene_token(s, &s->provider, header, NULL) : NULL;
}

static void
duplicate_members(struct attack_run *run)
{
    static const char *const claims[] = {
        "\"aud\":\"https://evil.example\"",
        "\"\\u0061ud\":\"https://evil.example\"",
        "\"iss\":\"https://evil.example\"",
        "\"is\\u0073\":\"https://evil.example\"",
        "\"exp\":4000000000",
        "\"ex\\u0070\":4000000000",
        "\"jti\":\"0b0e7b1c-4a5f-4d7e-9c33-0a1b2c3d4e5f\"",
        "\"sub\":\"spiffe://ai.example.com/model/claude-opus-4\"",
        "\"x\":{\"y\":1,\"y\":2}",
        "\"x\":{\"y\":1,\"\\u0079\":2}",
    };
    static const char *const headers[] = {
        "\"alg\":\"none\"",       "\"\\u0061lg\":\"none\"", "\"kid\":\"evil\"",
        "\"k\\u0069d\":\"evil\"", "\"typ\":\"evil\"",
    };
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        for (size_t i = 0; i < ARRAY_LEN(claims); i++)
            scene_try(&s, claims[i], ATTEST_E_MALFORMED, twice(&s, claims[i]));
        for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
            AUTO(mem) char *name = scene_text("header %s", headers[i]);
            scene_try(&s, name ? name : "header", ATTEST_E_MALFORMED, header_twice(&s, headers[i]));
        }
    }
    scene_close(&s);
}

/* ---- numbers ---- */

static void
numeric_extremes(struct attack_run *run)
{
    static const struct claim_row rows[] = {
        {"exp", "253402300799", ATTEST_E_POLICY}, /* the last second of the year 9999 */
        {"exp", "253402300800", ATTEST_E_CLAIMS},
        {"exp", "9223372036854775807", ATTEST_E_CLAIMS},
        {"exp", "9223372036854775808", ATTEST_E_CLAIMS},
        {"exp", "18446744073709551616", ATTEST_E_CLAIMS},
        {"exp", "18446744073709551615", ATTEST_E_CLAIMS},
        {"exp", "1e400", ATTEST_E_CLAIMS},
        {"exp", "4e9", ATTEST_E_CLAIMS},
        {"exp", "4000000000.0", ATTEST_E_CLAIMS},
        {"exp", "4000000000.5", ATTEST_E_CLAIMS},
        {"exp", "-0", ATTEST_E_CLAIMS},
        {"exp", "-1", ATTEST_E_CLAIMS},
        {"exp", "-9223372036854775808", ATTEST_E_CLAIMS},
        {"exp", "\"4000000000\"", ATTEST_E_CLAIMS},
        {"exp", "[4000000000]", ATTEST_E_CLAIMS},
        {"exp", "{}", ATTEST_E_CLAIMS},
        {"exp", "true", ATTEST_E_CLAIMS},
        {"exp", "null", ATTEST_E_CLAIMS},
        {"exp", "04000000000", ATTEST_E_MALFORMED},
        {"exp", "+4000000000", ATTEST_E_MALFORMED},
        {"exp", "0xee6b2800", ATTEST_E_MALFORMED},
        {"exp", "Infinity", ATTEST_E_MALFORMED},
        {"exp", "NaN", ATTEST_E_MALFORMED},
        {"exp", "4_000_000_000", ATTEST_E_MALFORMED},
        {"exp", "0", ATTEST_E_EXPIRED},
        {"nbf", "-1", ATTEST_E_CLAIMS},
        {"nbf", "4000000000", ATTEST_E_NOT_YET_VALID},
        {"iat", "4000000000", ATTEST_E_NOT_YET_VALID},
        {"iat", "0", ATTEST_E_POLICY},
        {"iat", "-9223372036854775808", ATTEST_E_CLAIMS},
        {"iat", "1e400", ATTEST_E_CLAIMS},
    };
    struct scene s;
    if (scene_open(&s, run, NULL))
        try_rows(&s, rows, ARRAY_LEN(rows));
    scene_close(&s);
}

const struct attack attacks_on_claims[] = {
    {"token_tampering", "not a byte of a token can be changed", token_tampering},
    {"downgrade_attack", "less than is asked for is not enough", downgrade_attack},
    {"audience_mismatch", "a token for one server opens no other", audience_mismatch},
    {"safety_downgrade", "a lower safety level does not pass for a higher one", safety_downgrade},
    {"audience_confusion", "an audience of another type is none", audience_confusion},
    {"duplicate_members", "what two readers could read in two ways is not read", duplicate_members},
    {"numeric_extremes", "a time that is no whole second of this era is none", numeric_extremes},
    {NULL, NULL, NULL},
};
