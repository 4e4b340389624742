/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include <attest/attest.h>

#include "base/file.h"
#include "base/jsondoc.h"
#include "cli/command.h"
#include "cli/verify_keys.h"

#define TOKEN_LEN_MAX 65536 /* longer ones are judged too: malformed */
#define POLICY_MAX (1 << 20)
#define VERDICT_MAX 65536
#define RPC_REFUSED (-32002)

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
            {"root-key", "FILE", NULL,
             "the issuer's root key, JWK or PEM; then only keys signed by it count", NULL, true},
            {"alg", "ALG", NULL,
             "allow EdDSA, Ed25519 or ES256, once for each; otherwise the first two", NULL, true},
            {"audience", "URL", NULL, "whom it must be meant for: this server's name", NULL},
            {"policy", "MODE|FILE", NULL,
             "required (the default), preferred or optional; or attest-policy.yaml(5)", NULL},
            {"replay", "STORE", NULL, "memory (the default) or redis://host: what was seen before",
             NULL},
            {"replay-password-file", "FILE", NULL, "its password, which is then not in the URL",
             NULL},
            {"proof", "PROOF", NULL, "proof of possession, for a bound token", NULL},
        },
    .text =
        "Prints the verdict as one JSON object: verified, allowed, trust_level, issuer, subject,\n"
        "claims, verified_claims, error, error_code, rpc_code. Exit status 0 when the token was\n"
        "verified, 1 when not, 3 when nothing could be said; what a policy lets in all the same\n"
        "is in allowed alone. The memory store is this command's own; only a Redis or Valkey\n"
        "sees a token that another run saw.\n"
        "Prefer standard input: arguments are visible to other users of the machine.\n\n"
        "Without --root-key whoever serves the keys is believed. With it, which may be given\n"
        "several times, the keys come from <issuer>" SIGNED_JWKS_PATH " or from --jwks\n"
        "holding such a document, and from nowhere else; revoked keys are refused.\n\n"
        "A policy FILE says who is trusted, and may name audiences; --issuer is then the one of\n"
        "them whose token this is, and --audience, when given, the one whom it is meant for.\n\n"
        "  attest verify --issuer https://ai.example.com --audience https://mcp.example.com "
        "< token\n"
        "  attest verify --issuer https://ai.example.com --jwks jwks.json \\\n"
        "      --audience https://mcp.example.com - < token | jq -r .subject\n"
        "  attest verify --issuer https://ai.example.com --root-key root.jwk \\\n"
        "      --audience https://mcp.example.com < token\n",
    .run = verify,
};

struct setting {
    const char *issuer, *audience, *mode, *replay;
};

static enum exit_status
failed(const struct attest_error *err, const char *next)
{
    return cli_complain(EXIT_FAILED, cmd_verify.name, "%s%s%s", err->text, *next ? "; " : "", next);
}

static enum attest_rc
allow_algs(struct attest_policy *policy, const char *issuer, const struct cli_args *args,
           struct attest_error *err)
{
    const char *alg;
    enum attest_rc rc = ATTEST_OK;
    for (size_t i = 0; rc == ATTEST_OK && (alg = cli_value_at(args, "alg", i)); i++)
        rc = attest_policy_issuer_alg(policy, issuer, alg, err);
    return rc;
}

/* The mode of this name, and required for none; false when it must be a file. */
static bool
mode_of(const char *name, enum attest_mode *ret)
{
    static const enum attest_mode modes[] = {ATTEST_MODE_REQUIRED, ATTEST_MODE_PREFERRED,
                                             ATTEST_MODE_OPTIONAL};
    *ret = ATTEST_MODE_REQUIRED;
    for (size_t i = 0; name && i < ARRAY_LEN(modes); i++) {
        *ret = modes[i];
        if (strcmp(name, attest_mode_name(modes[i])) == 0)
            return true;
    }
    return !name;
}

/*
 * What the command line alone says. Who names an issuer there has configured it: http to this
 * machine is fine.
 */
