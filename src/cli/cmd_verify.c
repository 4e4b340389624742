/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include <attest/attest.h>

#include "base/json.h"
#include "cli/command.h"
#include "fetch/fetch.h"
#include "token/subject.h"

#define JWKS_PATH "/.well-known/jwks.json"
#define URL_LEN_MAX 2048
#define TOKEN_LEN_MAX 65536 /* longer ones are judged too: malformed */

static enum exit_status verify(const struct cli_args *args);

const struct cli_command cmd_verify = {
    .name = "verify",
    .summary = "verify a token and print the verdict",
    .operands = "[TOKEN|-]",
    .operands_max = 1,
    .options =
        {
            {"issuer", "URL", "ATTEST_ISSUER", "who must have issued it", NULL},
            {"jwks", "URL|FILE", NULL, "the issuer's keys; else <issuer>" JWKS_PATH " is fetched",
             NULL},
            {"audience", "URL", NULL, "whom it must be meant for: this server's name", NULL},
            {"policy", "MODE", NULL, "required (the default), preferred or optional",
             "required|preferred|optional"},
            {"replay", "STORE", NULL, "memory (the default) or redis://host: what was seen before",
             NULL},
            {"proof", "PROOF", NULL, "proof of possession, for a bound token", NULL},
        },
    .text =
        "Prints the verdict as one JSON object: verified, allowed, trust_level, issuer, subject,\n"
        "claims, verified_claims, error, error_code, rpc_code. Exit status 0 when the policy\n"
        "allows, 1 when it refuses, 3 when nothing could be said. The memory store is this\n"
        "command's own; only a Redis or Valkey sees a token that another run saw.\n"
        "Prefer standard input: arguments are visible to other users of the machine.\n\n"
        "  attest verify --issuer https://ai.example.com --audience https://mcp.example.com "
        "< token\n"
        "  attest verify --issuer https://ai.example.com --jwks jwks.json \\\n"
        "      --audience https://mcp.example.com - < token | jq -r .subject\n",
    .run = verify,
};

struct setting {
    const char *issuer, *audience, *jwks, *mode, *replay;
};

static enum exit_status
failed(const struct attest_error *err, const char *next)
{
    return cli_complain(EXIT_FAILED, cmd_verify.name, "%s%s%s", err->text, *next ? "; " : "", next);
}

static bool
is_url(const char *text)
{
    return strstr(text, "://") != NULL;
}

/* The verdict when there are no keys to judge by: nothing is said of the token. */
static void
print_no_keys(const struct attest_error *err)
{
    AUTO(buf) struct buf out;
    buf_init(&out, 4096);
    buf_str(&out, "{\"verified\":false,\"allowed\":false,\"trust_level\":\"none\",\"issuer\":null,"
                  "\"subject\":null,\"claims\":null,\"verified_claims\":[],\"error\":");
    json_put_string(&out, slice_cstr(err->text));
    buf_printf(&out, ",\"error_code\":%d,\"rpc_code\":-32002}\n", ATTEST_E_KEY_FETCH);
    fwrite(out.p, 1, out.len, stdout);
}

static enum exit_status
fetch_keys(struct attest_keys *keys, const struct setting *s)
{
    char url[URL_LEN_MAX];
    AUTO(buf) struct buf text;
    struct attest_error err = {0};
    buf_init(&text, ATTEST_JWKS_MAX);
    struct slice from = s->jwks ? slice_cstr(s->jwks) : issuer_base(slice_cstr(s->issuer));
    int n = snprintf(url, sizeof(url), "%.*s%s", SLICE_ARG(from), s->jwks ? "" : JWKS_PATH);
    if (n < 0 || n >= URL_LEN_MAX)
        return cli_complain(EXIT_USAGE, cmd_verify.name, "the URL of the keys is too long");
    enum attest_rc rc = fetch_init(&err);
    if (rc == ATTEST_OK)
        rc = fetch_jwks(url, NULL, &text, &err);
    if (rc == ATTEST_E_ARGUMENT)
        return cli_complain(EXIT_USAGE, cmd_verify.name, "%s", err.text);
    if (rc == ATTEST_OK)
        rc = attest_keys_add_jwks(keys, s->issuer, text.p ? text.p : "", text.len, &err);
    if (rc == ATTEST_OK)
        return EXIT_DONE;
    print_no_keys(&err);
    return failed(&err, "is attestd running, or else give --jwks FILE");
}

static enum exit_status
load_keys(struct attest_keys *keys, const struct setting *s)
{
    struct attest_error err = {0};
    if (!s->jwks || is_url(s->jwks))
        return fetch_keys(keys, s);
    if (attest_keys_add_file(keys, s->issuer, s->jwks, &err) != ATTEST_OK)
        return failed(&err, "--jwks takes the issuer's key set, a file or a URL");
    return EXIT_DONE;
}

