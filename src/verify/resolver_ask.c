/* SPDX-License-Identifier: MIT */
#include "verify/resolver_impl.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "token/subject.h"
#include "verify/discovery.h"

#define DOCUMENT_MAX ATTEST_JWKS_MAX

/* ---- what became of a fetch ---- */

/* The set takes its place, or not, under the lock of who clears it: never between the two. */
static void
succeeded(struct source *s, struct issuer_keys *next, int64_t ttl_ms)
{
    struct resolver *r = s->resolver;
    uint32_t chance;
    random_bytes(&chance, sizeof(chance));
    pthread_mutex_lock(&r->lock);
    bool used =
        schedule_succeeded(&s->schedule, &r->options->limits, clock_boot_ms(), ttl_ms, chance);
    if (used)
        keys_put(r->keys, next, schedule_usable_until_ms(&s->schedule, &r->options->limits));
    source_ended(s, ATTEST_OK, "");
    s->news.dropped = !used;
    pthread_mutex_unlock(&r->lock);
}

static void
failed(struct source *s, int64_t retry_after_s, const struct attest_error *why)
{
    struct resolver *r = s->resolver;
    uint32_t chance;
    random_bytes(&chance, sizeof(chance));
    pthread_mutex_lock(&r->lock);
    schedule_failed(&s->schedule, &r->options->limits, clock_boot_ms(), retry_after_s * 1000,
                    chance);
    source_end_brought(s); /* it may have been brought since */
    source_ended(s, why->rc, why->text);
    pthread_mutex_unlock(&r->lock);
}

/* A signed set says itself until when it is good; refreshing at half of that leaves time to try. */
static int64_t
ttl_of(const struct signed_keyset *signed_set, const struct fetch_answer *answer)
{
    int64_t ttl_s = answer->max_age_s;
    if (signed_set) {
        int64_t half_s = (signed_set->exp - clock_wall_s()) / 2;
        if (ttl_s < 0 || half_s < ttl_s)
            ttl_s = half_s < 0 ? 0 : half_s;
    }
    return ttl_s < 0 ? -1 : ttl_s * 1000;
}

static enum attest_rc
take_set(struct source *s, const struct fetch_answer *answer, struct attest_error *err)
{
    struct attest_keys *keys = s->resolver->keys;
    const struct slice body = buf_view(&answer->body);
    AUTO(issuer_keys) struct issuer_keys next = {0};
    enum attest_rc rc = keys_begin(keys, s->issuer, err);
    if (rc != ATTEST_OK)
        return rc;
    rc = s->pinned ? keys_read_signed(keys, s->issuer, body, clock_wall_s(), &next, err)
                   : keys_read_jwks(keys, s->issuer, body, &next, err);
    if (rc == ATTEST_OK)
        succeeded(s, &next, ttl_of(next.signed_set, answer));
    keys_end(keys);
    return rc;
}

static const struct asked {
    const char *path, *type;
} asked_for[2] = {
    {"/.well-known/jwks.json", "application/json"},
    {"/.well-known/jwks.jwt", "application/jwk-set+jwt"},
};
static const struct asked discovery = {"/.well-known/openid-configuration", "application/json"};

static enum attest_rc
take_discovery(struct source *s, struct slice body, struct attest_error *err)
{
    char *url = NULL;
    enum attest_rc rc = discovery_read(body, DOCUMENT_MAX, s->issuer,
                                       s->pinned ? "signed_jwks_uri" : "jwks_uri", &url, err);
    if (rc != ATTEST_OK)
        return rc;
    free(s->discovered);
    s->discovered = url;
    return ATTEST_OK;
}

/* ---- asking ---- */

static enum attest_rc ask(struct source *s, enum asking what, struct attest_error *err);

static enum attest_rc
judge_answer(struct source *s, const struct fetch_answer *answer, struct attest_error *err)
{
    const struct slice body = buf_view(&answer->body);
    if (answer->status == 404 && s->asking == ASKING_SET &&
        !fetch_options_url(s->resolver->options, s->issuer))
        return ask(s, ASKING_DISCOVERY, err);
    if (answer->status != 200)
        return error_set(err, answer->status == 404 ? ATTEST_E_NOT_FOUND : ATTEST_E_IO,
                         "%.100s answers %ld%s", s->issuer, answer->status,
                         answer->status / 100 == 3 ? " (redirects are not followed)" : "");
    if (body.len == 0)
        return error_set(err, ATTEST_E_MALFORMED, "%.100s answers nothing", s->issuer);
    if (s->asking == ASKING_DISCOVERY) {
        enum attest_rc rc = take_discovery(s, body, err);
        return rc == ATTEST_OK ? ask(s, ASKING_DISCOVERED, err) : rc;
    }
    return take_set(s, answer, err);
}

static void
answered(void *ctx, enum attest_rc rc, const struct fetch_answer *answer,
         const struct attest_error *err)
{
    struct source *s = ctx;
    struct attest_error why = {0};
    if (rc == ATTEST_OK)
        rc = judge_answer(s, answer, &why);
    else
        why = *err;
    if (rc == ATTEST_OK)
        return;
    failed(s, answer ? answer->retry_after_s : 0, &why);
}

static enum attest_rc
ask(struct source *s, enum asking what, struct attest_error *err)
{
    struct resolver *r = s->resolver;
    const struct asked *asked =
        what == ASKING_DISCOVERY ? &discovery : &asked_for[s->pinned ? 1 : 0];
    const char *given = fetch_options_url(r->options, s->issuer);
    AUTO(buf) struct buf url;
    buf_init(&url, 4096);
    if (what == ASKING_DISCOVERED)
        buf_str(&url, s->discovered);
    else if (given)
        buf_str(&url, given);
    else
        buf_printf(&url, "%.*s%s", SLICE_ARG(issuer_base(slice_cstr(s->issuer))), asked->path);
    buf_char(&url, '\0');
    if (buf_rc(&url))
        return error_set(err, buf_rc(&url), "resolver: the URL is too long");
    s->asking = what;
    const struct fetch_request request = {.url = url.p,
                                          .type = asked->type,
                                          .answer_max = DOCUMENT_MAX,
                                          .ca_file = r->options->ca_file,
                                          .timeout_ms = (long)r->options->timeout_ms};
    return fetch_engine_start(r->engine, &request, answered, s, err);
}

void
source_ask(struct source *s)
{
    struct attest_error err = {0};
    s->pinned = attest_keys_pinned(s->resolver->keys, s->issuer);
    /* Never where a document sent us before: it may have been someone else's for a moment. */
    if (ask(s, ASKING_SET, &err))
        failed(s, 0, &err);
}
