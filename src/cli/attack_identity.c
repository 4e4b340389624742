/* SPDX-License-Identifier: MIT */
#include "cli/attack_scene.h"

#include <string.h>

/* Who says it, of whom, and whether he may. */

#define METADATA                                                                                   \
    "\"attestation_version\":\"0.1.0\",\"attestation_type\":\"provider\","                         \
    "\"safety_level\":\"standard\",\"capabilities_declared\":[\"tools\"]"
#define IDENTITY(family, version, provider)                                                        \
    "{\"model_family\":\"" family "\",\"model_version\":\"" version "\",\"provider\":\"" provider  \
    "\"}"
#define OPUS IDENTITY("claude-4", "claude-opus-4", "anthropic")
#define SUB_OPUS "\"spiffe://ai.example.com/model/claude-opus-4\""
#define SUB_SONNET "\"spiffe://ai.example.com/model/claude-sonnet-4\""
#define SUB_SONNET_THERE "\"spiffe://agents.example.net/model/claude-sonnet-4\""
#define SONNET IDENTITY("claude-4", "claude-sonnet-4", "anthropic")

/* ---- who it claims to be ---- */

static enum attest_rc
only_claude(struct attest_policy *policy, struct attest_error *err)
{
    return attest_policy_add_model_family(policy, "claude-4", err);
}

static void
model_spoofing(struct attack_run *run)
{
    const struct scene_wish wish = {.policy = only_claude};
    struct scene s;
    if (scene_open(&s, run, &wish)) {
        AUTO(mem) char *as_provider = scene_header(&s.provider);
        scene_try_altered(&s, "another model written into a token of the issuer", ATTEST_OK,
                          &s.provider, "sub", SCENE_AS_USUAL, SUB_OPUS, "agent_identity",
                          SCENE_AS_USUAL, OPUS, NULL);
        scene_try(&s, "another model, signed by the attacker under the issuer's kid",
                  ATTEST_E_SIGNATURE,
                  scene_token(&s, &s.attacker, as_provider, "sub", SUB_OPUS, "agent_identity", OPUS,
                              NULL));
        scene_try(&s, "one model in sub, another in agent_identity", ATTEST_E_CLAIMS,
                  scene_token(&s, &s.provider, NULL, "agent_identity", OPUS, NULL));
        scene_try(&s, "a model of a provider that the issuer may not speak for", ATTEST_E_POLICY,
                  scene_token(&s, &s.provider, NULL, "agent_identity",
                              IDENTITY("claude-4", "claude-sonnet-4", "openai"), NULL));
        scene_try(&s, "a model family that is not on the list", ATTEST_E_POLICY,
                  scene_token(&s, &s.provider, NULL, "agent_identity",
                              IDENTITY("claude-4 ", "claude-sonnet-4", "anthropic"), NULL));
    }
    scene_close(&s);
}

static enum attest_rc
only_providers(struct attest_policy *policy, struct attest_error *err)
{
    return attest_policy_set_trust_min(policy, ATTEST_TRUST_PROVIDER, err);
}

static void
provenance_forgery(struct attack_run *run)
{
    const struct scene_wish wish = {.policy = only_providers};
    struct scene s;
    if (scene_open(&s, run, &wish)) {
        AUTO(mem) char *as_provider = scene_header(&s.provider);
        scene_try(&s, "the attacker's key under its own kid", ATTEST_E_KEY_UNKNOWN,
                  scene_token(&s, &s.attacker, NULL, NULL));
        scene_try(&s, "the attacker's key under the issuer's kid", ATTEST_E_SIGNATURE,
                  scene_token(&s, &s.attacker, as_provider, NULL));
        scene_try(&s, "an issuer of the attacker's own", ATTEST_E_ISSUER,
                  scene_token(&s, &s.attacker, NULL, "iss", "\"https://evil.example\"", NULL));
        scene_try(&s, "an enterprise's word where a provider's is asked for", ATTEST_E_POLICY,
                  scene_token(&s, &s.enterprise, NULL, NULL));
        scene_try(&s, "an enterprise that calls itself a provider", ATTEST_E_POLICY,
                  scene_token(&s, &s.enterprise, NULL, "sub", SUB_SONNET_THERE, "agent_identity",
                              SONNET, "attestation_metadata", "{" METADATA "}", NULL));
        scene_try(&s, "an issuer that speaks for another's trust domain", ATTEST_E_POLICY,
                  scene_token(&s, &s.provider, NULL, "sub", SUB_SONNET_THERE, NULL));
    }
    scene_close(&s);
}

/* ---- names that look like the issuer's ---- */

