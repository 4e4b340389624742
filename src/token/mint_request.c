/* SPDX-License-Identifier: MIT */
#include "token/mint_request.h"

#include <stdio.h>
#include <string.h>

#include "jwks/jwk.h"
#include "token/claims.h"
#include "token/form.h"
#include "token/jws.h"

const struct json_limits mint_request_limits = {
    .text_max = 16384, .string_max = JWS_NESTED_MAX, .depth_max = 8, .members_max = 64};

struct reader {
    const struct json *j;
    struct mint_request *request;
    char *member;
    size_t member_size;
    struct attest_error *err;
};

/*
 * One member that may be there. Every reader is handed its row, so that it knows the path to name;
 * offset is where a struct slice of the request lies, for those that fill one.
 */
struct field {
    const char *path;
    enum attest_rc (*read)(struct reader *r, const struct field *f, const struct json_node *v);
    size_t offset;
    bool required;
};

static const char *
name_in(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static enum attest_rc
fail(struct reader *r, const char *path, const char *why)
{
    if (r->member)
        snprintf(r->member, r->member_size, "%s", path);
    return error_set(r->err, ATTEST_E_CLAIMS, "%s: %s", path, why);
}

/* The name comes from outside: the answer repeats it in ASCII, and not at any length. */
static enum attest_rc
fail_unknown(struct reader *r, const char *prefix, struct slice name)
{
    char path[96];
    int n = snprintf(path, sizeof(path), "%s%s", prefix, *prefix ? "." : "");
    size_t at = (size_t)n;
    for (size_t i = 0; i < name.len && at < sizeof(path) - 1; i++)
        path[at++] = name.p[i] >= 0x20 && name.p[i] < 0x7f ? name.p[i] : '?';
    path[at] = '\0';
    return fail(r, path, "unknown member");
}

static struct slice *
slot(struct reader *r, const struct field *f)
{
    return (struct slice *)((char *)r->request + f->offset);
}

static enum attest_rc
read_object(struct reader *r, const char *prefix, const struct field *fields, size_t n,
            const struct json_node *object)
{
    if (!object || object->type != JSON_OBJECT)
        return fail(r, *prefix ? prefix : "request", "must be an object");
    uint32_t seen = 0;
    struct slice key;
    for (const struct json_node *v = NULL; json_each(r->j, object, &key, &v);) {
        size_t i = 0;
        while (i < n && !slice_is(key, name_in(fields[i].path)))
            i++;
        if (i == n)
            return fail_unknown(r, prefix, key);
        enum attest_rc rc = fields[i].read(r, &fields[i], v);
        if (rc)
            return rc;
        seen |= UINT32_C(1) << i;
    }
    for (size_t i = 0; i < n; i++) {
        if (fields[i].required && !(seen >> i & 1))
            return fail(r, fields[i].path, "missing");
    }
    return ATTEST_OK;
}

static enum attest_rc
read_text(struct reader *r, const struct field *f, const struct json_node *v)
{
    if (v->type != JSON_STRING)
        return fail(r, f->path, "must be a string");
    if (!form_text(v->text, JWS_STRING_MAX))
        return fail(r, f->path, "must be 1 to 1024 bytes without control characters");
    *slot(r, f) = v->text;
    return ATTEST_OK;
}

static enum attest_rc
read_hash(struct reader *r, const struct field *f, const struct json_node *v)
{
    if (v->type != JSON_STRING || !form_sha256(v->text))
        return fail(r, f->path, "must be \"sha256:\" and 64 lower-case hex digits");
    *slot(r, f) = v->text;
    return ATTEST_OK;
}

static enum attest_rc
read_jws(struct reader *r, const struct field *f, const struct json_node *v)
{
    if (v->type != JSON_STRING || !jws_has_shape(v->text, JWS_NESTED_MAX))
        return fail(r, f->path, "must be a compact JWS of at most 4096 bytes");
    *slot(r, f) = v->text;
    return ATTEST_OK;
}

static enum attest_rc
add_audience(struct reader *r, const struct field *f, const struct json_node *v)
{
    struct mint_request *request = r->request;
    if (v->type != JSON_STRING || !form_uri(v->text, JWS_STRING_MAX))
        return fail(r, f->path, "must be a URL of at most 1024 bytes, or an array of 1 to 8");
    if (request->n_audiences == MINT_AUDIENCES_MAX)
        return fail(r, f->path, "more than 8");
    request->audience[request->n_audiences++] = v->text;
    return ATTEST_OK;
}

static enum attest_rc
read_audience(struct reader *r, const struct field *f, const struct json_node *v)
{
    if (v->type != JSON_ARRAY)
        return add_audience(r, f, v);
    r->request->audience_is_array = true;
    if (v->count == 0)
        return fail(r, f->path, "empty");
    for (const struct json_node *item = NULL; json_each(r->j, v, NULL, &item);) {
        enum attest_rc rc = add_audience(r, f, item);
        if (rc)
            return rc;
    }
    return ATTEST_OK;
}

static enum attest_rc
read_safety(struct reader *r, const struct field *f, const struct json_node *v)
{
    enum safety_level level;
    if (v->type != JSON_STRING || !safety_level_from(v->text, &level))
        return fail(r, f->path, "must be standard, enhanced or minimal");
    *slot(r, f) = v->text;
    return ATTEST_OK;
}

static enum attest_rc
read_capabilities(struct reader *r, const struct field *f, const struct json_node *v)
{
    struct mint_request *request = r->request;
    if (v->type != JSON_ARRAY)
        return fail(r, f->path, "must be an array of strings");
    if (v->count > MINT_CAPABILITIES_MAX)
        return fail(r, f->path, "more than 64");
    for (const struct json_node *item = NULL; json_each(r->j, v, NULL, &item);) {
        if (item->type != JSON_STRING || !form_text(item->text, JWS_STRING_MAX))
            return fail(r, f->path, "must be an array of strings of 1 to 1024 bytes");
        request->capabilities[request->n_capabilities++] = item->text;
    }
    return ATTEST_OK;
}

static enum attest_rc
read_lifetime(struct reader *r, const struct field *f, const struct json_node *v)
{
    int64_t max_s = profile_get(PROFILE_ATTESTATION)->lifetime_max_s;
    if (!json_int64(v, &r->request->lifetime_s))
        return fail(r, f->path, "must be an integer");
    if (r->request->lifetime_s < 1 || r->request->lifetime_s > max_s)
        return fail(r, f->path, "must be 1 to 900 seconds");
    return ATTEST_OK;
}

/* Its members are judged by jwk_read_ed25519(); here it is only that nothing else is there. */
static enum attest_rc
accept(struct reader *r, const struct field *f, const struct json_node *v)
{
    (void)r;
    (void)f;
    (void)v;
    return ATTEST_OK;
}

static enum attest_rc
read_jwk(struct reader *r, const struct field *f, const struct json_node *v)
{
    static const struct field fields[] = {
        {"cnf.jwk.kty", accept, 0, true},
        {"cnf.jwk.crv", accept, 0, true},
        {"cnf.jwk.x", accept, 0, true},
    };
    enum attest_rc rc = read_object(r, f->path, fields, ARRAY_LEN(fields), v);
    if (rc)
        return rc;
    struct attest_error why;
    const char *at;
    char path[32];
    if (jwk_read_ed25519(r->j, v, r->request->cnf_key, &at, &why)) {
        snprintf(path, sizeof(path), "cnf.jwk%s%s", *at ? "." : "", at);
        return fail(r, path, "is no Ed25519 public key (kty OKP, crv Ed25519)");
    }
    return ATTEST_OK;
}

static enum attest_rc
read_cnf(struct reader *r, const struct field *f, const struct json_node *v)
{
    static const struct field fields[] = {{"cnf.jwk", read_jwk, 0, true}};
    if (v->type == JSON_NULL) {
        r->request->cnf = MINT_CNF_NULL;
        return ATTEST_OK;
    }
    r->request->cnf = MINT_CNF_KEY;
    return read_object(r, f->path, fields, ARRAY_LEN(fields), v);
}

#define AT(member) offsetof(struct mint_request, member)

static enum attest_rc
read_enterprise(struct reader *r, const struct field *f, const struct json_node *v)
{
    static const struct field fields[] = {
        {"agent_identity.enterprise.org_id", read_text, AT(org_id), true},
        {"agent_identity.enterprise.workload_id", read_text, AT(workload_id), true},
        {"agent_identity.enterprise.deployment_env", read_text, AT(deployment_env), true},
    };
    r->request->enterprise = true;
    return read_object(r, f->path, fields, ARRAY_LEN(fields), v);
}

static enum attest_rc
read_identity(struct reader *r, const struct field *f, const struct json_node *v)
{
    static const struct field fields[] = {
        {"agent_identity.model_family", read_text, AT(model_family), true},
        {"agent_identity.model_version", read_text, AT(model_version), true},
        {"agent_identity.provider", read_text, AT(provider), true},
        {"agent_identity.deployment_id", read_text, AT(deployment_id), false},
        {"agent_identity.enterprise", read_enterprise, 0, false},
    };
    return read_object(r, f->path, fields, ARRAY_LEN(fields), v);
}

static enum attest_rc
read_integrity(struct reader *r, const struct field *f, const struct json_node *v)
{
    static const struct field fields[] = {
        {"agent_integrity.config_hash", read_hash, AT(config_hash), false},
        {"agent_integrity.system_prompt_hash", read_hash, AT(system_prompt_hash), false},
    };
    return read_object(r, f->path, fields, ARRAY_LEN(fields), v);
}

static enum attest_rc
read_metadata(struct reader *r, const struct field *f, const struct json_node *v)
{
    static const struct field fields[] = {
        {"attestation_metadata.safety_level", read_safety, AT(safety_level), false},
        {"attestation_metadata.capabilities_declared", read_capabilities, 0, false},
        {"attestation_metadata.nested_attestation", read_jws, AT(nested_attestation), false},
    };
    return read_object(r, f->path, fields, ARRAY_LEN(fields), v);
}

static const struct field request_fields[] = {
    {"audience", read_audience, 0, true},
    {"agent_identity", read_identity, 0, true},
    {"agent_integrity", read_integrity, 0, false},
    {"attestation_metadata", read_metadata, 0, false},
    {"cnf", read_cnf, 0, false},
    {"cnf_proof", read_jws, AT(cnf_proof), false},
    {"lifetime_s", read_lifetime, 0, false},
};

static enum attest_rc
check_together(struct reader *r)
{
    const struct mint_request *request = r->request;
    if (request->safety_level.p && slice_is(request->safety_level, "minimal") &&
        !request->enterprise)
        return fail(r, "attestation_metadata.safety_level",
                    "minimal is for agent_identity.enterprise only");
    if (request->n_audiences > 1 && request->cnf == MINT_CNF_NULL)
        return fail(r, "audience", "more than one needs cnf");
    if (request->cnf_proof.p && request->cnf != MINT_CNF_KEY)
        return fail(r, "cnf_proof", "needs cnf");
    return ATTEST_OK;
}

enum attest_rc
mint_request_read(const struct json *j, const struct json_node *object, struct mint_request *ret,
                  char *member, size_t member_size, struct attest_error *err)
{
    struct mint_request request = {.n_audiences = 0};
    struct reader r = {j, &request, member_size ? member : NULL, member_size, err};
    enum attest_rc rc = read_object(&r, "", request_fields, ARRAY_LEN(request_fields), object);
    if (!rc)
        rc = check_together(&r);
    if (!rc)
        *ret = request;
    return rc;
}
