/* SPDX-License-Identifier: MIT */
#include "signer/publish.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "signer/key_life.h"
#include "signer/lease.h"
#include "signer/start.h"
#include "token/signed_keyset.h"

enum {
    REVOKED_MAX = 64,
    LIFETIME_MIN_S = 10, /* where caches are told to keep nothing */
    LOG_KEYS_MAX = 32,
    IAT_AHEAD_MAX_S = 10, /* of the clock, when one change follows another; beyond, it was set */
    BACK_OFF_FIRST_MS = 500,
    BACK_OFF_MOST_MS = 30000,
};

/* One publication: what is to be signed, and where it goes. */
struct publish_op {
    struct op op;
    struct key_record root; /* without a kid: there is none, and no signed set */
    struct buf jwks, payload;
    struct buf cover; /* what it says, apart from the times */
    struct buf jwt;
    int64_t iat, exp;
    bool signed_well;
};

static void
publish_op_free(struct op *op)
{
    struct publish_op *p = (struct publish_op *)op;
    buf_done(&p->jwks);
    buf_done(&p->payload);
    buf_done(&p->cover);
    buf_done(&p->jwt);
    free(p);
}

/* ---- what the set says ---- */

/* Until the last token of that key has expired by any clock. */
static bool
revocation_matters(const struct signer *s, const struct key_record *key, int64_t now_s)
{
    return key->purpose == KEY_PURPOSE_TOKEN && key->times.revoked_s &&
           now_s <= key->times.revoked_s + s->policy.lifetime_max_s + s->policy.skew_s;
}

static const struct key_record *
next_root(const struct key_list *keys, int64_t now_s)
{
    for (size_t i = 0; i < keys->n; i++) {
        const struct key_record *key = &keys->keys[i];
        if (key->purpose == KEY_PURPOSE_ROOT && key_state(&key->times, now_s) == KEY_PUBLISHED)
            return key;
    }
    return NULL;
}

static enum attest_rc
write_payload(const struct signer *s, int64_t now_s, int64_t iat, int64_t exp, struct buf *out)
{
    const struct key_list *keys = &s->keys;
    AUTO(mem) struct keyset_entry *entries = calloc(2 * keys->n + 1, sizeof(*entries));
    struct signed_keyset_revoked revoked[REVOKED_MAX];
    if (!entries)
        return ATTEST_E_NOMEM;
    const struct key_record *next = next_root(keys, now_s);
    struct signed_keyset_source source = {
        .issuer = s->limits.issuer,
        .iat = iat,
        .exp = exp,
        .keys = entries,
        .n_keys = key_list_entries(keys, KEY_PURPOSE_TOKEN, now_s, entries),
        .revoked = revoked,
        .next_root = next ? &next->ref.public_key : NULL,
        .next_root_alg = next ? next->alg : JWK_ALG_NONE,
    };
    source.log_keys = entries + source.n_keys;
    source.n_log_keys = key_list_entries(keys, KEY_PURPOSE_LOG, now_s, entries + source.n_keys);
    if (source.n_log_keys > LOG_KEYS_MAX) { /* the latest: a set must fit a frame */
        source.log_keys += source.n_log_keys - LOG_KEYS_MAX;
        source.n_log_keys = LOG_KEYS_MAX;
    }
    /* The latest come first should there ever be too many. */
    for (size_t i = keys->n; i-- > 0 && source.n_revoked < REVOKED_MAX;) {
        const struct key_record *key = &keys->keys[i];
        if (revocation_matters(s, key, now_s))
            revoked[source.n_revoked++] = (struct signed_keyset_revoked){
                slice_cstr(key->kid), key->times.revoked_s, slice_cstr(key->reason)};
    }
    signed_keyset_write(&source, out);
    return buf_rc(out);
}

/* ---- in the ops thread ---- */

static enum attest_rc
sign(struct signer *s, struct publish_op *p)
{
    uint8_t sig[PUBKEY_SIG_LEN];
    jws_write_signing_input(&p->jwt, p->root.alg, SIGNED_KEYSET_TYP, slice_cstr(p->root.kid),
                            buf_view(&p->payload));
    enum attest_rc rc = buf_rc(&p->jwt);
    if (rc)
        return error_set(&p->op.err, rc, "signed key set: %s", attest_strerror(rc));
    rc = keystore_sign_wait(s->keystore, &p->root.ref, buf_view(&p->jwt),
                            clock_mono_ms() + s->config->request_timeout_ms, sig, &p->op.err);
    if (rc)
        return rc;
    jws_write_signature(&p->jwt, sig);
    p->signed_well = buf_rc(&p->jwt) == ATTEST_OK;
    return buf_rc(&p->jwt);
}

static enum attest_rc
write_files(const struct signer *s, const struct publish_op *p, struct attest_error *err)
{
    char path[PATH_MAX];
    const char *dir = s->config->keyset_dir;
    enum attest_rc rc;
    if (snprintf(path, sizeof(path), "%s/jwks.json", dir) >= (int)sizeof(path))
        return error_set(err, ATTEST_E_CONFIG, "keyset_dir: name too long");
    if ((rc = file_replace(path, 0644, buf_view(&p->jwks), err)))
        return rc;
    snprintf(path, sizeof(path), "%s/jwks.jwt", dir);
    if (p->signed_well)
        return file_replace(path, 0644, buf_view(&p->jwt), err);
    if (!p->root.kid[0] && unlink(path) && errno != ENOENT)
        return error_errno(err, ATTEST_E_IO, errno, "%s", path);
    return ATTEST_OK;
}

