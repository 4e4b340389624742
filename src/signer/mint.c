/* SPDX-License-Identifier: MIT */
#include "signer/mint.h"

#include <string.h>

#include "base/b64u.h"
#include "token/claims.h"

enum {
    CALLER_MAX = 256,
    RECORD_MAX = CHAINLOG_LINE_MAX,
    PAYLOAD_MAX = JWS_TOKEN_MAX,
};

struct mint_job *
mint_job_new(void)
{
    struct mint_job *job = calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    buf_init(&job->token, JWS_TOKEN_MAX);
    buf_init(&job->record, RECORD_MAX);
    return job;
}

void
mint_job_reset(struct mint_job *job)
{
    buf_reset(&job->token);
    buf_reset(&job->record);
    job->entry = (struct log_entry){0};
    job->rc = ATTEST_OK;
}

void
mint_job_free(struct mint_job *job)
{
    if (!job)
        return;
    buf_done(&job->token);
    buf_done(&job->record);
    free(job);
}

static enum attest_rc
fail(char *member, size_t member_size, struct attest_error *err, enum attest_rc rc,
     const char *path, const char *why)
{
    snprintf(member, member_size, "%s", path);
    return error_set(err, rc, "%s: %s", path, why);
}

/* The members of a `sign` request; absent ones stay NULL. */
struct sign_members {
    const struct json_node *iss, *caller, *timeout_ms, *claims;
};

static enum attest_rc
read_members(const struct frame_request *r, struct sign_members *ret, char *member,
             size_t member_size, struct attest_error *err)
{
    const struct {
        const char *name;
        const struct json_node **at;
        bool required;
    } rows[] = {
        {"id", NULL, false},
        {"op", NULL, false},
        {"iss", &ret->iss, true},
        {"caller", &ret->caller, true},
        {"timeout_ms", &ret->timeout_ms, false},
        {"claims", &ret->claims, true},
    };
    struct slice name;
    for (const struct json_node *v = NULL; json_each(r->json, r->root, &name, &v);) {
        size_t i = 0;
        while (i < ARRAY_LEN(rows) && !slice_is(name, rows[i].name))
            i++;
        if (i == ARRAY_LEN(rows))
            return fail(member, member_size, err, ATTEST_E_ARGUMENT, "sign", "unknown member");
        if (rows[i].at)
            *rows[i].at = v;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].required && !*rows[i].at)
            return fail(member, member_size, err, ATTEST_E_ARGUMENT, rows[i].name, "missing");
    }
    return ATTEST_OK;
}

static bool
caller_ok(const struct json_node *caller)
{
    if (caller->type != JSON_STRING || caller->text.len < 1 || caller->text.len > CALLER_MAX)
        return false;
    for (size_t i = 0; i < caller->text.len; i++) {
        if (caller->text.p[i] < 0x20 || caller->text.p[i] > 0x7e)
            return false;
    }
    return true;
}

static enum attest_rc
check_members(const struct mint_limits *limits, const struct sign_members *m, int64_t *timeout_ms,
              char *member, size_t member_size, struct attest_error *err)
{
    if (m->iss->type != JSON_STRING || !slice_eq(m->iss->text, limits->issuer))
        return fail(member, member_size, err, ATTEST_E_ISSUER, "iss",
                    "not the issuer that this signer signs for");
    if (!caller_ok(m->caller))
        return fail(member, member_size, err, ATTEST_E_ARGUMENT, "caller",
                    "1 to 256 printable ASCII characters expected");
    *timeout_ms = limits->timeout_max_ms;
    int64_t asked_ms = 0;
    if (m->timeout_ms && (!json_int64(m->timeout_ms, &asked_ms) || asked_ms < 1))
        return fail(member, member_size, err, ATTEST_E_ARGUMENT, "timeout_ms",
                    "a positive integer expected");
    if (asked_ms && asked_ms < *timeout_ms)
        *timeout_ms = asked_ms;
    return ATTEST_OK;
}

/* No token outlives its key's place in the key set. */
static enum attest_rc
stamp_times(const struct mint_limits *limits, const struct mint_request *claims,
            const struct key_record *key, int64_t now_s, struct mint_job *job, char *member,
            size_t member_size, struct attest_error *err)
{
    int64_t lifetime_s = claims->lifetime_s ? claims->lifetime_s : limits->lifetime_default_s;
    if (lifetime_s < 1 || lifetime_s > limits->lifetime_max_s)
        return fail(member, member_size, err, ATTEST_E_CLAIMS, "lifetime_s",
                    "longer than this signer allows");
    job->iat = now_s;
    job->exp = now_s + lifetime_s;
    const struct rollover_key rolling = {.times = key->times};
    int64_t exp_max_s = rollover_exp_max_s(&rolling, limits->policy, now_s);
    if (job->exp > exp_max_s)
        job->exp = exp_max_s;
    if (job->exp <= job->iat)
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "the active key is about to be removed");
    return ATTEST_OK;
}

