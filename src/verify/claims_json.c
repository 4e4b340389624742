/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "verify/claims.h"

/* The verified claims as JSON, in the token's own nesting. */

struct writer {
    struct buf *out;
    bool first;
};

static void
name(struct writer *w, const char *member)
{
    if (!w->first)
        buf_char(w->out, ',');
    w->first = false;
    json_put_string(w->out, slice_cstr(member));
    buf_char(w->out, ':');
}

static void
string(struct writer *w, const char *member, const char *value)
{
    if (!value)
        return;
    name(w, member);
    json_put_string(w->out, slice_cstr(value));
}

static void
number(struct writer *w, const char *member, int64_t value)
{
    name(w, member);
    buf_printf(w->out, "%" PRId64, value);
}

static void
strings(struct writer *w, const char *member, const char *const *values, size_t n)
{
    name(w, member);
    buf_char(w->out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_char(w->out, ',');
        json_put_string(w->out, slice_cstr(values[i]));
    }
    buf_char(w->out, ']');
}

static void
open_object(struct writer *w, const char *member)
{
    name(w, member);
    buf_char(w->out, '{');
    w->first = true;
}

static void
close_object(struct writer *w)
{
    buf_char(w->out, '}');
    w->first = false;
}

static void
put_identity(struct writer *w, const struct attest_claims *c)
{
    open_object(w, "agent_identity");
    string(w, "model_family", c->model_family);
    string(w, "model_version", c->model_version);
    string(w, "provider", c->provider);
    string(w, "deployment_id", c->deployment_id);
    if (c->enterprise) {
        open_object(w, "enterprise");
        string(w, "org_id", c->org_id);
        string(w, "workload_id", c->workload_id);
        string(w, "deployment_env", c->deployment_env);
        close_object(w);
    }
    close_object(w);
    if (c->verified & CLAIM_BIT(CLAIM_AGENT_INTEGRITY)) {
        open_object(w, "agent_integrity");
        string(w, "config_hash", c->config_hash);
        string(w, "system_prompt_hash", c->system_prompt_hash);
        close_object(w);
    }
}

static void
put_metadata(struct writer *w, const struct attest_claims *c)
{
    open_object(w, "attestation_metadata");
    string(w, "attestation_version", CLAIMS_ATTESTATION_VERSION);
    string(w, "attestation_type", attestation_type_name(c->type));
    string(w, "safety_level", attest_safety_name(c->safety));
    strings(w, "capabilities_declared", c->capabilities, c->n_capabilities);
    string(w, "nested_attestation", c->nested_attestation);
    close_object(w);
}

void
claims_put_json(const struct attest_claims *c, struct buf *out)
{
    struct writer w = {out, true};
    buf_char(out, '{');
    string(&w, "iss", c->iss);
    string(&w, "sub", c->sub);
    if (c->aud_is_array)
        strings(&w, "aud", c->aud, c->n_aud);
    else
        string(&w, "aud", c->aud[0]);
    number(&w, "iat", c->iat);
    number(&w, "nbf", c->nbf);
    number(&w, "exp", c->exp);
    string(&w, "jti", c->jti);
    put_identity(&w, c);
    put_metadata(&w, c);
    if (c->bound) {
        name(&w, "cnf");
        buf_str(out, "{\"jwk\":");
        const struct pubkey key = pubkey_ed25519(c->cnf_key);
        jwk_write(&key, out);
        buf_char(out, '}');
    }
    close_object(&w);
}

char *
attest_claims_to_json(const struct attest_claims *claims)
{
    AUTO(buf) struct buf out;
    buf_init(&out, CLAIMS_JSON_MAX);
    claims_put_json(claims, &out);
    return buf_terminate(&out) ? STEAL(out.p) : NULL;
}
