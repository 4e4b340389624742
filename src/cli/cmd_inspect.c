/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/b64u.h"
#include "base/jsondoc.h"
#include "cli/command.h"

#define TOKEN_LEN_MAX 65536 /* more than a verifier reads: this is for looking at what is wrong */
#define DEPTH_MAX 32

static enum exit_status inspect(const struct cli_args *args);

const struct cli_command cmd_inspect = {
    .name = "inspect",
    .summary = "decode a token without verifying anything",
    .operands = "[TOKEN|-]",
    .operands_max = 1,
    .options = {{0}},
    .text = "Shows what a token says. Nothing is verified: anyone can write such a token.\n"
            "Prefer standard input: arguments are visible to other users of the machine.\n\n"
            "  attest inspect < token\n"
            "  attest inspect --json - < token | jq .payload.exp\n",
    .run = inspect,
};

struct parts {
    json_t *header, *payload; /* owned */
    size_t signature_len;
};

static void
parts_auto(struct parts *parts)
{
    json_decref(parts->header);
    json_decref(parts->payload);
}

static json_t *
decode_json(struct slice text, const char *what, struct attest_error *err)
{
    char *bytes AUTO(mem) = malloc(b64u_decoded_len(text.len) + 1);
    size_t len;
    struct attest_error why = {0};
    if (!bytes) {
        error_set(err, ATTEST_E_NOMEM, "out of memory");
        return NULL;
    }
    if (!b64u_decode(bytes, b64u_decoded_len(text.len) + 1, &len, text)) {
        error_set(err, ATTEST_E_MALFORMED, "the %s is not base64url", what);
        return NULL;
    }
    json_t *json = jsondoc_read(bytes, len, TOKEN_LEN_MAX, DEPTH_MAX, &why);
    if (!json)
        error_set(err, ATTEST_E_MALFORMED, "the %s: %s", what, why.text);
    return json;
}

/* Cuts at the dots: exactly three parts. */
static bool
split(struct slice token, struct slice part[3])
{
    for (int i = 0; i < 3; i++) {
        const char *dot = token.len ? memchr(token.p, '.', token.len) : NULL;
        if ((i < 2) != (dot != NULL))
            return false;
        part[i] = (struct slice){token.p, dot ? (size_t)(dot - token.p) : token.len};
        if (dot)
            token = (struct slice){dot + 1, token.len - part[i].len - 1};
    }
    return true;
}

static enum attest_rc
take_apart(struct slice token, struct parts *parts, struct attest_error *err)
{
    struct slice part[3];
    if (token.len == 0)
        return error_set(err, ATTEST_E_MALFORMED, "no token; give one on standard input");
    if (!split(token, part))
        return error_set(err, ATTEST_E_MALFORMED, "a compact JWS has three parts between dots");
    parts->header = decode_json(part[0], "header", err);
    if (!parts->header)
        return err->rc;
    parts->payload = decode_json(part[1], "payload", err);
    if (!parts->payload)
        return err->rc;
    char *signature AUTO(mem) = malloc(part[2].len + 1);
    if (!signature)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    if (!b64u_decode(signature, part[2].len + 1, &parts->signature_len, part[2]))
        return error_set(err, ATTEST_E_MALFORMED, "the signature is not base64url");
    return ATTEST_OK;
}

/* White space and other bytes that only a terminal would act on do not get through. */
static void
print_json(const char *title, json_t *json)
{
    char *text AUTO(mem) = json_dumps(json, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    printf("%s\n%s\n", title, text ? text : "(out of memory)");
}

static enum exit_status
print_parts(const struct parts *parts, bool as_json)
{
    if (as_json) {
        json_t *all = json_pack("{s:b, s:s, s:O, s:O, s:I}", "verified", 0, "note",
                                "nothing was verified", "header", parts->header, "payload",
                                parts->payload, "signature_len", (json_int_t)parts->signature_len);
        char *text AUTO(mem) = all ? json_dumps(all, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
        json_decref(all);
        if (!text)
            return cli_complain(EXIT_FAILED, cmd_inspect.name, "out of memory");
        printf("%s\n", text);
        return EXIT_DONE;
    }
    printf("NOTHING WAS VERIFIED: anyone can write this. See attest verify --help.\n");
    print_json("header", parts->header);
    print_json("payload", parts->payload);
    printf("signature\n%zu bytes\n", parts->signature_len);
    return EXIT_DONE;
}

static enum exit_status
inspect(const struct cli_args *args)
{
    AUTO(parts) struct parts parts = {0};
    AUTO(buf) struct buf token;
    struct attest_error err = {0};
    buf_init(&token, TOKEN_LEN_MAX);
    if (cli_read_token(args->operand, &token, &err) != ATTEST_OK)
        return cli_complain(EXIT_FAILED, cmd_inspect.name, "%s; pipe one token in", err.text);
    enum attest_rc rc = take_apart(buf_view(&token), &parts, &err);
    if (rc == ATTEST_OK)
        return print_parts(&parts, args->json);
    if (rc != ATTEST_E_MALFORMED)
        return cli_complain(EXIT_FAILED, cmd_inspect.name, "%s", err.text);
    if (args->json)
        printf("{\"verified\":false,\"error\":\"%s\"}\n", err.text);
    else
        printf("not a token: %s\n", err.text);
    return EXIT_REFUSED;
}