static void
put_aud(const struct mint_request *claims, struct buf *out)
{
    bool list = claims->audience_is_array || claims->n_audiences != 1;
    if (list)
        buf_char(out, '[');
    for (size_t i = 0; i < claims->n_audiences; i++) {
        if (i)
            buf_char(out, ',');
        json_put_string(out, claims->audience[i]);
    }
    if (list)
        buf_char(out, ']');
}

static void
put_record(const struct mint_limits *limits, const struct mint_request *claims, struct slice sub,
           struct slice caller, struct mint_job *job)
{
    struct buf *b = &job->record;
    buf_printf(b, "\"op\":\"sign\",\"kid\":\"%s\",\"jti\":\"%s\",\"iss\":", job->kid, job->jti);
    json_put_string(b, limits->issuer);
    buf_str(b, ",\"sub\":");
    json_put_string(b, sub);
    buf_str(b, ",\"aud\":");
    put_aud(claims, b);
    buf_printf(b, ",\"exp\":%lld,\"caller\":", (long long)job->exp);
    json_put_string(b, caller);
    buf_str(b, ",\"token_sha256\":\"");
}

static enum attest_rc
write_input(const struct mint_limits *limits, const struct key_record *key,
            const struct mint_request *claims, struct slice sub, struct mint_job *job,
            struct attest_error *err)
{
    char room[PAYLOAD_MAX];
    struct buf payload = {.p = room, .cap = sizeof(room), .limit = sizeof(room)};
    struct claims_stamp stamp = {
        .iss = limits->issuer,
        .sub = sub,
        .jti = slice_cstr(job->jti),
        .iat = job->iat,
        .nbf = job->iat,
        .exp = job->exp,
    };
    enum attest_rc rc = claims_write(claims, &stamp, &payload, err);
    if (!rc) {
        jws_write_signing_input(&job->token, key->alg, limits->typ, slice_cstr(key->kid),
                                buf_view(&payload));
        rc = buf_rc(&job->token);
    }
    size_t signature_len = 1 + b64u_encoded_len(PUBKEY_SIG_LEN);
    if (rc == ATTEST_E_LIMIT || job->token.len + signature_len > JWS_TOKEN_MAX)
        return error_set(err, ATTEST_E_CLAIMS, "the token would be longer than %d bytes",
                         JWS_TOKEN_MAX);
    return rc;
}

enum attest_rc
mint_begin(const struct mint_limits *limits, const struct frame_request *request,
           const struct key_record *key, int64_t now_s, int64_t now_ms, struct mint_job *job,
           char *member, size_t member_size, struct attest_error *err)
{
    struct sign_members m = {0};
    struct mint_request claims;
    int64_t timeout_ms = 0;
    char room[SUBJECT_MAX];
    struct buf sub = {.p = room, .cap = sizeof(room), .limit = sizeof(room)};
    enum attest_rc rc = read_members(request, &m, member, member_size, err);
    if (rc || (rc = check_members(limits, &m, &timeout_ms, member, member_size, err)) ||
        (rc = mint_request_read(request->json, m.claims, &claims, member, member_size, err)) ||
        (rc = stamp_times(limits, &claims, key, now_s, job, member, member_size, err)))
        return rc;
    struct slice name = claims.enterprise ? claims.workload_id : claims.model_version;
    rc = subject_write(limits->trust_domain, claims.enterprise, name, &limits->names, &sub, err);
    if (rc == ATTEST_E_CLAIMS)
        snprintf(member, member_size, "%s",
                 claims.enterprise ? "agent_identity.enterprise.workload_id"
                                   : "agent_identity.model_version");
    if (rc)
        return rc;
    random_uuid(job->jti);
    job->key = key->ref;
    memcpy(job->kid, key->kid, sizeof(job->kid));
    job->id = request->id;
    job->deadline_ms = now_ms + timeout_ms;
    if ((rc = write_input(limits, key, &claims, buf_view(&sub), job, err)))
        return rc;
    put_record(limits, &claims, buf_view(&sub), m.caller->text, job);
    return buf_rc(&job->record);
}

enum attest_rc
mint_finish(struct mint_job *job, const uint8_t sig[PUBKEY_SIG_LEN])
{
    uint8_t hash[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    jws_write_signature(&job->token, sig);
    if (buf_rc(&job->token))
        return buf_rc(&job->token);
    sha256(hash, job->token.p, job->token.len);
    hex_encode(hex, hash, SHA256_LEN);
    buf_append(&job->record, hex, 2 * SHA256_LEN);
    buf_char(&job->record, '"');
    if (buf_rc(&job->record))
        return buf_rc(&job->record);
    job->entry.body = buf_view(&job->record);
    job->entry.deadline_ms = job->deadline_ms;
    return ATTEST_OK;
}

void
mint_answer(const struct mint_job *job, struct buf *out)
{
    if (job->rc) {
        frame_put_error(out, job->id, job->rc, NULL, NULL);
        return;
    }
    frame_put_ok(out, job->id);
    buf_str(out, ",\"token\":\"");
    buf_slice(out, buf_view(&job->token));
    buf_printf(out, "\",\"jti\":\"%s\",\"kid\":\"%s\",\"iat\":%lld,\"exp\":%lld}", job->jti,
               job->kid, (long long)job->iat, (long long)job->exp);
}
