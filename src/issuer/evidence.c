/* SPDX-License-Identifier: MIT */
#include "issuer/evidence.h"

#include <stdatomic.h>
#include <string.h>

#include "base/b64u.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "issuer/ask.h"
#include "issuer/issuer.h"
#include "issuer/jwks.h"

#define EVIDENCE_VERSION "attest-evidence/1"

enum {
    NONCE_LEN = 32,
    NONCE_TEXT_LEN = 43,
    EVENT_LOG_MAX = 512 * 1024, /* bytes; those of usual machines have a tenth of it */
    ANSWER_MAX = 1024 * 1024,
    TIMEOUT_MS = 15000, /* a TPM may take seconds */
    PAUSE_MS = 900,     /* the signer's own second is the one that counts, and says more */
};

struct evidence_source {
    struct buf event_log; /* base64url; empty: there is none */
    _Atomic bool running;
    _Atomic int64_t not_before_ms;
};

struct evidence_source *
evidence_source_new(const char *event_log)
{
    AUTO(buf) struct buf bytes;
    struct attest_error err = {0};
    buf_init(&bytes, EVENT_LOG_MAX);
    struct evidence_source *source = calloc(1, sizeof(*source));
    if (!source)
        return NULL;
    buf_init(&source->event_log, ANSWER_MAX);
    if (!event_log[0])
        return source;
    enum attest_rc rc = file_read(event_log, EVENT_LOG_MAX, &bytes, &err);
    if (!rc)
        b64u_append(&source->event_log, bytes.p, bytes.len);
    else /* most machines have none: worth a word only where there is one */
        log_event(rc == ATTEST_E_NOT_FOUND ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "no_event_log",
                  "why=%s", LOG_QUOTED(slice_cstr(err.text)));
    return source;
}

void
evidence_source_free(struct evidence_source *source)
{
    if (source)
        buf_done(&source->event_log);
    free(source);
}

/* ---- one request ---- */

struct work {
    struct exchange *x;
    char nonce[NONCE_TEXT_LEN + 1];
    char request_id[REQUEST_ID_SIZE];
};

