/* SPDX-License-Identifier: MIT */
#include <attest/attest.h>
#include <string.h>

#include "tests/bench/contest.h"

/* What is measured: attest_verify() as a server would call it, to the claims and their release. */
struct ours {
    struct attest_keys *keys;
    struct attest_policy *policy;
    struct attest_verifier *verifier;
};

#define OTHER_ISSUER "https://agents.example.org"
#define REMEMBERED ((size_t)1 << 20)

static void
attest_close(void *state)
{
    struct ours *ours = state;
    attest_verifier_free(ours->verifier);
    attest_keys_free(ours->keys);
    attest_policy_free(ours->policy);
    free(ours);
}

/* A second issuer is trusted, so that finding the right one is in the time too. */
static enum attest_rc
make_policy(struct ours *ours, struct attest_error *err)
{
    static const char *const issuers[] = {OTHER_ISSUER, CONTEST_ISSUER};
    enum attest_rc rc = attest_policy_new(&ours->policy, err);
    if (!rc)
        rc = attest_policy_add_audience(ours->policy, "https://mcp.example.com", err);
    if (!rc)
        rc = attest_policy_add_audience(ours->policy, CONTEST_AUDIENCE, err);
    for (size_t i = 0; i < ARRAY_LEN(issuers) && !rc; i++) {
        rc = attest_policy_add_issuer(ours->policy, issuers[i], ATTEST_TRUST_PROVIDER, err);
        if (!rc)
            rc = attest_policy_issuer_trust_domain(
                ours->policy, issuers[i], i ? "attest.example.com" : "agents.example.org", err);
        if (!rc)
            rc = attest_policy_issuer_provider(ours->policy, issuers[i],
                                               i ? "anthropic" : "example", err);
    }
    return rc ? rc : attest_policy_freeze(ours->policy, err);
}

static void *
attest_open(const struct contest *c)
{
    struct attest_error err;
    struct ours *ours = calloc(1, sizeof(*ours));
    if (!ours)
        return NULL;
    enum attest_rc rc = attest_keys_new(&ours->keys, &err);
    if (!rc)
        rc = attest_keys_add_jwks(ours->keys, CONTEST_ISSUER, c->jwks, strlen(c->jwks), &err);
    if (!rc)
        rc = make_policy(ours, &err);
    if (!rc)
        return ours;
    fprintf(stderr, "verify: %s\n", err.text);
    attest_close(ours);
    return NULL;
}

static bool
attest_verifies(void *state, const struct contest *c, size_t i)
{
    const struct ours *ours = state;
    struct attest_claims *claims = NULL;
    enum attest_rc rc = attest_verify(ours->keys, ours->policy, c->token[i], c->token_len[i],
                                      c->now_s, &claims, NULL);
    attest_claims_free(claims);
    return rc == ATTEST_OK;
}

const struct contestant contestant_attest = {
    .name = "attest_verify()",
    .does = "the whole token, judged",
    .open = attest_open,
    .verify = attest_verifies,
    .close = attest_close,
};

/* And what servers call: with a memory of the tokens seen, from the wall clock to the result. */
static void *
check_open(const struct contest *c)
{
    struct attest_error err;
    struct attest_replay *replay = NULL;
    struct ours *ours = attest_open(c);
    if (!ours)
        return NULL;
    enum attest_rc rc = attest_replay_new_memory(REMEMBERED, &replay, &err);
    if (!rc)
        rc = attest_keys_add_jwks(ours->keys, OTHER_ISSUER, c->jwks, strlen(c->jwks), &err);
    if (!rc)
        rc = attest_verifier_new(ours->policy, ours->keys, replay, &ours->verifier, &err);
    attest_replay_free(replay);
    if (!rc)
        return ours;
    fprintf(stderr, "verify: %s\n", err.text);
    attest_close(ours);
    return NULL;
}

static bool
checks(void *state, const struct contest *c, size_t i)
{
    const struct ours *ours = state;
    struct attest_result *result = NULL;
    enum attest_rc rc =
        attest_verifier_check(ours->verifier, c->token[i], c->token_len[i], NULL, 0, &result);
    attest_result_free(result);
    return rc == ATTEST_OK;
}

const struct contestant contestant_check = {
    .name = "attest_verifier_check()",
    .does = "judged and remembered",
    .open = check_open,
    .verify = checks,
    .close = attest_close,
};