static const struct {
    const char *iss; /* as JSON */
    enum attest_rc expected;
} lookalikes[] = {
    {"\"https://ai.examp1e.com\"", ATTEST_E_ISSUER},
    {"\"https://ai-example.com\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.com/\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.com.\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.com:443\"", ATTEST_E_ISSUER},
    {"\"https://AI.example.com\"", ATTEST_E_ISSUER},
    {"\"HTTPS://ai.example.com\"", ATTEST_E_ISSUER},
    {"\"http://ai.example.com\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.com.evil.example\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.com@evil.example\"", ATTEST_E_ISSUER},
    {"\"https://evil.example/https://ai.example.com\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.com?evil.example\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.com#\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.com%2eevil.example\"", ATTEST_E_ISSUER},
    {"\"https://\\u0430i.example.com\"", ATTEST_E_ISSUER}, /* a Cyrillic letter */
    {"\"https://xn--i-7sbc.example.com\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.com\\u200b\"", ATTEST_E_ISSUER}, /* of no width */
    {"\" https://ai.example.com\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.com\\n\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.co\"", ATTEST_E_ISSUER},
    {"\"https://ai.example.com\\u0000.evil.example\"", ATTEST_E_MALFORMED},
    {"[\"https://ai.example.com\"]", ATTEST_E_MALFORMED},
    {"{\"iss\":\"https://ai.example.com\"}", ATTEST_E_MALFORMED},
    {"null", ATTEST_E_MALFORMED},
    {"\"\"", ATTEST_E_MALFORMED},
};

static void
issuer_spoofing(struct attack_run *run)
{
    struct scene s;
    if (scene_open(&s, run, NULL)) {
        for (size_t i = 0; i < ARRAY_LEN(lookalikes); i++) {
            AUTO(mem) char *name = scene_text("iss %s", lookalikes[i].iss);
            scene_try(&s, name ? name : "iss", lookalikes[i].expected,
                      scene_token(&s, &s.attacker, NULL, "iss", lookalikes[i].iss, NULL));
        }
    }
    scene_close(&s);
}

/* ---- one trusted issuer against another ---- */

/* The enterprise now publishes a key of its own under the provider's kid. */
static enum attest_rc
publish_same_kid(struct scene *s, struct attest_error *err)
{
    struct scene_key key = s->enterprise;
    memcpy(key.kid, s->provider.kid, sizeof(key.kid));
    AUTO(mem) char *set = scene_key_set(&key);
    return set ? attest_keys_add_jwks(s->keys, SCENE_ENTERPRISE, set, strlen(set), err)
               : ATTEST_E_NOMEM;
}

/* A right token of this issuer, but for who signed it. */
static char *
of_but_by(const struct scene *s, const struct scene_key *issuer, const struct scene_key *signer,
          const char *header)
{
    AUTO(mem) char *payload = scene_payload(s, issuer, NULL);
    return scene_sign(signer, header, payload);
}

static void
cross_issuer_kid(struct attack_run *run)
{
    struct scene s;
    struct attest_error err = {0};
    if (scene_open(&s, run, NULL)) {
        AUTO(mem) char *as_provider = scene_header(&s.provider);
        scene_try(&s, "the provider's name, the enterprise's key and kid", ATTEST_E_KEY_UNKNOWN,
                  of_but_by(&s, &s.provider, &s.enterprise, NULL));
        scene_try(&s, "the provider's name and kid, the enterprise's key", ATTEST_E_SIGNATURE,
                  of_but_by(&s, &s.provider, &s.enterprise, as_provider));
        scene_try(&s, "the enterprise's name, the provider's key and kid", ATTEST_E_KEY_UNKNOWN,
                  of_but_by(&s, &s.enterprise, &s.provider, NULL));
        if (attack_ready(run, "key set", publish_same_kid(&s, &err), &err))
            scene_try(&s, "the enterprise publishes a key under the provider's kid",
                      ATTEST_E_SIGNATURE, of_but_by(&s, &s.provider, &s.enterprise, as_provider));
    }
    scene_close(&s);
}

/* ---- attestations in attestations ---- */

/* The enterprise's word on the provider's agent, right but for one member. */
static char *
nested(const struct scene *s, const struct scene_key *key, const char *header, const char *name,
       const char *json)
{
    return scene_token(s, key, header, "iss", "\"" SCENE_ENTERPRISE "\"", "sub", SUB_SONNET_THERE,
                       "aud", "\"" SCENE_PROVIDER "\"", "agent_identity", SONNET,
                       "attestation_metadata", "{" METADATA "}", name, json, NULL);
}

