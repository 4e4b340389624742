/* SPDX-License-Identifier: MIT */
#include "issuer/mint.h"

#include "base/clock.h"
#include "base/log.h"
#include "issuer/ask.h"
#include "issuer/cnf_proof.h"
#include "issuer/issuer.h"
#include "token/mint_request.h"

enum {
    NODES_MAX = 512,
    FRAME_MAX = 60 * 1024,
    ANSWER_MAX = 16 * 1024,
    ANSWER_SLACK_MS = 500, /* the signer's own time-out should come first: it says more */
    LOGGED_A_SECOND = 20,
};

struct work {
    struct exchange *x;
    int64_t sent_us;
    char caller[32];
    char request_id[REQUEST_ID_SIZE];
};

unsigned
mint_admit(const struct exchange *x, const char **detail)
{
    const struct issuer *iss = x->issuer;
    unsigned status = 401;
    if (x->conn->is_unix) {
        for (size_t i = 0; i < iss->n_mint_uids; i++)
            if (iss->mint_uids[i] == x->conn->uid)
                return 0;
        *detail = "this user is not in mint_users of attestd's configuration";
    } else if (!iss->open_mint || !x->conn->loopback) {
        *detail = "minting is for the users in mint_users, over a UNIX socket";
    } else if (x->head.origin.p) {
        /* open minting trusts whoever is on this machine, and a web page is not */
        status = 403;
        *detail = "a web page asked; tokens are not for web pages";
    } else {
        return 0;
    }
    metrics_token(iss->metrics, TOKEN_DENIED);
    return status;
}

static void
log_outcome(const struct work *w, const char *outcome, struct slice jti, struct slice why)
{
    static struct log_limit limit;
    unsigned suppressed;
    if (!log_limit_ok(&limit, LOGGED_A_SECOND, 1, &suppressed))
        return;
    log_event(LOG_LEVEL_INFO, "mint",
              "outcome=%s caller=%s request_id=%s duration_us=%lld jti=%s why=%s suppressed=%u",
              outcome, w->caller, w->request_id, (long long)(clock_mono_us() - w->sent_us),
              LOG_QUOTED(jti), LOG_QUOTED(why), suppressed);
}

/* What the signer's refusals are to a client. */
static const struct refusal {
    enum attest_rc rc;
    unsigned status;
    enum metrics_token outcome;
    const char *name, *retry_after;
    const char *detail; /* NULL: what the signer said */
} refusals[] = {
    {ATTEST_E_INTERNAL, 500, TOKEN_ERROR, "error", NULL, "the signer failed; its log says why"},
    {ATTEST_E_CLAIMS, 400, TOKEN_MALFORMED, "malformed", NULL, NULL},
    {ATTEST_E_POLICY, 403, TOKEN_DENIED, "denied", NULL, NULL},
    {ATTEST_E_DENIED, 403, TOKEN_DENIED, "denied", NULL, NULL},
    {ATTEST_E_LIMIT, 413, TOKEN_MALFORMED, "too_large", NULL, NULL},
    {ATTEST_E_BUSY, 503, TOKEN_BUSY, "busy", "1", "too many requests wait for the key already"},
    {ATTEST_E_TIMEOUT, 503, TOKEN_TIMEOUT, "timeout", "1", "the key did not sign in time"},
    {ATTEST_E_KEY_OUT_OF_REACH, 503, TOKEN_KEY_OUT_OF_REACH, "key_out_of_reach", "5",
     "the key is out of reach"},
    {ATTEST_E_PIN, 503, TOKEN_KEY_OUT_OF_REACH, "key_out_of_reach", "30",
     "the key is out of reach"},
    {ATTEST_E_NOT_FOUND, 503, TOKEN_KEY_OUT_OF_REACH, "no_key", "5", "there is no active key"},
    {ATTEST_E_LOG, 503, TOKEN_LOG_FAILED, "log_failed", "5",
     "no record of the token can be written, so none is made"},
    {ATTEST_E_IO, 503, TOKEN_SIGNER_AWAY, "signer_away", "1", "the signer is away"},
};

static const struct refusal *
refusal_of(enum attest_rc rc)
{
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        if (refusals[i].rc == rc)
            return &refusals[i];
    return &refusals[0];
}

static void
refuse(struct work *w, enum attest_rc rc, struct slice text, struct slice member)
{
    const struct refusal *r = refusal_of(rc);
    char detail[200], name[64];
    snprintf(detail, sizeof(detail), "%.*s", SLICE_ARG(text));
    snprintf(name, sizeof(name), "%.*s", SLICE_ARG(member));
    metrics_token(w->x->issuer->metrics, r->outcome);
    log_outcome(w, r->name, (struct slice){"", 0}, text);
    http_wake(w->x, r->status,
              http_problem_response(r->status, r->detail ? r->detail : detail, name, w->request_id,
                                    r->retry_after ? "Retry-After" : NULL, r->retry_after));
}