/* What the signer's refusals are to a client. */
static const struct refusal {
    enum attest_rc rc;
    unsigned status;
    const char *retry_after, *detail;
} refusals[] = {
    {ATTEST_E_INTERNAL, 500, NULL, "the signer failed; its log says why"},
    {ATTEST_E_UNSUPPORTED, 404, NULL, "no evidence: the keys are not sealed by a TPM"},
    {ATTEST_E_BUSY, 429, "1", "evidence is given once a second; ask again"},
    {ATTEST_E_IO, 503, "1", "the signer is away"},
    {ATTEST_E_TIMEOUT, 503, "5", "the TPM did not answer in time"},
    {ATTEST_E_KEY_OUT_OF_REACH, 503, "5", "the TPM is out of reach"},
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
refuse(struct work *w, enum attest_rc rc)
{
    const struct refusal *r = refusal_of(rc);
    http_wake(w->x, r->status,
              http_problem_response(r->status, r->detail, NULL, w->request_id,
                                    r->retry_after ? "Retry-After" : NULL, r->retry_after));
}

static bool
copy_string(struct buf *out, const struct frame_answer *a, const char *name)
{
    struct slice s;
    if (!frame_string(a->json, a->root, name, &s))
        return false;
    buf_printf(out, ",\"%s\":", name);
    json_put_string(out, s);
    return true;
}

static bool
copy_pcrs(struct buf *out, const struct frame_answer *a)
{
    const struct json_node *bank =
        json_member(a->json, json_member(a->json, a->root, "pcrs"), "sha256");
    const char *comma = "";
    struct slice key;
    if (!bank || bank->type != JSON_OBJECT)
        return false;
    buf_str(out, ",\"pcrs\":{\"sha256\":{");
    for (const struct json_node *v = NULL; json_each(a->json, bank, &key, &v); comma = ",") {
        if (v->type != JSON_STRING)
            return false;
        buf_str(out, comma);
        json_put_string(out, key);
        buf_char(out, ':');
        json_put_string(out, v->text);
    }
    buf_str(out, "}}");
    return true;
}

/* False when the signer's answer lacks something. */
static bool
hand_out(struct work *w, const struct frame_answer *a)
{
    static const char *const members[] = {"key_set", "quote", "signature", "ak_public"};
    const struct evidence_source *source = w->x->issuer->evidence;
    AUTO(buf) struct buf text;
    buf_init(&text, ANSWER_MAX);
    buf_printf(&text, "{\"version\":\"" EVIDENCE_VERSION "\",\"nonce\":\"%s\"", w->nonce);
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (!copy_string(&text, a, members[i]))
            return false;
    if (!copy_pcrs(&text, a))
        return false;
    if (source->event_log.len) {
        buf_str(&text, ",\"event_log\":\"");
        buf_slice(&text, buf_view(&source->event_log));
        buf_char(&text, '"');
    }
    buf_char(&text, '}');
    if (buf_rc(&text))
        return false;
    struct MHD_Response *r = http_response(buf_view(&text), "application/json", "no-store");
    if (r)
        MHD_add_response_header(r, "Access-Control-Allow-Origin", "*");
    http_wake(w->x, 200, r);
    return true;
}

/* On the signer client's thread, or on ours when nothing could be sent. */
static void
finish(struct work *w, enum attest_rc rc, const struct frame_answer *a)
{
    struct evidence_source *source = w->x->issuer->evidence;
    atomic_store(&source->not_before_ms, clock_mono_ms() + PAUSE_MS);
    atomic_store(&source->running, false);
    if (rc)
        refuse(w, rc);
    else if (!hand_out(w, a))
        refuse(w, ATTEST_E_INTERNAL);
    free(w);
    ask_end(); /* after the wake: who waits for it may then stop the library */
}

static void
answered(void *ctx, const struct frame_answer *a)
{
    finish(ctx, a->rc, a);
}

/* ---- who may, and with what ---- */

struct query {
    unsigned n;
    const char *nonce;
};

static enum MHD_Result
count_argument(void *ctx, enum MHD_ValueKind kind, const char *key, const char *value)
{
    (void)kind;
    struct query *q = ctx;
    q->n++;
    if (strcmp(key, "nonce") == 0)
        q->nonce = value;
    return MHD_YES;
}

/* Exactly one argument, and one way to write it. */
static bool
read_nonce(struct exchange *x, char out[NONCE_TEXT_LEN + 1])
{
    uint8_t bytes[NONCE_LEN];
    struct query q = {0};
    MHD_get_connection_values(x->mhd, MHD_GET_ARGUMENT_KIND, count_argument, &q);
    if (q.n != 1 || !q.nonce || !b64u_decode_exact(bytes, sizeof(bytes), slice_cstr(q.nonce)))
        return false;
    memcpy(out, q.nonce, NONCE_TEXT_LEN + 1);
    return true;
}

/* Whether it is our turn; then nobody else's until finish(). */
static bool
take_turn(struct evidence_source *source)
{
    bool nobody = false;
    if (clock_mono_ms() < atomic_load(&source->not_before_ms))
        return false;
    return atomic_compare_exchange_strong(&source->running, &nobody, true);
}

enum MHD_Result
evidence_get(struct exchange *x)
{
    struct issuer *iss = x->issuer;
    struct jwks_status status;
    char nonce[NONCE_TEXT_LEN + 1];
    jwks_status(iss->jwks, &status);
    if (status.have && !status.evidence)
        return http_problem(x, 404, refusal_of(ATTEST_E_UNSUPPORTED)->detail, NULL, NULL, NULL);
    if (!read_nonce(x, nonce))
        return http_problem(x, 400, "?nonce= and 32 bytes in base64url expected, nothing else",
                            "nonce", NULL, NULL);
    if (!take_turn(iss->evidence))
        return http_problem(x, 429, refusal_of(ATTEST_E_BUSY)->detail, NULL, "Retry-After", "1");
    struct work *w = calloc(1, sizeof(*w));
    if (!w) {
        atomic_store(&iss->evidence->running, false);
        return http_problem(x, 500, "no memory", NULL, NULL, NULL);
    }
    w->x = x;
    memcpy(w->nonce, nonce, sizeof(nonce));
    request_id_next(w->request_id);
    char members[64];
    int len = snprintf(members, sizeof(members), "\"nonce\":\"%s\"", nonce);
    ask_begin();
    http_sleep(x); /* before the answer can come */
    enum attest_rc rc = ask_send(iss, "quote", (struct slice){members, (size_t)len},
                                 clock_mono_ms() + TIMEOUT_MS, answered, w);
    if (rc)
        finish(w, rc, NULL);
    return MHD_YES;
}
