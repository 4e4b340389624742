/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/mint.h"
#include "fetch/fetch.h"
#include "token/subject.h"

#define PATH_OF_MINT "/v1/attestations"
#define LOCALHOST "http://localhost" /* what is asked of a socket; nobody looks at it */
#define PATH_OF_DISCOVERY "/.well-known/openid-configuration"
#define URL_LEN_MAX 2048
#define ANSWER_LEN_MAX 65536
#define TIMEOUT_MS 30000

static enum exit_status token(const struct cli_args *args);

const struct cli_command cmd_token = {
    .name = "token",
    .summary = "ask attestd for an attestation",
    .operands = "",
    .options =
        {
            {"issuer", "URL", "ATTEST_ISSUER", "the issuer: asked there, unless --socket is given",
             NULL},
            {"socket", "PATH", "ATTEST_SOCKET", "ask over attestd's UNIX socket", NULL},
            {"audience", "URL", NULL, "the server that the token is for", NULL},
            {"model-family", "F", NULL, "such as claude-4", NULL},
            {"model-version", "V", NULL, "such as claude-sonnet-4", NULL},
            {"provider", "P", NULL, "who provides the model", NULL},
            {"deployment-id", "D", NULL, "which deployment of it", NULL},
            {"config-hash", "H", NULL, "sha256: and 64 hex digits of the agent's configuration",
             NULL},
            {"cnf-key", "FILE", NULL, "bind the token to this private key, which stays here", NULL},
            {"key", "FILE", "ATTEST_KEY",
             "your own private key: what a token is bound to by default", NULL},
            {"output", "WHAT", NULL, "token (the default) or json: the whole answer", "token|json"},
        },
    .text =
        "Asks for a token and prints it. A token is for one server and lives five minutes,\n"
        "unless its issuer has it otherwise; "
        "unbound,\n"
        "it is accepted once. Bound to a key (--cnf-key), it serves until it expires, but only\n"
        "beside a proof by that key: see attest prove.\n\n"
        "  attest token --socket run/attestd.sock --audience https://mcp.example.com \\\n"
        "      --model-family claude-4 --model-version claude-sonnet-4 --provider anthropic\n"
        "  attest token --issuer https://ai.example.com --cnf-key agent_private.pem …\n",
    .run = token,
};

/* What an answer is worth, for people. */
static const struct {
    long status;
    enum exit_status exit;
    const char *next;
} answers[] = {
    {400, EXIT_REFUSED, "correct what it names"},
    {401, EXIT_REFUSED, "attestd does not know you; ask its operator"},
    {403, EXIT_REFUSED, "ask attestd's operator what you may have"},
    {404, EXIT_FAILED, "is this attestd's address?"},
    {413, EXIT_REFUSED, "ask for less"},
    {415, EXIT_FAILED, "is this attestd's address?"},
    {429, EXIT_FAILED, "try again later"},
    {503, EXIT_FAILED, "try again later; attestctl status says why"},
};

/* Which option of ours made the member that attestd names. */
static const struct {
    const char *member, *option;
} options_of[] = {
    {"audience", "--audience"},
    {"agent_identity.model_family", "--model-family"},
    {"agent_identity.model_version", "--model-version"},
    {"agent_identity.provider", "--provider"},
    {"agent_identity.deployment_id", "--deployment-id"},
    {"agent_integrity.config_hash", "--config-hash"},
    {"cnf", "--cnf-key"},
    {"cnf_proof", "--issuer and this machine's clock"},
};

static const char *
next_step(const struct mint_problem *problem, long status, enum exit_status *exit)
{
    *exit = EXIT_FAILED;
    const char *next = "see attestd's log";
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        if (answers[i].status == status) {
            *exit = answers[i].exit;
            next = answers[i].next;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(options_of); i++) {
        if (strcmp(problem->member, options_of[i].member) == 0)
            return options_of[i].option;
    }
    return next;
}

static enum exit_status
report_problem(const struct fetch_answer *answer, bool as_json)
{
    struct mint_problem problem;
    enum exit_status exit;
    mint_problem_read(&answer->body, answer->type, &problem);
    const char *next = next_step(&problem, answer->status, &exit);
    bool option = next[0] == '-';
    /* Most details begin with the member. */
    size_t len = strlen(problem.member);
    bool named =
        strncmp(problem.detail, problem.member, len) == 0 && strchr(": ", problem.detail[len]);
    const char *member = named ? "" : problem.member;
    if (as_json && problem.json)
        printf("%s\n", problem.json);
    else if (exit == EXIT_REFUSED)
        printf("refused: %s\n", problem.detail);
    cli_complain(exit, cmd_token.name, "%ld %s%s%s%s; %s%s", answer->status, problem.detail,
                 *member ? " (" : "", member, *member ? ")" : "", option ? "look at " : "", next);
    mint_problem_done(&problem);
    return exit;
}