static enum attest_rc
policy_of_mode(const struct setting *s, enum attest_mode mode, struct attest_policy **ret,
               struct attest_error *err)
{
    enum attest_rc rc = attest_policy_new(ret, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_allow_loopback_http(*ret, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_add_issuer(*ret, s->issuer, ATTEST_TRUST_PROVIDER, err);
    if (rc == ATTEST_OK)
        rc = attest_policy_set_mode(*ret, mode, err);
    return rc;
}

static enum attest_rc
policy_of_file(const char *path, struct attest_policy **ret, struct attest_error *err)
{
    AUTO(buf) struct buf text;
    buf_init(&text, POLICY_MAX);
    if (strcmp(path, "-") != 0)
        return attest_policy_load_file(path, ret, err);
    enum attest_rc rc = file_read(path, POLICY_MAX, &text, err);
    return rc ? rc : attest_policy_load_yaml(text.p, text.len, ret, err);
}

/*
 * A file says whom to trust and how, maybe others too, for tokens within tokens, and by which names
 * the server goes; --issuer and --audience are then those of them that this token must have.
 * *option is the one at which it went wrong.
 */
static enum attest_rc
narrow(struct attest_policy *policy, const struct setting *s, const struct cli_args *args,
       const char **option, struct attest_error *err)
{
    enum attest_rc rc = ATTEST_OK;
    *option = "--audience: ";
    if (s->audience)
        rc = attest_policy_only_audience(policy, s->audience, err);
    if (rc != ATTEST_OK)
        return rc;
    *option = "--issuer: ";
    rc = attest_policy_only_issuer(policy, s->issuer, err);
    if (rc != ATTEST_OK)
        return rc;
    *option = "--alg: ";
    return allow_algs(policy, s->issuer, args, err);
}

static enum exit_status
make_policy(const struct setting *s, const struct cli_args *args, struct attest_policy **ret)
{
    enum attest_mode mode;
    struct attest_error err = {0};
    const char *option = "";
    bool file = !mode_of(s->mode, &mode);
    enum attest_rc rc =
        file ? policy_of_file(s->mode, ret, &err) : policy_of_mode(s, mode, ret, &err);
    if (file && cli_value_at(args, "alg", 0))
        return cli_complain(EXIT_USAGE, cmd_verify.name,
                            "--alg: beside a policy file it is the file's algs that count");
    if (file && rc == ATTEST_E_NOT_FOUND)
        return cli_complain(
            EXIT_USAGE, cmd_verify.name,
            "--policy is required|preferred|optional or a file, and there is no file '%s'",
            s->mode);
    if (rc == ATTEST_OK)
        rc = narrow(*ret, s, args, &option, &err);
    if (rc == ATTEST_OK) {
        option = "";
        rc = attest_policy_freeze(*ret, &err);
    }
    if (rc == ATTEST_E_CONFIG || rc == ATTEST_E_LIMIT)
        return cli_complain(EXIT_USAGE, cmd_verify.name, "%s%s", option, err.text);
    return rc == ATTEST_OK ? EXIT_DONE : failed(&err, "");
}

DEFINE_AUTO(attest_replay_setup, struct attest_replay_setup *, attest_replay_setup_free);

/* A Redis that is away shuts out what is good. What is bad is bad all the same, and said so. */
static enum exit_status
make_replay(const char *store, const char *password_file, struct attest_error *away,
            struct attest_replay **ret)
{
    struct attest_error err = {0};
    bool memory = !store || strcmp(store, "memory") == 0;
    AUTO(attest_replay_setup) struct attest_replay_setup *setup = NULL;
    enum attest_rc rc = attest_replay_setup_new(&setup, &err);
    if (rc == ATTEST_OK)
        rc = attest_replay_setup_set_entries_max(setup, 16, &err);
    if (rc == ATTEST_OK && !memory && attest_replay_setup_set_redis(setup, store, &err))
        return cli_complain(
            EXIT_USAGE, cmd_verify.name,
            "--replay takes memory, redis[s]://host[:port][/database] or unix:///path");
    if (!memory)
        attest_replay_setup_believe_start(setup);
    if (rc == ATTEST_OK && password_file)
        rc = attest_replay_setup_set_password_file(setup, password_file, &err);
    if (rc == ATTEST_OK)
        rc = attest_replay_new(setup, ret, &err);
    if (rc == ATTEST_OK)
        return EXIT_DONE;
    /* Who is refused by a Redis, or must refuse it, is not to be talked out of having one. */
    if (rc != ATTEST_E_IO && rc != ATTEST_E_TIMEOUT)
        return failed(&err, "");
    *away = err;
    away->rc = rc;
    return attest_replay_new_memory(16, ret, &err) == ATTEST_OK ? EXIT_DONE : failed(&err, "");
}

/* Fetches that may be waited for: a kid that is not in the set may be in the next one. */
#define WAITS_MAX 4

static enum attest_rc
check(struct attest_verifier *verifier, struct verify_keys *vk, struct slice token,
      const char *proof, struct attest_result **ret)
{
    enum attest_rc rc = ATTEST_OK;
    bool again = vk->fetched && !vk->complained;
    for (int i = 0;; i++) {
        attest_result_free(*ret);
        rc = attest_verifier_check(verifier, token.len ? token.p : NULL, token.len, proof,
                                   proof ? strlen(proof) : 0, ret);
        if (!again || i == WAITS_MAX || !*ret ||
            attest_result_error_code(*ret) != ATTEST_E_KEY_FETCH)
            return rc;
        again = verify_keys_wait(vk, verifier);
    }
}

/*
 * The verdict on what is good in every way, but may have been seen before for all we know: that on
 * nobody, who is let in or not as the policy has it, with another reason.
 */
static enum exit_status
not_remembered(struct attest_verifier *verifier)
{
    struct attest_result *nobody = NULL;
    if (attest_verifier_check(verifier, NULL, 0, NULL, 0, &nobody) != ATTEST_OK && !nobody)
        return EXIT_FAILED;
    char *plain AUTO(mem) = attest_result_to_json(nobody);
    attest_result_free(nobody);
    AUTO(json_t)
    json_t *json = plain ? jsondoc_read(plain, strlen(plain), VERDICT_MAX, 8, NULL) : NULL;
    bool made = json &&
                json_object_set_new(json, "error",
                                    json_string(attest_strerror(ATTEST_E_REPLAY_STORE))) == 0 &&
                json_object_set_new(json, "error_code", json_integer(ATTEST_E_REPLAY_STORE)) == 0 &&
                json_object_set_new(json, "rpc_code", json_integer(RPC_REFUSED)) == 0;
    char *text AUTO(mem) = made ? json_dumps(json, JSON_COMPACT) : NULL;
    if (text)
        printf("%s\n", text);
    return EXIT_FAILED;
}

static enum exit_status
judge(struct attest_verifier *verifier, struct verify_keys *vk, struct slice token,
      const char *proof, bool away)
{
    struct attest_result *result = NULL;
    enum attest_rc rc = check(verifier, vk, token, proof, &result);
    if (away && result && attest_result_verified(result)) {
        attest_result_free(result);
        return not_remembered(verifier);
    }
    char *text = result ? attest_result_to_json(result) : NULL;
    bool judged = result, retry = judged && attest_result_retry(result);
    if (judged) /* what a policy lets in all the same was not verified for that */
        rc = attest_result_error_code(result);
    if (text)
        printf("%s\n", text);
    free(text);
    if (text && retry && !vk->complained && !away)
        cli_complain(EXIT_FAILED, cmd_verify.name, "%s; try again later",
                     attest_result_error(result));
    attest_result_free(result);
    if (!text)
        return cli_complain(EXIT_FAILED, cmd_verify.name, "%s; try again",
                            attest_strerror(judged ? ATTEST_E_NOMEM : rc));
    if (rc == ATTEST_OK)
        return EXIT_DONE;
    return retry ? EXIT_FAILED : EXIT_REFUSED;
}

/* Everything that the verifier is made of; freed by the caller, whatever came of it. */
struct parts {
    struct attest_keys *keys;
    struct verify_keys vk;
    struct attest_policy *policy;
    struct attest_replay *replay;
    /* Why the store that was asked for is away; this one has to do for what is bad anyway. */
    struct attest_error away;
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
build(const struct cli_args *args, const struct setting *s, struct parts *parts)
{
    struct attest_error err = {0};
    if (attest_keys_new(&parts->keys, &err) != ATTEST_OK)
        return failed(&err, "");
    parts->vk = (struct verify_keys){.args = args, .issuer = s->issuer, .keys = parts->keys};
    enum exit_status status = make_policy(s, args, &parts->policy);
    if (status == EXIT_DONE)
        status = make_replay(s->replay, cli_value(args, "replay-password-file"), &parts->away,
                             &parts->replay);
    if (status == EXIT_DONE)
        status = verify_keys_verifier(&parts->vk, parts->policy, parts->replay, &parts->verifier);
    if (status == EXIT_DONE && parts->away.rc && !parts->vk.complained)
        failed(&parts->away, "--replay memory needs no server");
    return status;
}

static enum exit_status
verify(const struct cli_args *args)
{
    struct setting s = {.mode = cli_value(args, "policy"), .replay = cli_value(args, "replay")};
    AUTO(parts) struct parts parts = {0};
    AUTO(buf) struct buf token;
    struct attest_error err = {0};
    buf_init(&token, TOKEN_LEN_MAX);
    enum attest_mode mode;
    s.audience = cli_value(args, "audience");
    if (!cli_need(args, "issuer", &s.issuer) ||
        (mode_of(s.mode, &mode) && !cli_need(args, "audience", &s.audience)))
        return EXIT_USAGE;
    if (cli_read_token(args->operand, &token, &err) != ATTEST_OK)
        return failed(&err, "pipe one token in");
    enum exit_status status = build(args, &s, &parts);
    if (status != EXIT_DONE)
        return status;
    return judge(parts.verifier, &parts.vk, buf_view(&token), cli_value(args, "proof"),
                 parts.away.rc != ATTEST_OK);
}
