/* SPDX-License-Identifier: MIT */

/* Evidence: the TPM's quote about the key set that this signer publishes now. Who asks gives a
 * nonce and nothing else: which key set it is, is not for attestd to say. */

#include "base/b64u.h"
#include "base/clock.h"
#include "base/log.h"
#include "evidence/document.h"
#include "signer/key_life.h"
#include "signer/lease.h"
#include "signer/requests.h"

enum { QUOTE_PAUSE_MS = 1000 }; /* from the end of one to the next, whoever asks */

struct quote_op {
    struct op op;
    uint8_t nonce[EVIDENCE_NONCE_LEN];
    struct buf key_set;
    struct keystore_quote quote;
    uint8_t ak_name[TPM_NAME_LEN];
};

static void
quote_op_free(struct op *op)
{
    struct quote_op *q = (struct quote_op *)op;
    buf_done(&q->key_set);
    free(q);
}

static struct evidence
evidence_of(const struct quote_op *q)
{
    struct evidence e = {
        .key_set = buf_view(&q->key_set),
        .quote = {(const char *)q->quote.quote, q->quote.quote_len},
        .signature = {(const char *)q->quote.signature, q->quote.signature_len},
        .ak_public = {(const char *)q->quote.ak_public, q->quote.ak_public_len},
        .pcrs.chosen = q->quote.pcrs,
    };
    memcpy(e.nonce, q->nonce, sizeof(e.nonce));
    memcpy(e.pcrs.values, q->quote.pcr_values, sizeof(e.pcrs.values));
    return e;
}

/* What does not hold here will not hold at those who asked for it. */
static enum attest_rc
check(struct quote_op *q, struct attest_error *err)
{
    const struct evidence e = evidence_of(q);
    struct tpm_public ak;
    struct evidence_verdict verdict;
    enum attest_rc rc = tpm_public_read(e.ak_public, &ak, err);
    if (rc)
        return rc;
    memcpy(q->ak_name, ak.name, sizeof(q->ak_name));
    const struct evidence_expect expect = {q->ak_name, &e.pcrs, q->nonce};
    return evidence_check(&e, &expect, &verdict, err);
}

/* In a thread of its own. */
static void
run_quote(struct signer *s, struct op *op)
{
    struct quote_op *q = (struct quote_op *)op;
    struct attest_error why = {0};
    uint8_t qualifying[SHA256_LEN];
    evidence_qualifying(buf_view(&q->key_set), q->nonce, qualifying);
    op->rc = keystore_quote(s->keystore, qualifying, &q->quote, &op->err);
    if (!op->rc && check(q, &why))
        op->rc = error_set(&op->err, ATTEST_E_SIGNATURE, "the TPM's quote does not hold: %.100s",
                           why.text);
}

/* Operators compare it with what they pin; it is another one in a new file of sealed keys. */
static void
note_key(struct signer *s, const struct quote_op *q)
{
    char name[sizeof(s->quotes.ak_name)];
    hex_encode(name, q->ak_name, sizeof(q->ak_name));
    if (strcmp(name, s->quotes.ak_name) == 0)
        return;
    memcpy(s->quotes.ak_name, name, sizeof(name));
    log_event(LOG_LEVEL_INFO, "attestation_key", "name=%s", name);
}

/* A key may have been revoked, or the token lost to another signer, while the TPM quoted. */
static enum attest_rc
check_still(struct signer *s, struct quote_op *q, struct attest_error *err)
{
    AUTO(buf) struct buf now;
    int64_t now_s;
    buf_init(&now, EVIDENCE_KEY_SET_MAX);
    key_life_clock(s, &now_s);
    if (lease_known(s, err))
        return ATTEST_E_KEY_OUT_OF_REACH;
    if (key_list_write_jwks(&s->keys, now_s, &now) ||
        !slice_eq(buf_view(&now), buf_view(&q->key_set)))
        return error_set(err, ATTEST_E_BUSY, "the key set changed meanwhile; ask again");
    return ATTEST_OK;
}

static void
quote_done(struct signer *s, struct op *op)
{
    struct quote_op *q = (struct quote_op *)op;
    s->ops_pending--;
    s->quotes.running = false;
    s->quotes.not_before_ms = clock_mono_ms() + QUOTE_PAUSE_MS;
    if (op->rc)
        log_event(LOG_LEVEL_WARNING, "quote_failed", "why=%s",
                  LOG_QUOTED(slice_cstr(op->err.text)));
    else
        note_key(s, q);
    op->rc = op->rc ? op->rc : check_still(s, q, &op->err);
    struct answer a;
    if (answer_begin_op(s, op, &a)) {
        const struct evidence e = evidence_of(q);
        evidence_members_write(&e, a.out);
        answer_end(&a);
    }
    quote_op_free(op);
}

static enum attest_rc
start(struct signer *s, struct server_conn *conn, const struct frame_request *r,
      struct attest_error *err)
{
    int64_t now_s;
    struct slice nonce;
    struct quote_op *q = s->stopping || s->ops_pending >= OPS_MAX ? NULL : calloc(1, sizeof(*q));
    if (!q)
        return error_set(err, ATTEST_E_BUSY, "too much waiting already");
    buf_init(&q->key_set, EVIDENCE_KEY_SET_MAX);
    key_life_clock(s, &now_s);
    enum attest_rc rc = ATTEST_OK;
    if (!frame_string(r->json, r->root, "nonce", &nonce) ||
        !b64u_decode_exact(q->nonce, sizeof(q->nonce), nonce))
        rc = error_set(err, ATTEST_E_ARGUMENT, "nonce: %d bytes in base64url expected",
                       EVIDENCE_NONCE_LEN);
    else if ((rc = key_list_write_jwks(&s->keys, now_s, &q->key_set)))
        error_set(err, rc, "key set: %s", attest_strerror(rc));
    if (rc) {
        quote_op_free(&q->op);
        return rc;
    }
    q->op.run = run_quote;
    q->op.done = quote_done;
    q->op.release = quote_op_free;
    q->op.conn = server_conn_id(conn);
    q->op.id = r->id;
    s->ops_pending++;
    s->quotes.running = true;
    ops_push(s->quoting, &q->op);
    return ATTEST_OK;
}

void
on_quote(struct signer *s, struct server_conn *conn, const struct frame_request *r)
{
    struct attest_error err = {0};
    enum attest_rc rc;
    if (!keystore_quotes(s->keystore))
        rc = error_set(&err, ATTEST_E_UNSUPPORTED, "the keystore is no TPM: it cannot quote");
    else if (lease_known(s, &err))
        rc = ATTEST_E_KEY_OUT_OF_REACH; /* not this signer's to say */
    else if (s->quotes.running || clock_mono_ms() < s->quotes.not_before_ms)
        rc = error_set(&err, ATTEST_E_BUSY, "one quote a second");
    else
        rc = start(s, conn, r, &err);
    if (rc)
        answer_error(conn, r->id, rc, err.text, rc == ATTEST_E_ARGUMENT ? "nonce" : NULL);
}
