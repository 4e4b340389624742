/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_KEY_WORK_H
#define SIGNER_KEY_WORK_H

#include "signer/key_ops.h"
#include "signer/key_view.h"

/*
 * How a change of keys is carried out, whatever it is: from the database, over the token, into one
 * transaction, into the issuance log. Ops thread. What is to be changed and why is key_ops.c's.
 */

/* One key_op under way. */
struct key_work {
    struct signer *s;
    struct key_op *k;
    int64_t now_s;
    struct rollover_policy policy;
    bool urgent; /* the record comes later: the keys are wanted at once */
    char caller[KEY_CALLER_MAX + 1];
    struct key_list list;   /* as the database has it, then with the change */
    struct key_list before; /* as the database has it */
    struct key_view view;   /* of the purpose at hand */
    size_t at;              /* the key asked for, in list; and in view */
    size_t i;
};

void key_work_done(struct key_work *w);

/* Reads all keys. */
enum attest_rc key_work_load(struct key_work *w, struct attest_error *err);
/* Makes the view of this purpose. */
enum attest_rc key_work_look(struct key_work *w, enum key_purpose purpose,
                             struct attest_error *err);
/* Finds a key by its kid, and makes the view of its purpose: w->at and w->i. ATTEST_E_NOT_FOUND. */
enum attest_rc key_work_find(struct key_work *w, const char *kid, struct attest_error *err);

/*
 * Has what was changed in the view, and in the list, come true: transaction, record, w->k->key.
 * action names the record and the fault points; the format is for more members of the record. When
 * the record cannot be written now the change stands all the same: the record follows, and until
 * it has, no other change but a revocation is begun.
 */
enum attest_rc key_work_commit(struct key_work *w, const char *action, size_t i,
                               struct attest_error *err, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/*
 * Makes a key on the token and adds it to the list: w->at. Commits, with a record of this action
 * ("generate"; another one says from, to whom it gives way at w->k->when_s). ATTEST_E_LIMIT when
 * there are too many of its purpose on the token.
 */
enum attest_rc key_work_generate(struct key_work *w, const char *action, enum key_purpose purpose,
                                 const char *label, struct attest_error *err);
/* Destroys the list's key number `at` on the token. Commits. */
enum attest_rc key_work_destroy(struct key_work *w, size_t at, struct attest_error *err);

static inline void
key_work_auto(struct key_work *w)
{
    key_work_done(w);
}

#endif