/* body NULL: GET. */
static enum exit_status
exchange(const char *url, const char *socket, const struct buf *body, struct fetch_answer *ret)
{
    struct attest_error err = {0};
    const struct fetch_request request = {.url = url,
                                          .unix_socket = socket,
                                          .body = body ? body->p : NULL,
                                          .body_len = body ? body->len : 0,
                                          .type = "application/json",
                                          .answer_max = ANSWER_LEN_MAX,
                                          .timeout_ms = TIMEOUT_MS};
    enum attest_rc rc = fetch_init(&err);
    if (rc == ATTEST_OK)
        rc = fetch_once(&request, ret, &err);
    if (rc == ATTEST_E_CONFIG)
        return cli_complain(EXIT_USAGE, cmd_token.name, "%s", err.text);
    if (rc != ATTEST_OK)
        return cli_complain(EXIT_FAILED, cmd_token.name, "%s; %s", err.text,
                            rc == ATTEST_E_UNSUPPORTED ? "ask attestd with another program"
                                                       : "is attestd running there?");
    return EXIT_DONE;
}

/*
 * The proof that binds a token to a key names the issuer. Whoever answers on the socket is the one
 * who is asked for the token, and says himself who that is; free() it.
 */
static enum exit_status
ask_who(const char *socket, char **ret)
{
    AUTO(fetch_answer) struct fetch_answer answer = {0};
    struct attest_error err = {0};
    enum exit_status status = exchange(LOCALHOST PATH_OF_DISCOVERY, socket, NULL, &answer);
    if (status != EXIT_DONE)
        return status;
    if (answer.status == 200)
        *ret = mint_issuer(&answer.body, &err);
    if (!*ret)
        return cli_complain(EXIT_FAILED, cmd_token.name,
                            "%s does not say whose it is; give --issuer beside it", socket);
    return EXIT_DONE;
}

static enum exit_status
read_request(const struct cli_args *args, const char *issuer, const char *socket, struct buf *body)
{
    struct mint_wish wish = {.issuer = issuer,
                             .deployment_id = cli_value(args, "deployment-id"),
                             .config_hash = cli_value(args, "config-hash"),
                             .key_file = cli_value(args, "cnf-key")};
    char *said AUTO(mem) = NULL;
    struct attest_error err = {0};
    if (!cli_need(args, "audience", &wish.audience) ||
        !cli_need(args, "model-family", &wish.model_family) ||
        !cli_need(args, "model-version", &wish.model_version) ||
        !cli_need(args, "provider", &wish.provider))
        return EXIT_USAGE;
    if (!wish.key_file)
        wish.key_file = cli_value(args, "key");
    if (wish.key_file && !issuer) {
        enum exit_status status = ask_who(socket, &said);
        if (status != EXIT_DONE)
            return status;
        wish.issuer = said;
    }
    enum attest_rc rc = mint_body(&wish, body, &err);
    if (rc == ATTEST_E_ARGUMENT)
        return cli_complain(EXIT_USAGE, cmd_token.name, "%s", err.text);
    return rc == ATTEST_OK ? EXIT_DONE : cli_complain(EXIT_FAILED, cmd_token.name, "%s", err.text);
}

static enum exit_status
ask(const char *url, const char *socket, const struct buf *body, bool as_json)
{
    AUTO(fetch_answer) struct fetch_answer answer = {0};
    struct attest_error err = {0};
    enum exit_status status = exchange(url, socket, body, &answer);
    if (status != EXIT_DONE)
        return status;
    if (answer.status != 201)
        return report_problem(&answer, as_json);
    char *text AUTO(mem) = mint_answer(&answer.body, as_json, &err);
    if (!text)
        return cli_complain(EXIT_FAILED, cmd_token.name, "%s; is this attestd's address?",
                            err.text);
    printf("%s\n", text);
    return EXIT_DONE;
}

static enum exit_status
token(const struct cli_args *args)
{
    const char *issuer = cli_value(args, "issuer"), *socket = cli_value(args, "socket");
    const char *output = cli_value(args, "output");
    char url[URL_LEN_MAX];
    AUTO(buf) struct buf body;
    buf_init(&body, ANSWER_LEN_MAX);
    if (!issuer && !socket)
        return cli_complain(EXIT_USAGE, cmd_token.name,
                            "whom to ask: --socket PATH of attestd here, or --issuer URL");
    struct slice base = issuer_base(slice_cstr(socket ? LOCALHOST : issuer));
    int n = snprintf(url, sizeof(url), "%.*s%s", SLICE_ARG(base), PATH_OF_MINT);
    if (n < 0 || n >= URL_LEN_MAX)
        return cli_complain(EXIT_USAGE, cmd_token.name, "--issuer is too long");
    enum exit_status status = read_request(args, issuer, socket, &body);
    if (status != EXIT_DONE)
        return status;
    return ask(url, socket, &body, args->json || (output && strcmp(output, "json") == 0));
}
