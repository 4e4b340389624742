/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_ROOTS_H
#define VERIFY_ROOTS_H

#include "token/signed_keyset.h"

/*
 * The root keys that may sign one issuer's key sets: those that were pinned, and at most one
 * announced successor of each. Pure; the caller locks.
 *
 * A successor is what the latest set by its root names as next_root. It may sign from then on; the
 * first set that it signs puts it in the place of the root that named it, which may not sign any
 * more. A set by the old root that names another successor, or none, takes the first one back. So
 * there are never more than two keys for each one pinned.
 */
#define ROOTS_MAX 8 /* pinned, an issuer */

struct roots {
    size_t n;
    struct root_slot {
        struct signed_keyset_root root;
        bool has_next;
        struct signed_keyset_root next;
    } slot[ROOTS_MAX];
    struct signed_keyset_root gone[ROOTS_MAX]; /* succeeded, the last of them */
    size_t n_gone;                             /* ever */
};

/* Adds those that are not there yet: all or, with ATTEST_E_LIMIT, none. One that was succeeded
 * stays gone: who reads his file of roots again must not bring it back. */
enum attest_rc roots_pin(struct roots *roots, const struct signed_keyset_root *list, size_t n,
                         struct attest_error *err);

/* Whether this one is pinned, or has taken the place of one that was. */
bool roots_has(const struct roots *roots, const struct signed_keyset_root *root);

/* Who may sign now; out has room for 2 * ROOTS_MAX. */
size_t roots_candidates(const struct roots *roots, struct signed_keyset_root *out);

/* A set by this candidate was taken; next is its next_root or NULL. */
void roots_follow(struct roots *roots, const struct signed_keyset_root *signer,
                  const struct signed_keyset_root *next);

#endif