/*
 * A token of key's issuer with this one inside, which is freed. It ends first, as it must, though
 * it is made later.
 */
static char *
enclosing(const struct scene *s, const struct scene_key *key, const char *sub, char *inner)
{
    AUTO(mem) char *mine = inner;
    AUTO(mem) char *exp = scene_text("%lld", (long long)scene_now_s(s) + 200);
    AUTO(mem)
    char *metadata = mine ? scene_text("{" METADATA ",\"nested_attestation\":\"%s\"}", mine) : NULL;
    return scene_token(s, key, NULL, "sub", sub, "agent_identity", SONNET, "exp", exp,
                       "attestation_metadata", metadata, NULL);
}

static char *
around(const struct scene *s, char *inner)
{
    return enclosing(s, &s->provider, SUB_SONNET, inner);
}

static enum attest_rc
demand_nested(struct attest_policy *policy, struct attest_error *err)
{
    enum attest_rc rc = only_providers(policy, err);
    return rc == ATTEST_OK
               ? attest_policy_require_claim(policy, "attestation_metadata.nested_attestation", err)
               : rc;
}

static char *
honest_nested(struct scene *s)
{
    return around(s, nested(s, &s->enterprise, NULL, "sub", SUB_SONNET_THERE));
}

/* The enterprise's own token, with the provider's word inside to lift it. */
static char *
lifted(const struct scene *s)
{
    return enclosing(s, &s->enterprise, SUB_SONNET_THERE,
                     scene_token(s, &s->provider, NULL, "aud", "\"" SCENE_ENTERPRISE "\"", NULL));
}

static void
try_nested(struct scene *s)
{
    AUTO(mem) char *as_enterprise = scene_header(&s->enterprise);
    AUTO(mem) char *soon = scene_text("%lld", (long long)scene_now_s(s) + 60);
    AUTO(mem) char *cnf = scene_cnf(&s->agent);
    scene_try(s, "none where one is demanded", ATTEST_E_CLAIMS,
              scene_token(s, &s->provider, NULL, NULL));
    scene_try(s, "the issuer vouches for itself", ATTEST_E_CLAIMS,
              around(s, scene_token(s, &s->provider, NULL, "aud", "\"" SCENE_PROVIDER "\"", NULL)));
    scene_try(s, "one of an issuer that nobody trusts", ATTEST_E_CLAIMS,
              around(s, nested(s, &s->attacker, NULL, "iss", "\"https://evil.example\"")));
    scene_try(s, "the attacker's key under the inner issuer's kid", ATTEST_E_CLAIMS,
              around(s, nested(s, &s->attacker, as_enterprise, "iss", "\"" SCENE_ENTERPRISE "\"")));
    scene_try(s, "one of another agent", ATTEST_E_CLAIMS,
              around(s, nested(s, &s->enterprise, NULL, "agent_identity", OPUS)));
    scene_try(s, "one that was meant for someone else", ATTEST_E_CLAIMS,
              around(s, nested(s, &s->enterprise, NULL, "aud", "\"" SCENE_AUDIENCE "\"")));
    scene_try(s, "one that ends before the outer one", ATTEST_E_CLAIMS,
              around(s, nested(s, &s->enterprise, NULL, "exp", soon)));
    scene_try(s, "one that is bound to another key", ATTEST_E_CLAIMS,
              around(s, nested(s, &s->enterprise, NULL, "cnf", cnf)));
    scene_try(s, "no token at all inside", ATTEST_E_CLAIMS, around(s, scene_text("a.b")));
    scene_try(s, "a provider's word inside an enterprise's token", ATTEST_E_POLICY, lifted(s));
}

static void
nested_abuse(struct attack_run *run)
{
    const struct scene_wish wish = {.policy = demand_nested, .honest = honest_nested};
    struct scene s;
    if (scene_open(&s, run, &wish))
        try_nested(&s);
    scene_close(&s);
    /* Where none is demanded, it could do. */
    if (scene_open(&s, run, NULL))
        scene_try(&s, "the inner one shown by itself", ATTEST_E_AUDIENCE,
                  nested(&s, &s.enterprise, NULL, "aud", "\"" SCENE_PROVIDER "\""));
    scene_close(&s);
}

/* ---- a token without its key ---- */

static void
try_proof(struct scene *s, const char *name, enum attest_rc expected, const struct scene_key *key,
          const char *header, const char *member, const char *json)
{
    char *token = scene_bound(s);
    scene_try_proof(s, name, expected, token, scene_proof(s, key, header, token, member, json));
}

