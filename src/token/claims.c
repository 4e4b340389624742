/* SPDX-License-Identifier: MIT */
#include "token/claims.h"

#include <string.h>

#include "token/form.h"

static const char *const type_names[] = {
    [ATTESTATION_PROVIDER] = "provider",
    [ATTESTATION_ENTERPRISE] = "enterprise",
};

static const char *const safety_names[] = {
    [SAFETY_MINIMAL] = "minimal",
    [SAFETY_STANDARD] = "standard",
    [SAFETY_ENHANCED] = "enhanced",
};

const char *
attestation_type_name(enum attestation_type type)
{
    return type_names[type];
}

const char *
safety_level_name(enum safety_level level)
{
    return safety_names[level];
}

static bool
index_of(struct slice name, const char *const *names, size_t n, size_t *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_is(name, names[i])) {
            *ret = i;
            return true;
        }
    }
    return false;
}

bool
safety_level_from(struct slice name, enum safety_level *ret)
{
    size_t i;
    if (!index_of(name, safety_names, ARRAY_LEN(safety_names), &i))
        return false;
    *ret = (enum safety_level)i;
    return true;
}

static enum attest_rc
bad(struct attest_error *err, const char *member, const char *why)
{
    return error_set(err, ATTEST_E_CLAIMS, "%s: %s", member, why);
}

/* A claim that the profile asks for but that is not there is what every step says first. */
static enum attest_rc
claim_missing(const struct claims *claims, enum claim claim, struct attest_error *err)
{
    if (!claims->at[claim] && claims->profile->required & CLAIM_BIT(claim))
        return bad(err, claim_name(claim), "missing");
    return ATTEST_OK;
}

enum attest_rc
claims_read_issuer(struct claims *claims, const struct profile *profile, const struct json *payload,
                   struct attest_error *err)
{
    *claims = (struct claims){.profile = profile, .json = payload};
    uint32_t known = profile->required | profile->allowed;
    struct slice name;
    for (const struct json_node *v = NULL; json_each(payload, json_root(payload), &name, &v);) {
        for (enum claim c = 0; c < CLAIM_COUNT; c++) {
            if (known & CLAIM_BIT(c) && slice_is(name, claim_name(c))) {
                claims->at[c] = v;
                break;
            }
        }
    }
    const struct json_node *iss = claims->at[CLAIM_ISS];
    if (!iss || iss->type != JSON_STRING || iss->text.len == 0)
        return error_set(err, ATTEST_E_MALFORMED, "iss: must be a string");
    claims->iss = iss->text;
    return ATTEST_OK;
}

static enum attest_rc
read_time(struct claims *claims, enum claim claim, int64_t *ret, struct attest_error *err)
{
    const struct json_node *v = claims->at[claim];
    if (!v)
        return claim_missing(claims, claim, err);
    if (!json_int64(v, ret) || *ret < 0 || *ret > CLAIMS_TIME_MAX)
        return bad(err, claim_name(claim), "must be whole seconds since the epoch");
    return ATTEST_OK;
}

enum attest_rc
claims_read_times(struct claims *claims, struct attest_error *err)
{
    enum attest_rc rc = read_time(claims, CLAIM_EXP, &claims->exp, err);
    if (!rc)
        rc = read_time(claims, CLAIM_NBF, &claims->nbf, err);
    if (!rc)
        rc = read_time(claims, CLAIM_IAT, &claims->iat, err);
    return rc;
}

static enum attest_rc
add_audience(struct claims *claims, const struct json_node *v, struct attest_error *err)
{
    if (v->type != JSON_STRING || !form_text(v->text, JWS_STRING_MAX))
        return bad(err, "aud", "must be a URL or an array of 1 to 8 URLs");
    if (claims->n_aud == CLAIMS_AUDIENCES_MAX)
        return bad(err, "aud", "more than 8");
    claims->aud[claims->n_aud++] = v->text;
    return ATTEST_OK;
}

enum attest_rc
claims_read_audience(struct claims *claims, struct attest_error *err)
{
    const struct json_node *aud = claims->at[CLAIM_AUD];
    claims->n_aud = 0;
    if (!aud)
        return claim_missing(claims, CLAIM_AUD, err);
    if (aud->type != JSON_ARRAY)
        return add_audience(claims, aud, err);
    if (aud->count == 0)
        return bad(err, "aud", "empty");
    for (const struct json_node *v = NULL; json_each(claims->json, aud, NULL, &v);) {
        enum attest_rc rc = add_audience(claims, v, err);
        if (rc)
            return rc;
    }
    return ATTEST_OK;
}

/* ---- members of the nested objects: rows, as in a mint request, but unknown ones are ignored ----
 */

struct field {
    const char *path;
    enum attest_rc (*read)(struct claims *claims, const struct field *f, const struct json_node *v,
                           struct attest_error *err);
    size_t offset; /* of a struct slice in struct claims */
    bool required;
};

static const char *
name_in(const char *path)
{
    return strrchr(path, '.') + 1;
}

