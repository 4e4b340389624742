/* SPDX-License-Identifier: MIT */
#include "verify/roots.h"

static bool
same(const struct signed_keyset_root *a, const struct signed_keyset_root *b)
{
    return pubkey_eq(&a->public_key, &b->public_key);
}

bool
roots_has(const struct roots *roots, const struct signed_keyset_root *root)
{
    for (size_t i = 0; i < roots->n; i++) {
        if (same(&roots->slot[i].root, root))
            return true;
    }
    return false;
}

static bool
is_gone(const struct roots *roots, const struct signed_keyset_root *root)
{
    size_t n = roots->n_gone < ROOTS_MAX ? roots->n_gone : ROOTS_MAX;
    for (size_t i = 0; i < n; i++) {
        if (same(&roots->gone[i], root))
            return true;
    }
    return false;
}

enum attest_rc
roots_pin(struct roots *roots, const struct signed_keyset_root *list, size_t n,
          struct attest_error *err)
{
    struct roots next = *roots;
    for (size_t i = 0; i < n; i++) {
        if (roots_has(&next, &list[i]) || is_gone(&next, &list[i]))
            continue;
        if (next.n == ROOTS_MAX)
            return error_set(err, ATTEST_E_LIMIT, "keys: at most %d root keys an issuer",
                             ROOTS_MAX);
        next.slot[next.n++] = (struct root_slot){.root = list[i]};
    }
    *roots = next;
    return ATTEST_OK;
}

size_t
roots_candidates(const struct roots *roots, struct signed_keyset_root *out)
{
    size_t n = 0;
    for (size_t i = 0; i < roots->n; i++) {
        out[n++] = roots->slot[i].root;
        if (roots->slot[i].has_next)
            out[n++] = roots->slot[i].next;
    }
    return n;
}

/* Whoever named this one as successor has been succeeded. */
static void
succeed(struct roots *roots, const struct signed_keyset_root *signer)
{
    for (size_t i = 0; i < roots->n;) {
        struct root_slot *slot = &roots->slot[i];
        if (!slot->has_next || !same(&slot->next, signer)) {
            i++;
            continue;
        }
        roots->gone[roots->n_gone++ % ROOTS_MAX] = slot->root;
        if (roots_has(roots, signer)) {
            *slot = roots->slot[--roots->n];
        } else {
            *slot = (struct root_slot){.root = *signer};
        }
    }
}

void
roots_follow(struct roots *roots, const struct signed_keyset_root *signer,
             const struct signed_keyset_root *next)
{
    const struct signed_keyset_root by = *signer;
    succeed(roots, &by);
    for (size_t i = 0; i < roots->n; i++) {
        struct root_slot *slot = &roots->slot[i];
        if (!same(&slot->root, &by))
            continue;
        slot->has_next = next && !same(next, &by);
        if (slot->has_next)
            slot->next = *next;
    }
}