static void
run_publish(struct signer *s, struct op *op)
{
    struct publish_op *p = (struct publish_op *)op;
    struct attest_error later = {0};
    char iat[24];
    snprintf(iat, sizeof(iat), "%lld", (long long)p->iat);
    if (p->root.kid[0] && !(op->rc = key_records_set_fact(s->records, "iat", iat, &op->err)))
        op->rc = sign(s, p);
    /* The plain set is written though the other could not be signed. */
    enum attest_rc rc = s->config->keyset_dir ? write_files(s, p, &later) : ATTEST_OK;
    if (rc && !op->rc) {
        op->rc = rc;
        op->err = later;
    }
}

/* ---- in the loop ---- */

static void
back_off(struct signer *s, const struct attest_error *why)
{
    struct publication *pub = &s->publication;
    pub->back_off_ms = pub->back_off_ms ? 2 * pub->back_off_ms : BACK_OFF_FIRST_MS;
    if (pub->back_off_ms > BACK_OFF_MOST_MS)
        pub->back_off_ms = BACK_OFF_MOST_MS;
    pub->not_before_ms = clock_mono_ms() + pub->back_off_ms;
    log_event(LOG_LEVEL_ERROR, "publish_failed", "why=%s retry_in_ms=%lld",
              LOG_QUOTED(slice_cstr(why->text)), (long long)pub->back_off_ms);
}

static void
published(struct signer *s, struct op *op)
{
    struct publish_op *p = (struct publish_op *)op;
    struct publication *pub = &s->publication;
    pub->running = false;
    if (p->signed_well || !p->root.kid[0]) {
        struct buf old = pub->jwt;
        pub->jwt = p->jwt;
        p->jwt = old;
        pub->exp = p->signed_well ? p->exp : 0;
        pub->renew_s = p->signed_well ? p->iat + (p->exp - p->iat) / 2 : INT64_MAX;
    }
    if (op->rc) {
        back_off(s, &op->err);
    } else {
        struct buf old = pub->cover;
        pub->cover = p->cover;
        p->cover = old;
        pub->back_off_ms = 0;
        pub->done_once = true;
    }
    publish_op_free(&p->op);
    signer_refresh(s);
}

/* What the next publication would say; equal to the last one's cover when nothing has changed. */
static enum attest_rc
write_cover(const struct signer *s, const struct key_record *root, int64_t now_s, struct buf *out)
{
    buf_str(out, root ? root->kid : "");
    return write_payload(s, now_s, 0, 0, out);
}

/*
 * A verifier that pins keeps a set until it expires, when it cannot get another. That must be no
 * longer than what everybody else is allowed, on which leads and revocations are reckoned.
 */
static int64_t
lifetime_s(const struct signer *s)
{
    int64_t caches_s = s->policy.jwks_max_age_s + s->policy.verifier_cache_max_s;
    if (caches_s < LIFETIME_MIN_S)
        caches_s = LIFETIME_MIN_S;
    int64_t asked_s = s->config->signed_keyset_lifetime_s;
    return asked_s < caches_s ? asked_s : caches_s;
}

static struct publish_op *
prepare(struct signer *s, const struct key_record *root, int64_t now_s)
{
    struct publication *pub = &s->publication;
    struct publish_op *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    struct buf *const bufs[] = {&p->jwks, &p->payload, &p->cover, &p->jwt};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
        buf_init(bufs[i], SIGNED_KEYSET_TEXT_MAX);
    p->op.run = run_publish;
    p->op.done = published;
    p->op.release = publish_op_free;
    /* Verifiers refuse what is older than what they saw. */
    bool burst = pub->iat >= now_s && pub->iat <= now_s + IAT_AHEAD_MAX_S;
    p->iat = burst ? pub->iat + 1 : now_s;
    p->exp = p->iat + lifetime_s(s);
    if (root)
        p->root = *root;
    if (key_list_write_jwks(&s->keys, now_s, &p->jwks) ||
        write_payload(s, now_s, p->iat, p->exp, &p->payload) ||
        write_cover(s, root, now_s, &p->cover)) {
        publish_op_free(&p->op);
        return NULL;
    }
    return p;
}

void
publish_if_due(struct signer *s)
{
    struct publication *pub = &s->publication;
    int64_t now_s;
    struct attest_error why = {0};
    key_life_clock(s, &now_s);
    if (pub->running || s->stopping || lease_known(s, &why) || clock_mono_ms() < pub->not_before_ms)
        return;
    bool burst = pub->iat >= now_s + IAT_AHEAD_MAX_S - 1 && pub->iat <= now_s + IAT_AHEAD_MAX_S;
    if (burst)
        return; /* the clock catches up */
    const struct key_record *root = key_list_active(&s->keys, KEY_PURPOSE_ROOT, now_s);
    buf_reset(&s->scratch);
    enum attest_rc rc = write_cover(s, root, now_s, &s->scratch);
    if (rc) {
        error_set(&why, rc, "signed key set: %s", attest_strerror(rc));
        back_off(s, &why);
        return;
    }
    bool changed = !pub->done_once || !slice_eq(buf_view(&s->scratch), buf_view(&pub->cover));
    if (!changed && (!root || now_s < pub->renew_s))
        return;
    struct publish_op *p = prepare(s, root, now_s);
    if (!p)
        return;
    pub->running = true;
    pub->iat = p->iat;
    ops_push(s->ops, &p->op);
}

enum attest_rc
publish_start(struct signer *s, struct attest_error *err)
{
    char iat[KEY_FACT_MAX];
    enum attest_rc rc = key_records_fact(s->records, "iat", iat, err);
    if (!rc)
        s->publication.iat = strtoll(iat, NULL, 10);
    if (!rc && s->config->keyset_dir)
        rc = start_make_dir(s->config->keyset_dir, err);
    return rc;
}
