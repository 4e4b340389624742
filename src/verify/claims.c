/* SPDX-License-Identifier: MIT */
#include "verify/claims.h"

#include <string.h>

_Static_assert(ATTEST_KEY_LEN == ED25519_PUBLIC_LEN, "cnf holds Ed25519 keys");

/* Which slice becomes which string. */
static const struct {
    size_t from, to;
} strings[] = {
#define STRING(name)                                                                               \
    {                                                                                              \
        offsetof(struct claims, name), offsetof(struct attest_claims, name)                        \
    }
    STRING(iss),           STRING(sub),
    STRING(jti),           STRING(model_family),
    STRING(model_version), STRING(provider),
    STRING(deployment_id), STRING(org_id),
    STRING(workload_id),   STRING(deployment_env),
    STRING(config_hash),   STRING(system_prompt_hash),
#undef STRING
};

static struct slice
slice_at(const struct claims *claims, size_t i)
{
    return *(const struct slice *)((const char *)claims + strings[i].from);
}

static size_t
room_for(const struct claims *claims, const struct claims_findings *findings)
{
    size_t n = 0;
    for (size_t i = 0; i < findings->n_signers; i++)
        n += findings->signers[i].kid_len + findings->signers[i].issuer.len + 2;
    for (size_t i = 0; i < ARRAY_LEN(strings); i++)
        n += slice_at(claims, i).len + 1;
    for (size_t i = 0; i < claims->n_aud; i++)
        n += claims->aud[i].len + 1;
    for (const struct json_node *c = NULL; json_each(claims->json, claims->capabilities, NULL, &c);)
        n += c->text.len + 1;
    if (findings->nested_verified)
        n += claims->nested_attestation.len + 1;
    return n;
}

static const char *
put(char **room, struct slice s)
{
    char *begin = *room;
    if (!s.p)
        return NULL;
    memcpy(begin, s.p, s.len);
    begin[s.len] = '\0';
    *room += s.len + 1;
    return begin;
}

static struct slice
put_slice(char **room, struct slice s)
{
    return (struct slice){put(room, s), s.len};
}

static void
put_signers(struct attest_claims *kept, const struct claims_findings *findings, char **room)
{
    for (size_t i = 0; i < findings->n_signers; i++) {
        struct claims_signer *to = &kept->signers[kept->n_signers++];
        to->issuer = put_slice(room, findings->signers[i].issuer);
        to->kid =
            put_slice(room, (struct slice){findings->signers[i].kid, findings->signers[i].kid_len});
        to->key = findings->signers[i].key;
    }
    kept->kid = kept->signers[0].kid.p;
}

static void
put_all(struct attest_claims *kept, const struct claims *claims,
        const struct claims_findings *findings, char *room)
{
    put_signers(kept, findings, &room);
    for (size_t i = 0; i < ARRAY_LEN(strings); i++)
        *(const char **)((char *)kept + strings[i].to) = put(&room, slice_at(claims, i));
    for (size_t i = 0; i < claims->n_aud; i++)
        kept->aud[kept->n_aud++] = put(&room, claims->aud[i]);
    for (const struct json_node *c = NULL; json_each(claims->json, claims->capabilities, NULL, &c);)
        kept->capabilities[kept->n_capabilities++] = put(&room, c->text);
    if (findings->nested_verified)
        kept->nested_attestation = put(&room, claims->nested_attestation);
    kept->trust_domain = claims->subject.trust_domain;
    kept->trust_domain.p = kept->sub + (claims->subject.trust_domain.p - claims->sub.p);
}

struct attest_claims *
claims_keep(const struct claims *claims, const struct claims_findings *findings)
{
    size_t n_pointers = claims->n_aud + (claims->capabilities ? claims->capabilities->count : 0);
    struct attest_claims *kept =
        calloc(1, sizeof(*kept) + findings->n_signers * sizeof(*kept->signers) +
                      n_pointers * sizeof(char *) + room_for(claims, findings));
    if (!kept)
        return NULL;
    atomic_init(&kept->holders, 1);
    kept->signers = (struct claims_signer *)(kept + 1);
    kept->aud = (const char **)(kept->signers + findings->n_signers);
    kept->capabilities = kept->aud + claims->n_aud;
    put_all(kept, claims, findings, (char *)(kept->aud + n_pointers));
    kept->aud_matched = findings->aud_matched;
    kept->aud_is_array = claims->at[CLAIM_AUD]->type == JSON_ARRAY;
    kept->enterprise = claims->enterprise;
    kept->bound = claims->bound;
    kept->iat = claims->iat;
    kept->nbf = claims->nbf;
    kept->exp = claims->exp;
    kept->type = claims->type;
    kept->safety = (enum attest_safety)claims->safety;
    kept->trust = findings->trust;
    kept->there = findings->there;
    kept->times = findings->times;
    for (int i = 0; i < CLAIM_COUNT; i++)
        kept->verified |= claims->at[i] ? CLAIM_BIT(i) : 0;
    memcpy(kept->cnf_key, claims->cnf_key, sizeof(kept->cnf_key));
    if (claims->bound) {
        const struct pubkey key = pubkey_ed25519(claims->cnf_key);
        jwk_thumbprint(kept->cnf_thumbprint, &key);
    }
    return kept;
}

