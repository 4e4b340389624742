/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/b64u.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/keyfile.h"
#include "token/claims.h"

#define PROOF_LIFETIME_S 60

static enum exit_status prove(const struct cli_args *args);

const struct cli_command cmd_prove = {
    .name = "prove",
    .summary = "make a proof of possession for a bound token",
    .operands = "[TOKEN|-]",
    .operands_max = 1,
    .options =
        {
            {"audience", "URL", NULL, "the server that the token and the proof are for", NULL},
            {"key", "FILE", "ATTEST_KEY", "the private key that the token is bound to", NULL},
        },
    .text = "Signs a workload proof token: good for this token, this server, one minute, once. A\n"
            "warning says when the token is bound to no key or another, or meant for another "
            "server.\n\n"
            "  attest prove --audience https://mcp.example.com --key agent_private.pem < token\n"
            "  attest verify … --proof \"$(attest prove … < token)\" < token\n",
    .run = prove,
};

static enum exit_status
failed(const struct attest_error *err)
{
    return cli_complain(EXIT_FAILED, cmd_prove.name, "%s", err->text);
}

static void
put_payload(struct slice token, const char *audience, int64_t now_s, struct buf *out)
{
    uint8_t digest[SHA256_LEN];
    char jti[37];
    sha256(digest, token.p, token.len);
    random_uuid(jti);
    buf_str(out, "{\"aud\":");
    json_put_string(out, slice_cstr(audience));
    buf_printf(out, ",\"exp\":%lld,\"jti\":\"%s\",\"wth\":\"",
               (long long)(now_s + PROOF_LIFETIME_S), jti);
    b64u_append(out, digest, sizeof(digest));
    buf_str(out, "\"}");
}

/*
 * Says what the server will refuse, whatever this key signs; signed it is all the same, for those
 * who try that out. Nothing of the token is verified: it is the caller's own.
 */
static void
warn(struct slice token, const char *audience, const char *path, const struct keyfile *key)
{
    struct jws jws;
    struct claims claims = {0};
    uint8_t bound_to[ED25519_PUBLIC_LEN];
    const struct profile *profile = profile_get(PROFILE_ATTESTATION);
    if (jws_read(&jws, profile, token.p, token.len, NULL) != ATTEST_OK ||
        claims_read_issuer(&claims, profile, &jws.payload, NULL) != ATTEST_OK ||
        claims_read_audience(&claims, NULL) != ATTEST_OK) {
        cli_complain(EXIT_DONE, cmd_prove.name,
                     "warning: no server will take this token; see attest inspect");
        return;
    }
    const struct json_node *cnf = claims.at[CLAIM_CNF];
    if (!cnf)
        cli_complain(EXIT_DONE, cmd_prove.name,
                     "warning: the token is bound to no key, and is shown without a proof");
    else if (jwk_read_ed25519(claims.json, json_member(claims.json, cnf, "jwk"), bound_to, NULL,
                              NULL) != ATTEST_OK ||
             memcmp(bound_to, key->public_key, sizeof(bound_to)) != 0)
        cli_complain(EXIT_DONE, cmd_prove.name,
                     "warning: the token is bound to another key than that of %s", path);
    size_t i = 0;
    while (i < claims.n_aud && !slice_is(claims.aud[i], audience))
        i++;
    if (i == claims.n_aud)
        cli_complain(EXIT_DONE, cmd_prove.name,
                     "warning: the token is not meant for %s; see attest inspect", audience);
}

static enum exit_status
sign_proof(struct slice token, const char *audience, const char *path, bool as_json)
{
    AUTO(keyfile) struct keyfile key = {0};
    AUTO(buf) struct buf payload;
    AUTO(buf) struct buf proof;
    struct attest_error err = {0};
    buf_init(&payload, JWS_TOKEN_MAX);
    buf_init(&proof, JWS_TOKEN_MAX);
    if (keyfile_read(path, &key, &err) != ATTEST_OK)
        return failed(&err);
    if (!key.seed.p)
        return cli_complain(EXIT_USAGE, cmd_prove.name,
                            "%s holds a public key; --key takes the private one", path);
    warn(token, audience, path, &key);
    put_payload(token, audience, clock_wall_s(), &payload);
    if (buf_rc(&payload))
        return cli_complain(EXIT_USAGE, cmd_prove.name, "--audience is too long");
    if (keyfile_sign(&key, "wpt+jwt", buf_view(&payload), &proof, &err) != ATTEST_OK)
        return failed(&err);
    printf(as_json ? "{\"proof\":\"%.*s\"}\n" : "%.*s\n", SLICE_ARG(buf_view(&proof)));
    return EXIT_DONE;
}

static enum exit_status
prove(const struct cli_args *args)
{
    const char *audience, *path;
    AUTO(buf) struct buf token;
    struct attest_error err = {0};
    buf_init(&token, 65536);
    if (!cli_need(args, "audience", &audience) || !cli_need(args, "key", &path))
        return EXIT_USAGE;
    if (cli_read_token(args->operand, &token, &err) != ATTEST_OK)
        return failed(&err);
    if (!jws_has_shape(buf_view(&token), JWS_TOKEN_MAX))
        return cli_complain(EXIT_FAILED, cmd_prove.name,
                            "that is no token; give the one that attest token printed");
    return sign_proof(buf_view(&token), audience, path, args->json);
}
