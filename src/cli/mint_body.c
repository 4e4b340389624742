/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/clock.h"
#include "cli/keyfile.h"
#include "cli/mint.h"
#include "token/mint_request.h"

#define PROOF_LIFETIME_S 30

/* A compact JWS by the key itself: whoever asks for a token bound to it holds it. */
static enum attest_rc
prove_key(const struct keyfile *key, const char *issuer, struct buf *out, struct attest_error *err)
{
    char jti[37];
    AUTO(buf) struct buf payload;
    buf_init(&payload, 4096);
    random_uuid(jti);
    buf_str(&payload, "{\"iss\":");
    json_put_string(&payload, slice_cstr(issuer));
    buf_printf(&payload, ",\"exp\":%lld,\"jti\":\"%s\"}",
               (long long)(clock_wall_s() + PROOF_LIFETIME_S), jti);
    if (buf_rc(&payload))
        return error_set(err, buf_rc(&payload), "the issuer's URL is too long");
    return keyfile_sign(key, "cnf-proof+jwt", buf_view(&payload), out, err);
}

static enum attest_rc
bind_to_key(const struct mint_wish *wish, struct mint_request *request, struct buf *proof,
            struct attest_error *err)
{
    AUTO(keyfile) struct keyfile key = {0};
    if (!wish->issuer)
        return error_set(err, ATTEST_E_ARGUMENT, "to bind the token to a key, give --issuer");
    enum attest_rc rc = keyfile_read(wish->key_file, &key, err);
    if (rc != ATTEST_OK)
        return rc;
    if (!key.seed.p)
        return error_set(
            err, ATTEST_E_ARGUMENT,
            "%.100s: a public key; the private one is needed to prove that it is yours",
            wish->key_file);
    rc = prove_key(&key, wish->issuer, proof, err);
    if (rc != ATTEST_OK)
        return rc;
    request->cnf = MINT_CNF_KEY;
    memcpy(request->cnf_key, key.public_key, sizeof(request->cnf_key));
    request->cnf_proof = buf_view(proof);
    return ATTEST_OK;
}

static struct slice
maybe(const char *text)
{
    return text ? slice_cstr(text) : (struct slice){0};
}

enum attest_rc
mint_body(const struct mint_wish *wish, struct buf *out, struct attest_error *err)
{
    AUTO(buf) struct buf proof;
    buf_init(&proof, 8192);
    struct mint_request request = {
        .audience = {slice_cstr(wish->audience)},
        .n_audiences = 1,
        .model_family = slice_cstr(wish->model_family),
        .model_version = slice_cstr(wish->model_version),
        .provider = slice_cstr(wish->provider),
        .deployment_id = maybe(wish->deployment_id),
        .config_hash = maybe(wish->config_hash),
        .cnf = MINT_CNF_ABSENT,
    };
    if (wish->key_file) {
        enum attest_rc rc = bind_to_key(wish, &request, &proof, err);
        if (rc != ATTEST_OK)
            return rc;
    }
    mint_request_write(&request, out);
    return buf_rc(out) ? error_set(err, buf_rc(out), "the request is too long") : ATTEST_OK;
}
