/* SPDX-License-Identifier: MIT */
#include "verify/result.h"

#include "verify/claims.h"

/* One row a verdict. */
static const struct {
    enum attest_rc rc;
    int rpc_code;
    bool retry;
} verdicts[] = {
    {ATTEST_E_EXPIRED, -32003, false},        {ATTEST_E_NOT_YET_VALID, -32002, false},
    {ATTEST_E_SIGNATURE, -32002, false},      {ATTEST_E_ISSUER, -32005, false},
    {ATTEST_E_AUDIENCE, -32002, false},       {ATTEST_E_REPLAY, -32004, false},
    {ATTEST_E_CLAIMS, -32006, false},         {ATTEST_E_MALFORMED, -32002, false},
    {ATTEST_E_REQUIRED, -32001, false},       {ATTEST_E_KEY_UNKNOWN, -32002, false},
    {ATTEST_E_KEY_REVOKED, -32002, false},    {ATTEST_E_KEY_FETCH, -32002, true},
    {ATTEST_E_POLICY, -32006, false},         {ATTEST_E_REPLAY_STORE, -32002, true},
    {ATTEST_E_PROOF_REQUIRED, -32002, false}, {ATTEST_E_PROOF, -32002, false},
};

bool
verdict_is(enum attest_rc rc)
{
    return verdict_rpc_code(rc) != 0;
}

int
verdict_rpc_code(enum attest_rc rc)
{
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
        if (verdicts[i].rc == rc)
            return verdicts[i].rpc_code;
    }
    return 0;
}

bool
verdict_retry(enum attest_rc rc)
{
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
        if (verdicts[i].rc == rc)
            return verdicts[i].retry;
    }
    return false;
}

void
attest_result_free(struct attest_result *result)
{
    if (!result)
        return;
    attest_claims_free(result->claims);
    free(result);
}

bool
attest_result_verified(const struct attest_result *result)
{
    return result->claims != NULL;
}

bool
attest_result_allowed(const struct attest_result *result)
{
    return result->allowed;
}

enum attest_trust
attest_result_trust(const struct attest_result *result)
{
    return result->claims ? result->claims->trust : ATTEST_TRUST_NONE;
}

const char *
attest_result_issuer(const struct attest_result *result)
{
    return result->claims ? result->claims->iss : NULL;
}

const char *
attest_result_subject(const struct attest_result *result)
{
    return result->claims ? result->claims->sub : NULL;
}

const struct attest_claims *
attest_result_claims(const struct attest_result *result)
{
    return result->claims;
}

const char *
attest_result_verified_claim(const struct attest_result *result, size_t i)
{
    for (int claim = 0; result->claims && claim < CLAIM_COUNT; claim++) {
        if (result->claims->verified & CLAIM_BIT(claim) && i-- == 0)
            return claim_name((enum claim)claim);
    }
    return NULL;
}

enum attest_rc
attest_result_error_code(const struct attest_result *result)
{
    return result->rc;
}

const char *
attest_result_error(const struct attest_result *result)
{
    return result->error.text;
}

int
attest_result_rpc_code(const struct attest_result *result)
{
    return verdict_rpc_code(result->rc);
}

bool
attest_result_retry(const struct attest_result *result)
{
    return verdict_retry(result->rc);
}

static void
put_verified(const struct attest_result *result, struct buf *out)
{
    buf_str(out, ",\"issuer\":");
    json_put_string(out, slice_cstr(result->claims->iss));
    buf_str(out, ",\"subject\":");
    json_put_string(out, slice_cstr(result->claims->sub));
    buf_str(out, ",\"claims\":");
    claims_put_json(result->claims, out);
    buf_str(out, ",\"verified_claims\":[");
    const char *name;
    for (size_t i = 0; (name = attest_result_verified_claim(result, i)); i++) {
        if (i)
            buf_char(out, ',');
        json_put_string(out, slice_cstr(name));
    }
    buf_str(out, "],\"error\":null,\"error_code\":null,\"rpc_code\":null");
}

/* Why 1012 or 1014: hosts, files and settings of ours, which are no stranger's business. */
static const char *
error_for_strangers(const struct attest_result *result)
{
    return verdict_retry(result->rc) ? attest_strerror(result->rc) : result->error.text;
}

static void
put_refused(const struct attest_result *result, struct buf *out)
{
    buf_str(out, ",\"issuer\":null,\"subject\":null,\"claims\":null,\"verified_claims\":[]");
    buf_str(out, ",\"error\":");
    json_put_string(out, slice_cstr(error_for_strangers(result)));
    buf_printf(out, ",\"error_code\":%d,\"rpc_code\":%d", (int)result->rc,
               verdict_rpc_code(result->rc));
}

char *
attest_result_to_json(const struct attest_result *result)
{
    AUTO(buf) struct buf out;
    buf_init(&out, CLAIMS_JSON_MAX + 4096);
    buf_printf(&out, "{\"verified\":%s,\"allowed\":%s,\"trust_level\":\"%s\"",
               result->claims ? "true" : "false", result->allowed ? "true" : "false",
               attest_trust_name(attest_result_trust(result)));
    if (result->claims)
        put_verified(result, &out);
    else
        put_refused(result, &out);
    buf_char(&out, '}');
    return buf_terminate(&out) ? STEAL(out.p) : NULL;
}
