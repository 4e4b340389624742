/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_KEY_OPS_H
#define SIGNER_KEY_OPS_H

#include "signer/signer_impl.h"

/*
 * Whatever changes the life of a key, in the ops thread and therefore one after the other. Each
 * starts from what the database says, not from what somebody remembers, and goes through the same
 * steps, any of which may be the last one before a power cut:
 *
 *   an intent, when the token is to change           found again by key_repair()
 *   the token
 *   one transaction: keys, intent done, an event     what counts
 *   the event as a record of the issuance log        written again at start when it is missing
 *   the keys, all of them, to the loop               which signs and publishes by them
 */
enum key_action {
    KEY_STEP, /* what rollover_next() says */
    KEY_GENERATE,
    KEY_PUBLISH,
    KEY_ACTIVATE,
    KEY_ROTATE,
    KEY_RETIRE,
    KEY_REVOKE,
    KEY_DESTROY,
    KEY_ROOT_ROTATE,
    KEY_LATE, /* a key signed longer than its record says: the record is set right */
};

struct key_op {
    struct op op;
    enum key_action action;

    /* Asked for; what an action does not need is empty. */
    char kid[JWK_THUMBPRINT_LEN + 1];
    enum key_purpose purpose;
    char label[KEY_LABEL_MAX + 1];
    char reason[KEY_REASON_MAX + 1];
    bool force;

    /* What came of it. */
    struct key_list keys; /* all of them, for the loop to take, whatever rc says; empty: unknown */
    struct key_record key;
    char other[JWK_THUMBPRINT_LEN + 1]; /* rotate: from; activate: retired; others: active now */
    int64_t when_s; /* when a planned take-over is, or a standby may sign; for KEY_LATE, until when
                       it signed */
};

/* op->run and op->release of a key_op. */
void key_op_run(struct signer *s, struct op *op);
void key_op_free(struct op *op);

/* Writes into the issuance log what the database says is missing there. Ops thread. */
enum attest_rc key_events_flush(struct signer *s, struct attest_error *err);
/* The same from the loop, after a change that did not wait for its record. */
void key_events_flush_later(struct signer *s);

/*
 * Finishes what a crash or a lost token left: a key that was being made is taken off the token, one
 * that was being destroyed is destroyed. What the token does not let go of now is said, and tried
 * again later. Ops thread, or before it starts.
 */
void key_repair(struct signer *s);

/* Says what the records and the token know differently, and changes neither. Before threads start.
 */
void key_compare(struct signer *s);

#endif
