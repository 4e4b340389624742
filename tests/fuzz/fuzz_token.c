/* SPDX-License-Identifier: MIT */
/*
 * Tokens from anywhere, through all that reads them. An input with a line break is a header and a
 * payload, which are encoded and get a signature, so that the fuzzer need not learn base64.
 * What is accepted is as the headers promise, and lies inside the workspace.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/b64u.h"
#include "token/claims.h"
#include "token/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct jws jws;
static struct claims claims;

static void
must(bool holds)
{
    if (!holds)
        abort();
}

static void
inside(struct slice s)
{
    must(!s.p || (s.p >= jws.text && s.p + s.len <= jws.text + sizeof(jws.text)));
}

static void
text_ok(struct slice s, bool required)
{
    inside(s);
    must(s.p ? form_text(s, JWS_STRING_MAX) : !required);
}

static void
check_accepted(void)
{
    must(claims.n_aud >= 1 && claims.n_aud <= CLAIMS_AUDIENCES_MAX);
    must(claims.n_aud == 1 || claims.bound);
    for (size_t i = 0; i < claims.n_aud; i++)
        text_ok(claims.aud[i], true);
    must(claims.iat >= 0 && claims.nbf >= 0 && claims.exp <= CLAIMS_TIME_MAX);
    must(claims.iat < claims.exp && claims.nbf < claims.exp);
    must(form_uuid4(claims.jti));
    text_ok(claims.model_family, true);
    text_ok(claims.model_version, true);
    text_ok(claims.provider, true);
    text_ok(claims.deployment_id, false);
    text_ok(claims.org_id, claims.enterprise);
    text_ok(claims.workload_id, claims.enterprise);
    text_ok(claims.deployment_env, claims.enterprise);
    must(claims.enterprise || (!claims.org_id.p && !claims.workload_id.p));
    must(claims.subject.enterprise == claims.enterprise);
    must(slice_eq(claims.subject.segment,
                  claims.enterprise ? claims.workload_id : claims.model_version));
    must(claims.safety != SAFETY_MINIMAL || claims.enterprise);
    must(!claims.config_hash.p || form_sha256(claims.config_hash));
    must(!claims.system_prompt_hash.p || form_sha256(claims.system_prompt_hash));
    must(!claims.nested_attestation.p || jws_has_shape(claims.nested_attestation, JWS_NESTED_MAX));
    must(!claims.bound || ed25519_public_ok(claims.cnf_key));
    for (const struct json_node *v = NULL; json_each(claims.json, claims.capabilities, NULL, &v);)
        text_ok(v->text, true);
}

static void
run(const char *token, size_t len)
{
    const struct profile *p = profile_get(PROFILE_ATTESTATION);
    struct attest_error err = {0};
    AUTO(mem) char *copy = malloc(len ? len : 1);
    must(copy);
    memcpy(copy, token, len);
    enum attest_rc rc = jws_read(&jws, p, copy, len, &err);
    if (rc) {
        must(rc == ATTEST_E_MALFORMED && err.rc == rc && *err.text);
        return;
    }
    must(jws_has_shape((struct slice){copy, len}, JWS_TOKEN_MAX));
    must(jws.envelope.signing_input.p == copy && copy[jws.envelope.signing_input.len] == '.');
    must(jws.envelope.alg != JWK_ALG_NONE && profile_has_typ(p, jws.envelope.typ));
    must(jws.envelope.kid.len >= 1 && jws.envelope.kid.len <= JWK_KID_MAX);
    inside(jws.envelope.kid);
    rc = claims_read_issuer(&claims, p, &jws.payload, &err);
    must(rc == ATTEST_OK || (rc == ATTEST_E_MALFORMED && err.rc == rc));
    if (rc)
        return;
    inside(claims.iss);
    rc = claims_read_times(&claims, &err);
    if (!rc)
        rc = claims_read_audience(&claims, &err);
    if (!rc)
        rc = claims_read_rest(&claims, NULL, &err);
    must(rc == ATTEST_OK || (rc == ATTEST_E_CLAIMS && err.rc == rc && *err.text));
    if (!rc)
        check_accepted();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t signature[ED25519_SIG_LEN];
    static bool ready;
    if (!ready)
        must(crypto_init(NULL) == ATTEST_OK);
    ready = true;

    const uint8_t *line_break = size ? memchr(data, '\n', size) : NULL;
    if (!line_break) {
        run((const char *)data, size);
        return 0;
    }
    AUTO(buf) struct buf token;
    buf_init(&token, 4 * JWS_TOKEN_MAX);
    size_t head_len = (size_t)(line_break - data);
    b64u_append(&token, data, head_len);
    buf_char(&token, '.');
    b64u_append(&token, line_break + 1, size - head_len - 1);
    jws_write_signature(&token, signature);
    if (!buf_rc(&token))
        run(token.p, token.len);
    return 0;
}