/* 201; false when the signer's answer lacks something. */
static bool
hand_out(struct work *w, const struct frame_answer *a)
{
    struct slice token, jti, kid;
    int64_t iat, exp;
    if (!frame_string(a->json, a->root, "token", &token) ||
        !frame_string(a->json, a->root, "jti", &jti) ||
        !frame_string(a->json, a->root, "kid", &kid) ||
        !frame_int64(a->json, a->root, "iat", &iat) || !frame_int64(a->json, a->root, "exp", &exp))
        return false;
    AUTO(buf) struct buf text;
    buf_init(&text, ANSWER_MAX);
    buf_str(&text, "{\"token\":");
    json_put_string(&text, token);
    buf_str(&text, ",\"token_type\":\"attestation\",\"jti\":");
    json_put_string(&text, jti);
    buf_str(&text, ",\"kid\":");
    json_put_string(&text, kid);
    buf_printf(&text, ",\"issued_at\":%lld,\"expires_at\":%lld}", (long long)iat, (long long)exp);
    if (buf_rc(&text))
        return false;
    metrics_token(w->x->issuer->metrics, TOKEN_ISSUED);
    log_outcome(w, "issued", jti, (struct slice){"", 0});
    http_wake(w->x, 201, http_response(buf_view(&text), "application/json", "no-store"));
    return true;
}

/* On the signer client's thread. */
static void
answered(void *ctx, const struct frame_answer *a)
{
    AUTO(mem) struct work *w = ctx;
    metrics_sign(w->x->issuer->metrics, clock_mono_us() - w->sent_us);
    if (a->rc == ATTEST_E_ISSUER)
        log_event(LOG_LEVEL_ERROR, "issuer_differs",
                  "action=\"give attestd and attest-signer the same issuer\"");
    if (a->rc)
        refuse(w, a->rc, a->text, a->member);
    else if (!hand_out(w, a))
        refuse(w, ATTEST_E_INTERNAL, slice_cstr("the signer's answer lacks a member"),
               (struct slice){"", 0});
    ask_end(); /* after the wake: who waits for it may then stop the library */
}

static enum MHD_Result
ask_to_sign(struct exchange *x, const struct mint_request *request)
{
    struct issuer *iss = x->issuer;
    struct work *w = calloc(1, sizeof(*w));
    AUTO(buf) struct buf members;
    buf_init(&members, FRAME_MAX);
    if (!w)
        return http_problem(x, 500, "no memory", NULL, NULL, NULL);
    w->x = x;
    request_id_next(w->request_id);
    if (x->conn->is_unix)
        snprintf(w->caller, sizeof(w->caller), "uid:%u", (unsigned)x->conn->uid);
    else
        snprintf(w->caller, sizeof(w->caller), "insecure-open-mint");
    buf_str(&members, "\"iss\":");
    json_put_string(&members, slice_cstr(iss->config->issuer));
    buf_printf(&members, ",\"caller\":\"%s\",\"timeout_ms\":%lld,\"claims\":", w->caller,
               (long long)iss->config->sign_timeout_ms);
    mint_request_write(request, &members);

    w->sent_us = clock_mono_us();
    int64_t deadline_ms = clock_mono_ms() + iss->config->sign_timeout_ms + ANSWER_SLACK_MS;
    ask_begin();
    http_sleep(x); /* before the answer can come */
    enum attest_rc rc = buf_rc(&members);
    if (!rc)
        rc = ask_send(iss, "sign", buf_view(&members), deadline_ms, answered, w);
    if (rc) {
        refuse(w, rc, slice_cstr(attest_strerror(rc)), (struct slice){"", 0});
        free(w);
        ask_end();
    }
    return MHD_YES;
}

enum MHD_Result
mint_post(struct exchange *x)
{
    JSON_NODES(json, NODES_MAX);
    struct attest_error err;
    struct mint_request request;
    char member[128] = "";
    enum attest_rc rc = json_read(&json, x->body, x->body_len, &mint_request_limits, &err);
    if (!rc && json_root(&json)->type != JSON_OBJECT)
        rc = error_set(&err, ATTEST_E_MALFORMED, "JSON: not an object");
    if (!rc)
        rc = mint_request_read(&json, json_root(&json), &request, member, sizeof(member), &err);
    if (!rc && request.cnf == MINT_CNF_KEY) {
        rc = cnf_proof_check(&request, x->issuer->config->issuer, clock_wall_s(), &err);
        if (rc)
            snprintf(member, sizeof(member), "cnf_proof");
    }
    if (!rc)
        return ask_to_sign(x, &request);
    metrics_token(x->issuer->metrics, TOKEN_MALFORMED);
    return http_problem(x, 400, err.text, member, NULL, NULL);
}