void
attest_claims_free(struct attest_claims *claims)
{
    if (claims && atomic_fetch_sub_explicit(&claims->holders, 1, memory_order_acq_rel) == 1)
        free(claims);
}

struct attest_claims *
claims_hold(struct attest_claims *claims)
{
    atomic_fetch_add_explicit(&claims->holders, 1, memory_order_relaxed);
    return claims;
}

void
claims_view(const struct attest_claims *claims, struct claims_view *ret)
{
    *ret = (struct claims_view){
        .n_aud = claims->n_aud,
        .trust_domain = claims->trust_domain,
        .provider = slice_cstr(claims->provider),
        .model_family = slice_cstr(claims->model_family),
        .model_version = slice_cstr(claims->model_version),
        .iat = claims->iat,
        .exp = claims->exp,
        .type = claims->type,
        .safety = (enum safety_level)claims->safety,
        .there = claims->there,
    };
    for (size_t i = 0; i < claims->n_aud; i++)
        ret->aud[i] = slice_cstr(claims->aud[i]);
}

#define STRING_ACCESSOR(name, member)                                                              \
    const char *attest_claims_##name(const struct attest_claims *claims)                           \
    {                                                                                              \
        return claims->member;                                                                     \
    }

STRING_ACCESSOR(issuer, iss)
STRING_ACCESSOR(subject, sub)
STRING_ACCESSOR(id, jti)
STRING_ACCESSOR(kid, kid)
STRING_ACCESSOR(model_family, model_family)
STRING_ACCESSOR(model_version, model_version)
STRING_ACCESSOR(provider, provider)
STRING_ACCESSOR(deployment_id, deployment_id)
STRING_ACCESSOR(org_id, org_id)
STRING_ACCESSOR(workload_id, workload_id)
STRING_ACCESSOR(deployment_env, deployment_env)
STRING_ACCESSOR(config_hash, config_hash)
STRING_ACCESSOR(system_prompt_hash, system_prompt_hash)

const char *
attest_claims_attestation_type(const struct attest_claims *claims)
{
    return attestation_type_name(claims->type);
}

enum attest_safety
attest_claims_safety(const struct attest_claims *claims)
{
    return claims->safety;
}

enum attest_trust
attest_claims_trust(const struct attest_claims *claims)
{
    return claims->trust;
}

size_t
attest_claims_audience_count(const struct attest_claims *claims)
{
    return claims->n_aud;
}

const char *
attest_claims_audience(const struct attest_claims *claims, size_t i)
{
    return i < claims->n_aud ? claims->aud[i] : NULL;
}

const char *
attest_claims_audience_matched(const struct attest_claims *claims)
{
    return claims->aud[claims->aud_matched];
}

size_t
attest_claims_capability_count(const struct attest_claims *claims)
{
    return claims->n_capabilities;
}

const char *
attest_claims_capability(const struct attest_claims *claims, size_t i)
{
    return i < claims->n_capabilities ? claims->capabilities[i] : NULL;
}

int64_t
attest_claims_issued_at_s(const struct attest_claims *claims)
{
    return claims->iat;
}

int64_t
attest_claims_not_before_s(const struct attest_claims *claims)
{
    return claims->nbf;
}

int64_t
attest_claims_expires_at_s(const struct attest_claims *claims)
{
    return claims->exp;
}

bool
attest_claims_nested_verified(const struct attest_claims *claims)
{
    return claims->nested_attestation != NULL;
}

const unsigned char *
attest_claims_key(const struct attest_claims *claims)
{
    return claims->bound ? claims->cnf_key : NULL;
}
