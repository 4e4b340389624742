/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_KEY_VIEW_H
#define SIGNER_KEY_VIEW_H

#include "jwks/rollover.h"
#include "signer/key_list.h"

/*
 * The keys of one purpose as jwks/rollover.h takes them, and the way back. The rules see time
 * stamps only; the records keep everything else. No I/O, no clock.
 */
struct key_view {
    struct rollover_key *keys;
    size_t *at; /* keys[i] is list->keys[at[i]] */
    size_t n;
};

enum attest_rc key_view_make(const struct key_list *list, enum key_purpose purpose,
                             struct key_view *ret);
void key_view_done(struct key_view *view);
/* Puts the time stamps back, those that the rules have changed among them. */
void key_view_store(const struct key_view *view, struct key_list *list);
/* Where in the view the list's key number `at` is; ROLLOVER_NO_KEY when it has another purpose. */
size_t key_view_find(const struct key_view *view, size_t at);

static inline void
key_view_auto(struct key_view *view)
{
    key_view_done(view);
}

#endif
