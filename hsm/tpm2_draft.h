/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_DRAFT_H
#define HSM_TPM2_DRAFT_H

#include "hsm/tpm2_store.h"

/*
 * A change of the sealed keys, until it is on the disk and the TPM has counted it: written to
 * PATH.new, then the TPM's counter is raised, then PATH.new takes the place of PATH. So at every
 * moment exactly one of the two has the serial that the counter shows. A change that was begun is
 * completed by whoever comes next, never begun anew: two files of one serial would both pass for
 * the newest.
 *
 * For the thread that changes the store.
 */

struct tpm2_draft {
    struct tpm2_file *file;
    struct tpm2_secrets secrets;
    uint64_t accepts; /* what the approval counter is to show once these are the keys; 0: nothing */
};

void tpm2_draft_free(struct tpm2_draft *d); /* what is in it; a zeroed one too */

static inline void
tpm2_draft_auto(struct tpm2_draft *d)
{
    tpm2_draft_free(d);
}

/* What the store has now, with room for one key more. */
enum attest_rc tpm2_draft_of(const struct tpm2_store *store, struct tpm2_draft *d,
                             struct attest_error *err);

/* PATH.new of the store, on the heap. */
enum attest_rc tpm2_draft_path(const struct tpm2_store *store, char **ret,
                               struct attest_error *err);

/* Makes it what signs from here on, and empties it. */
void tpm2_draft_take(struct tpm2_store *store, struct tpm2_draft *d);

/*
 * With the next serial. After an error the change may or may not have happened: d is then the
 * store's, which finds out with tpm2_draft_settle() before anything else is changed.
 */
enum attest_rc tpm2_draft_commit(struct tpm2_store *store, struct tpm2_link *link,
                                 struct tpm2_draft *d, struct attest_error *err);
enum attest_rc tpm2_draft_settle(struct tpm2_store *store, struct tpm2_link *link,
                                 struct attest_error *err);

/* What the counter of these keys shows. */
enum attest_rc tpm2_draft_shown(struct tpm2_link *link, const struct tpm2_file *file,
                                const struct secret *authority, uint64_t *shown,
                                struct attest_error *err);

/* Raises it. */
enum attest_rc tpm2_draft_count(struct tpm2_link *link, const struct tpm2_file *file,
                                const struct secret *authority, struct attest_error *err);

/* For what is no secret and no key: in one step, under the serial that it has. */
enum attest_rc tpm2_draft_replace(struct tpm2_store *store, struct tpm2_draft *d,
                                  struct attest_error *err);

/* PATH.new becomes PATH. */
enum attest_rc tpm2_draft_publish(const struct tpm2_store *store, struct attest_error *err);

#endif