static enum attest_rc
read_fields(struct claims *claims, const struct json_node *object, const char *path,
            const struct field *fields, size_t n, struct attest_error *err)
{
    if (object->type != JSON_OBJECT)
        return bad(err, path, "must be an object");
    for (size_t i = 0; i < n; i++) {
        const struct json_node *v = json_member(claims->json, object, name_in(fields[i].path));
        if (!v && fields[i].required)
            return bad(err, fields[i].path, "missing");
        if (!v)
            continue;
        enum attest_rc rc = fields[i].read(claims, &fields[i], v, err);
        if (rc)
            return rc;
    }
    return ATTEST_OK;
}

static struct slice *
slot(struct claims *claims, const struct field *f)
{
    return (struct slice *)((char *)claims + f->offset);
}

static enum attest_rc
read_text(struct claims *claims, const struct field *f, const struct json_node *v,
          struct attest_error *err)
{
    if (v->type != JSON_STRING || !form_text(v->text, JWS_STRING_MAX))
        return bad(err, f->path, "must be a string, not empty, without control characters");
    *slot(claims, f) = v->text;
    return ATTEST_OK;
}

static enum attest_rc
read_hash(struct claims *claims, const struct field *f, const struct json_node *v,
          struct attest_error *err)
{
    if (v->type != JSON_STRING || !form_sha256(v->text))
        return bad(err, f->path, "must be \"sha256:\" and 64 lower-case hex digits");
    *slot(claims, f) = v->text;
    return ATTEST_OK;
}

static enum attest_rc
read_nested(struct claims *claims, const struct field *f, const struct json_node *v,
            struct attest_error *err)
{
    if (v->type != JSON_STRING || !jws_has_shape(v->text, JWS_NESTED_MAX))
        return bad(err, f->path, "must be a compact JWS");
    *slot(claims, f) = v->text;
    return ATTEST_OK;
}

static enum attest_rc
read_version(struct claims *claims, const struct field *f, const struct json_node *v,
             struct attest_error *err)
{
    (void)claims;
    if (v->type != JSON_STRING || !slice_is(v->text, CLAIMS_ATTESTATION_VERSION))
        return bad(err, f->path, "must be \"" CLAIMS_ATTESTATION_VERSION "\"");
    return ATTEST_OK;
}

static enum attest_rc
read_type(struct claims *claims, const struct field *f, const struct json_node *v,
          struct attest_error *err)
{
    size_t i;
    if (v->type != JSON_STRING || !index_of(v->text, type_names, ARRAY_LEN(type_names), &i))
        return bad(err, f->path, "must be provider or enterprise");
    claims->type = (enum attestation_type)i;
    return ATTEST_OK;
}

static enum attest_rc
read_safety(struct claims *claims, const struct field *f, const struct json_node *v,
            struct attest_error *err)
{
    if (v->type != JSON_STRING || !safety_level_from(v->text, &claims->safety))
        return bad(err, f->path, "must be standard, enhanced or minimal");
    return ATTEST_OK;
}

static enum attest_rc
read_capabilities(struct claims *claims, const struct field *f, const struct json_node *v,
                  struct attest_error *err)
{
    if (v->type != JSON_ARRAY)
        return bad(err, f->path, "must be an array of strings");
    for (const struct json_node *item = NULL; json_each(claims->json, v, NULL, &item);) {
        if (item->type != JSON_STRING || !form_text(item->text, JWS_STRING_MAX))
            return bad(err, f->path, "must be an array of strings");
    }
    claims->capabilities = v;
    return ATTEST_OK;
}

#define AT(member) offsetof(struct claims, member)

static enum attest_rc
read_enterprise(struct claims *claims, const struct field *f, const struct json_node *v,
                struct attest_error *err)
{
    static const struct field fields[] = {
        {"agent_identity.enterprise.org_id", read_text, AT(org_id), true},
        {"agent_identity.enterprise.workload_id", read_text, AT(workload_id), true},
        {"agent_identity.enterprise.deployment_env", read_text, AT(deployment_env), true},
    };
    claims->enterprise = true;
    return read_fields(claims, v, f->path, fields, ARRAY_LEN(fields), err);
}

static enum attest_rc
read_identity(struct claims *claims, const struct json_node *v, struct attest_error *err)
{
    static const struct field fields[] = {
        {"agent_identity.model_family", read_text, AT(model_family), true},
        {"agent_identity.model_version", read_text, AT(model_version), true},
        {"agent_identity.provider", read_text, AT(provider), true},
        {"agent_identity.deployment_id", read_text, AT(deployment_id), false},
        {"agent_identity.enterprise", read_enterprise, 0, false},
    };
    return read_fields(claims, v, "agent_identity", fields, ARRAY_LEN(fields), err);
}

static enum attest_rc
read_integrity(struct claims *claims, const struct json_node *v, struct attest_error *err)
{
    static const struct field fields[] = {
        {"agent_integrity.config_hash", read_hash, AT(config_hash), false},
        {"agent_integrity.system_prompt_hash", read_hash, AT(system_prompt_hash), false},
    };
    return read_fields(claims, v, "agent_integrity", fields, ARRAY_LEN(fields), err);
}

