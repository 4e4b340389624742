/* SPDX-License-Identifier: MIT */

/*
 * A verifier in a program that has a loop of its own and wants no thread: tokens come one a line on
 * standard input, verdicts go one a line to standard output, and the keys are fetched in between.
 *
 *     cc -o loop loop.c $(pkg-config --cflags --libs libattest)
 *     ./loop https://ai.example.com https://mcp.example.com root.jwk < tokens
 *
 * Without the issuer's root key whoever serves its key set is believed.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <attest/attest.h>

static struct attest_policy *
make_policy(const char *issuer, const char *audience, struct attest_error *err)
{
    struct attest_policy *policy = NULL;
    if (attest_policy_new(&policy, err) == ATTEST_OK &&
        attest_policy_add_audience(policy, audience, err) == ATTEST_OK &&
        /* Remove this line: http:// to this machine, for trying it out. */
        attest_policy_allow_loopback_http(policy, err) == ATTEST_OK &&
        attest_policy_add_issuer(policy, issuer, ATTEST_TRUST_PROVIDER, err) == ATTEST_OK &&
        attest_policy_freeze(policy, err) == ATTEST_OK)
        return policy;
    attest_policy_free(policy);
    return NULL;
}

/* Tokens are not taken before there are keys: until then every verdict would be "later" (1012). */
static void
on_event(void *ctx, const struct attest_event *event)
{
    bool *have_keys = ctx;
    if (attest_event_kind(event) == ATTEST_EVENT_KEYS_FETCHED)
        *have_keys = true;
    if (attest_event_kind(event) == ATTEST_EVENT_KEYS_FETCH_FAILED)
        fprintf(stderr, "%s; trying again\n", attest_event_text(event));
}

/* root NULL: none is pinned. */
static struct attest_verifier *
make_verifier(const char *issuer, const char *audience, const char *root, bool *have_keys,
              struct attest_error *err)
{
    struct attest_policy *policy = make_policy(issuer, audience, err);
    struct attest_keys *keys = NULL;
    struct attest_verifier *verifier = NULL;
    if (policy && attest_keys_new(&keys, err) == ATTEST_OK &&
        (!root || attest_keys_pin_root_file(keys, issuer, root, err) == ATTEST_OK) &&
        attest_verifier_new_fetching(policy, keys, NULL, NULL, &verifier, err) == ATTEST_OK &&
        attest_verifier_on_event(verifier, on_event, have_keys, err) != ATTEST_OK) {
        attest_verifier_free(verifier);
        verifier = NULL;
    }
    attest_keys_free(keys);
    attest_policy_free(policy);
    return verifier;
}

static void
judge(struct attest_verifier *verifier, const char *token, size_t token_len)
{
    struct attest_result *result = NULL;
    (void)!attest_verifier_check(verifier, token, token_len, NULL, 0, &result);
    char *text = result ? attest_result_to_json(result) : NULL;
    puts(text ? text : "null");
    fflush(stdout); /* whoever waits for it may hold the next token back until then */
    free(text);
    attest_result_free(result);
}

int
main(int argc, char **argv)
{
    static char line[2 * ATTEST_TOKEN_MAX];
    struct attest_error err = {ATTEST_OK, ""};
    size_t len = 0;
    bool have_keys = false;
    if (argc != 3 && argc != 4) {
        fputs("usage: loop ISSUER AUDIENCE [ROOT.jwk]\n", stderr);
        return 2;
    }
    struct attest_verifier *verifier = make_verifier(argv[1], argv[2], argv[3], &have_keys, &err);
    if (!verifier) {
        fprintf(stderr, "%s\n", err.text);
        return 3;
    }
    for (ssize_t n = 1; n > 0;) {
        struct pollfd fds[] = {{.fd = attest_verifier_fd(verifier), .events = POLLIN},
                               {.fd = have_keys ? STDIN_FILENO : -1, .events = POLLIN}};
        poll(fds, 2, attest_verifier_timeout_ms(verifier));
        if (attest_verifier_step(verifier) != ATTEST_OK) /* takes no time when nothing is due */
            break;
        if (!fds[1].revents)
            continue;
        n = read(STDIN_FILENO, line + len, sizeof(line) - len);
        len += n > 0 ? (size_t)n : 0;
        char *end;
        while ((end = memchr(line, '\n', len))) {
            size_t token_len = (size_t)(end - line);
            judge(verifier, line, token_len);
            len -= token_len + 1;
            memmove(line, end + 1, len);
        }
        /* No token is so long: its beginning is judged malformed as well as the whole would be. */
        if (len == sizeof(line))
            len = ATTEST_TOKEN_MAX + 1;
    }
    if (len > 0) /* a last line that has no end */
        judge(verifier, line, len);
    attest_verifier_free(verifier);
    return 0;
}