/* Who names an issuer on the command line has configured it: http to this machine is fine. */
static enum exit_status
make_policy(struct attest_policy *policy, const struct setting *s)
{
    enum attest_mode mode = ATTEST_MODE_REQUIRED;
    struct attest_error err = {0};
    if (s->mode && strcmp(s->mode, "preferred") == 0)
        mode = ATTEST_MODE_PREFERRED;
    if (s->mode && strcmp(s->mode, "optional") == 0)
        mode = ATTEST_MODE_OPTIONAL;
    enum attest_rc rc = attest_policy_allow_loopback_http(policy, &err);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_audience(policy, s->audience, &err);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_issuer(policy, s->issuer, ATTEST_TRUST_PROVIDER, &err);
    if (rc == ATTEST_OK)
        rc = attest_policy_set_mode(policy, mode, &err);
    if (rc == ATTEST_OK)
        rc = attest_policy_freeze(policy, &err);
    if (rc == ATTEST_E_CONFIG)
        return cli_complain(EXIT_USAGE, cmd_verify.name, "%s", err.text);
    return rc == ATTEST_OK ? EXIT_DONE : failed(&err, "");
}

static enum exit_status
make_replay(const char *store, struct attest_replay **ret)
{
    struct attest_error err = {0};
    bool memory = !store || strcmp(store, "memory") == 0;
    enum attest_rc rc = memory ? attest_replay_new_memory(16, ret, &err)
                               : attest_replay_new_redis(store, 0, ret, &err);
    if (rc == ATTEST_E_ARGUMENT)
        return cli_complain(
            EXIT_USAGE, cmd_verify.name,
            "--replay takes memory, redis://host[:port][/database] or unix:///path");
    return rc == ATTEST_OK ? EXIT_DONE : failed(&err, "--replay memory needs no server");
}

static enum exit_status
judge(struct attest_verifier *verifier, struct slice token, const char *proof)
{
    struct attest_result *result = NULL;
    enum attest_rc rc = attest_verifier_check(verifier, token.len ? token.p : NULL, token.len,
                                              proof, proof ? strlen(proof) : 0, &result);
    char *text = result ? attest_result_to_json(result) : NULL;
    bool retry = result && attest_result_retry(result);
    if (text)
        printf("%s\n", text);
    free(text);
    attest_result_free(result);
    if (!text)
        return cli_complain(EXIT_FAILED, cmd_verify.name, "%s; try again", attest_strerror(rc));
    if (rc == ATTEST_OK)
        return EXIT_DONE;
    if (retry)
        return cli_complain(EXIT_FAILED, cmd_verify.name, "%s; try again later",
                            attest_strerror(rc));
    return EXIT_REFUSED;
}

/* Everything that the verifier is made of; freed by the caller, whatever came of it. */
struct parts {
    struct attest_keys *keys;
    struct attest_policy *policy;
    struct attest_replay *replay;
    struct attest_verifier *verifier;
};

static void
parts_auto(struct parts *parts)
{
    attest_verifier_free(parts->verifier);
    attest_replay_free(parts->replay);
    attest_policy_free(parts->policy);
    attest_keys_free(parts->keys);
}

static enum exit_status
build(const struct setting *s, struct parts *parts)
{
    struct attest_error err = {0};
    if (attest_keys_new(&parts->keys, &err) != ATTEST_OK ||
        attest_policy_new(&parts->policy, &err) != ATTEST_OK)
        return failed(&err, "");
    enum exit_status status = make_policy(parts->policy, s);
    if (status == EXIT_DONE)
        status = make_replay(s->replay, &parts->replay);
    if (status == EXIT_DONE)
        status = load_keys(parts->keys, s);
    if (status != EXIT_DONE)
        return status;
    if (attest_verifier_new(parts->policy, parts->keys, parts->replay, &parts->verifier, &err) !=
        ATTEST_OK)
        return failed(&err, "");
    return EXIT_DONE;
}

static enum exit_status
verify(const struct cli_args *args)
{
    struct setting s = {.jwks = cli_value(args, "jwks"),
                        .mode = cli_value(args, "policy"),
                        .replay = cli_value(args, "replay")};
    AUTO(parts) struct parts parts = {0};
    AUTO(buf) struct buf token;
    struct attest_error err = {0};
    buf_init(&token, TOKEN_LEN_MAX);
    if (!cli_need(args, "issuer", &s.issuer) || !cli_need(args, "audience", &s.audience))
        return EXIT_USAGE;
    if (cli_read_token(args->operand, &token, &err) != ATTEST_OK)
        return failed(&err, "pipe one token in");
    enum exit_status status = build(&s, &parts);
    if (status != EXIT_DONE)
        return status;
    return judge(parts.verifier, buf_view(&token), cli_value(args, "proof"));
}
