/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "token/claims.h"

/* An object being written: the brace opens with its first member. */
struct object {
    struct buf *out;
    bool open;
};

static void
put_name(struct object *o, const char *name)
{
    buf_str(o->out, o->open ? ",\"" : "{\"");
    buf_str(o->out, name);
    buf_str(o->out, "\":");
    o->open = true;
}

static void
put_end(struct object *o)
{
    buf_str(o->out, o->open ? "}" : "{}");
}

static void
put_string(struct object *o, const char *name, struct slice value)
{
    if (!value.p)
        return;
    put_name(o, name);
    json_put_string(o->out, value);
}

static void
put_int(struct object *o, const char *name, int64_t value)
{
    put_name(o, name);
    buf_printf(o->out, "%lld", (long long)value);
}

static void
put_list(struct buf *out, const struct slice *items, size_t n)
{
    buf_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_char(out, ',');
        json_put_string(out, items[i]);
    }
    buf_char(out, ']');
}

static void
put_audience(struct object *o, const char *name, const struct mint_request *request)
{
    put_name(o, name);
    if (request->audience_is_array || request->n_audiences != 1)
        put_list(o->out, request->audience, request->n_audiences);
    else
        json_put_string(o->out, request->audience[0]);
}

static void
put_identity(struct object *o, const struct mint_request *request)
{
    put_name(o, "agent_identity");
    struct object id = {o->out};
    put_string(&id, "model_family", request->model_family);
    put_string(&id, "model_version", request->model_version);
    put_string(&id, "provider", request->provider);
    put_string(&id, "deployment_id", request->deployment_id);
    if (request->enterprise) {
        put_name(&id, "enterprise");
        struct object enterprise = {o->out};
        put_string(&enterprise, "org_id", request->org_id);
        put_string(&enterprise, "workload_id", request->workload_id);
        put_string(&enterprise, "deployment_env", request->deployment_env);
        put_end(&enterprise);
    }
    put_end(&id);
}

static void
put_integrity(struct object *o, const struct mint_request *request)
{
    if (!request->config_hash.p && !request->system_prompt_hash.p)
        return;
    put_name(o, "agent_integrity");
    struct object integrity = {o->out};
    put_string(&integrity, "config_hash", request->config_hash);
    put_string(&integrity, "system_prompt_hash", request->system_prompt_hash);
    put_end(&integrity);
}

static void
put_cnf(struct object *o, const struct mint_request *request)
{
    put_name(o, "cnf");
    buf_str(o->out, "{\"jwk\":");
    const struct pubkey key = pubkey_ed25519(request->cnf_key);
    jwk_write(&key, o->out);
    buf_char(o->out, '}');
}

void
mint_request_write(const struct mint_request *request, struct buf *out)
{
    struct object o = {out};
    put_audience(&o, "audience", request);
    put_identity(&o, request);
    put_integrity(&o, request);
    if (request->safety_level.p || request->n_capabilities || request->nested_attestation.p) {
        put_name(&o, "attestation_metadata");
        struct object metadata = {out};
        put_string(&metadata, "safety_level", request->safety_level);
        if (request->n_capabilities) {
            put_name(&metadata, "capabilities_declared");
            put_list(out, request->capabilities, request->n_capabilities);
        }
        put_string(&metadata, "nested_attestation", request->nested_attestation);
        put_end(&metadata);
    }
    if (request->cnf == MINT_CNF_KEY)
        put_cnf(&o, request);
    if (request->cnf == MINT_CNF_NULL) {
        put_name(&o, "cnf");
        buf_str(out, "null");
    }
    put_string(&o, "cnf_proof", request->cnf_proof);
    if (request->lifetime_s)
        put_int(&o, "lifetime_s", request->lifetime_s);
    put_end(&o);
}

static void
put_metadata(struct object *o, const struct mint_request *request, enum safety_level safety)
{
    enum attestation_type type =
        request->enterprise ? ATTESTATION_ENTERPRISE : ATTESTATION_PROVIDER;
    put_name(o, "attestation_metadata");
    struct object metadata = {o->out};
    put_string(&metadata, "attestation_version", slice_cstr(CLAIMS_ATTESTATION_VERSION));
    put_string(&metadata, "attestation_type", slice_cstr(attestation_type_name(type)));
    put_string(&metadata, "safety_level", slice_cstr(safety_level_name(safety)));
    put_name(&metadata, "capabilities_declared");
    put_list(o->out, request->capabilities, request->n_capabilities);
    put_string(&metadata, "nested_attestation", request->nested_attestation);
    put_end(&metadata);
}

/* What only the whole shows. The caller's request has been read strictly, but cnf may have been
 * settled since. */
static enum attest_rc
check_together(const struct mint_request *request, const struct claims_stamp *stamp,
               enum safety_level *safety, struct attest_error *err)
{
    *safety = SAFETY_STANDARD;
    if (request->safety_level.p && !safety_level_from(request->safety_level, safety))
        return error_set(err, ATTEST_E_CLAIMS, "attestation_metadata.safety_level: unknown");
    if (*safety == SAFETY_MINIMAL && !request->enterprise)
        return error_set(err, ATTEST_E_CLAIMS,
                         "attestation_metadata.safety_level: minimal is for "
                         "agent_identity.enterprise only");
    if (request->n_audiences == 0)
        return error_set(err, ATTEST_E_CLAIMS, "audience: missing");
    if (request->n_audiences > 1 && request->cnf != MINT_CNF_KEY)
        return error_set(err, ATTEST_E_CLAIMS, "audience: more than one needs cnf");
    if (stamp->iat < 0 || stamp->exp > CLAIMS_TIME_MAX || stamp->nbf >= stamp->exp ||
        stamp->iat >= stamp->exp)
        return error_set(err, ATTEST_E_CLAIMS, "exp: not after iat and nbf");
    return ATTEST_OK;
}

enum attest_rc
claims_write(const struct mint_request *request, const struct claims_stamp *stamp, struct buf *out,
             struct attest_error *err)
{
    enum safety_level safety;
    enum attest_rc rc = check_together(request, stamp, &safety, err);
    if (rc)
        return rc;
    struct object o = {out};
    put_string(&o, "iss", stamp->iss);
    put_string(&o, "sub", stamp->sub);
    put_audience(&o, "aud", request);
    put_int(&o, "iat", stamp->iat);
    put_int(&o, "nbf", stamp->nbf);
    put_int(&o, "exp", stamp->exp);
    put_string(&o, "jti", stamp->jti);
    put_identity(&o, request);
    put_integrity(&o, request);
    put_metadata(&o, request, safety);
    if (request->cnf == MINT_CNF_KEY)
        put_cnf(&o, request);
    put_end(&o);
    if (buf_rc(out))
        return error_set(err, buf_rc(out), "claims: %s", attest_strerror(buf_rc(out)));
    return ATTEST_OK;
}