/* The token is not the agent's any more, if one believes it. */
static void
try_rebound(struct scene *s)
{
    static const char name[] = "with the attacker's key written into it, and a proof by that";
    AUTO(scene_altered) struct scene_altered a = {0};
    AUTO(mem) char *agents = scene_cnf(&s->agent);
    AUTO(mem) char *attackers = scene_cnf(&s->attacker);
    bool made = scene_alter(s, &s->provider, &a, "cnf", agents, attackers, NULL);
    AUTO(mem) char *proof = made ? scene_proof(s, &s->agent, NULL, a.right, "x", "1") : NULL;
    if (!attack_ready(s->run, name, proof ? ATTEST_OK : ATTEST_E_NOMEM, NULL))
        return;
    scene_try_proof(s, name, ATTEST_E_SIGNATURE, scene_text("%s", a.wrong),
                    scene_proof(s, &s->attacker, NULL, a.wrong, "x", "1"));
    attack_ready(s->run, "the same with the agent's key and proof", scene_check(s, a.right, proof),
                 NULL);
}

static void
try_stolen(struct scene *s)
{
    AUTO(mem) char *used = scene_bound(s);
    AUTO(mem) char *right = scene_proof(s, &s->agent, NULL, used, "x", "1");
    AUTO(mem) char *jwk = scene_jwk(&s->attacker);
    AUTO(mem)
    char *embedded =
        jwk ? scene_text("{\"alg\":\"EdDSA\",\"typ\":\"wpt+jwt\",\"jwk\":%s}", jwk) : NULL;
    AUTO(mem) char *far = scene_text("%lld", (long long)scene_now_s(s) + 3600);
    AUTO(mem) char *past = scene_text("%lld", (long long)scene_now_s(s) - 3600);
    if (!used || !right || !embedded || !far || !past ||
        !attack_ready(s->run, "an honest proof is refused", scene_check(s, used, right), NULL))
        return;
    scene_try(s, "without a proof", ATTEST_E_PROOF_REQUIRED, scene_bound(s));
    scene_try_proof(s, "with the proof that was seen with it", ATTEST_E_REPLAY,
                    scene_text("%s", used), scene_text("%s", right));
    scene_try_proof(s, "with a proof by the attacker's key, when it is known already",
                    ATTEST_E_PROOF, scene_text("%s", used),
                    scene_proof(s, &s->attacker, NULL, used, "x", "1"));
    scene_try_proof(s, "with a proof for another token", ATTEST_E_PROOF, scene_bound(s),
                    scene_text("%s", right));
    try_rebound(s);
    try_proof(s, "with a proof by the attacker's key", ATTEST_E_PROOF, &s->attacker, NULL, "x",
              "1");
    try_proof(s, "with the attacker's key in the proof's header", ATTEST_E_PROOF, &s->attacker,
              embedded, "x", "1");
    try_proof(s, "with a proof for another server", ATTEST_E_PROOF, &s->agent, NULL, "aud",
              "\"https://evil.example\"");
    try_proof(s, "with a proof for two servers", ATTEST_E_PROOF, &s->agent, NULL, "aud",
              "[\"" SCENE_AUDIENCE "\",\"https://evil.example\"]");
    try_proof(s, "with a proof without alg", ATTEST_E_PROOF, &s->attacker,
              "{\"alg\":\"none\",\"typ\":\"wpt+jwt\"}", "x", "1");
    try_proof(s, "with another kind of token as proof", ATTEST_E_PROOF, &s->agent,
              "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}", "x", "1");
    try_proof(s, "with a proof that has ended", ATTEST_E_PROOF, &s->agent, NULL, "exp", past);
    try_proof(s, "with a proof for an hour", ATTEST_E_PROOF, &s->agent, NULL, "exp", far);
    scene_try_proof(s, "with the token itself as proof", ATTEST_E_PROOF, scene_text("%s", used),
                    scene_text("%s", used));
}

static void
stolen_token(struct attack_run *run)
{
    struct scene s;
    if (scene_open(&s, run, NULL))
        try_stolen(&s);
    scene_close(&s);
}

const struct attack attacks_on_identity[] = {
    {"model_spoofing", "no agent passes for another model", model_spoofing},
    {"provenance_forgery", "no one speaks for an issuer without its key, nor above its rank",
     provenance_forgery},
    {"issuer_spoofing", "an issuer's name is compared byte for byte", issuer_spoofing},
    {"cross_issuer_kid", "a key speaks for the issuer that published it and for no other",
     cross_issuer_kid},
    {"nested_abuse", "an attestation inside another is held to all that one is, and lifts nothing",
     nested_abuse},
    {"stolen_token", "a bound token is worth nothing without its key", stolen_token},
    {NULL, NULL, NULL},
};