static enum attest_rc
read_metadata(struct claims *claims, const struct json_node *v, struct attest_error *err)
{
    static const struct field fields[] = {
        {"attestation_metadata.attestation_version", read_version, 0, true},
        {"attestation_metadata.attestation_type", read_type, 0, true},
        {"attestation_metadata.safety_level", read_safety, 0, true},
        {"attestation_metadata.capabilities_declared", read_capabilities, 0, true},
        {"attestation_metadata.nested_attestation", read_nested, AT(nested_attestation), false},
    };
    return read_fields(claims, v, "attestation_metadata", fields, ARRAY_LEN(fields), err);
}

static enum attest_rc
read_cnf(struct claims *claims, const struct json_node *v, struct attest_error *err)
{
    const char *at;
    if (v->type != JSON_OBJECT)
        return bad(err, "cnf", "must be an object");
    if (jwk_read_ed25519(claims->json, json_member(claims->json, v, "jwk"), claims->cnf_key, &at,
                         NULL))
        return error_set(err, ATTEST_E_CLAIMS, "cnf.jwk%s%s: is no Ed25519 public key",
                         *at ? "." : "", at);
    claims->bound = true;
    return ATTEST_OK;
}

static enum attest_rc
read_sub(struct claims *claims, const struct json_node *v, struct attest_error *err)
{
    if (v->type != JSON_STRING || !subject_read(v->text, &claims->subject))
        return bad(err, "sub", "must be spiffe://<trust domain>/model/<name> or /agent/<name>");
    claims->sub = v->text;
    return ATTEST_OK;
}

static enum attest_rc
read_jti(struct claims *claims, const struct json_node *v, struct attest_error *err)
{
    if (v->type != JSON_STRING || !form_uuid4(v->text))
        return bad(err, "jti", "must be a UUID of version 4");
    claims->jti = v->text;
    return ATTEST_OK;
}

/* ---- what the claims say about each other ---- */

static enum attest_rc
check_times(const struct claims *claims, struct attest_error *err)
{
    if (claims->exp <= claims->iat || claims->exp <= claims->nbf)
        return bad(err, "exp", "must be after iat and nbf");
    return ATTEST_OK;
}

static enum attest_rc
check_identity(const struct claims *claims, const struct subject_names *names,
               struct attest_error *err)
{
    bool has_sub = claims->sub.p != NULL;
    if (has_sub && claims->subject.enterprise != claims->enterprise)
        return bad(err, "sub",
                   claims->enterprise ? "must be /agent/ for an enterprise identity"
                                      : "/agent/ is for enterprise identities");
    if (has_sub && claims->enterprise &&
        !subject_names_it(&claims->subject, claims->workload_id, names))
        return bad(err, "sub", "does not name agent_identity.enterprise.workload_id");
    if (has_sub && !claims->enterprise &&
        !subject_names_it(&claims->subject, claims->model_version, names))
        return bad(err, "sub", "does not name agent_identity.model_version");
    return ATTEST_OK;
}

static enum attest_rc
check_metadata(const struct claims *claims, struct attest_error *err)
{
    if ((claims->type == ATTESTATION_ENTERPRISE) != claims->enterprise)
        return bad(err, "attestation_metadata.attestation_type",
                   "must be enterprise exactly when agent_identity.enterprise is there");
    if (claims->safety == SAFETY_MINIMAL && !claims->enterprise)
        return bad(err, "attestation_metadata.safety_level", "minimal is for enterprise only");
    return ATTEST_OK;
}

enum attest_rc
claims_read_rest(struct claims *claims, const struct subject_names *names, struct attest_error *err)
{
    static const struct {
        enum claim claim;
        enum attest_rc (*read)(struct claims *claims, const struct json_node *v,
                               struct attest_error *err);
    } readers[] = {
        {CLAIM_SUB, read_sub},
        {CLAIM_JTI, read_jti},
        {CLAIM_AGENT_IDENTITY, read_identity},
        {CLAIM_AGENT_INTEGRITY, read_integrity},
        {CLAIM_ATTESTATION_METADATA, read_metadata},
        {CLAIM_CNF, read_cnf},
    };
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        const struct json_node *v = claims->at[readers[i].claim];
        enum attest_rc rc =
            v ? readers[i].read(claims, v, err) : claim_missing(claims, readers[i].claim, err);
        if (rc)
            return rc;
    }
    enum attest_rc rc = check_times(claims, err);
    if (!rc && claims->at[CLAIM_AGENT_IDENTITY])
        rc = check_identity(claims, names, err);
    if (!rc && claims->at[CLAIM_ATTESTATION_METADATA])
        rc = check_metadata(claims, err);
    if (!rc && claims->n_aud > 1 && !claims->bound)
        rc = bad(err, "aud", "more than one needs cnf");
    return rc;
}
