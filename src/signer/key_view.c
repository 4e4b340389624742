/* SPDX-License-Identifier: MIT */
#include "signer/key_view.h"

enum attest_rc
key_view_make(const struct key_list *list, enum key_purpose purpose, struct key_view *ret)
{
    struct key_view view = {.keys = calloc(list->n + 1, sizeof(*view.keys)),
                            .at = calloc(list->n + 1, sizeof(*view.at))};
    if (!view.keys || !view.at) {
        key_view_done(&view);
        return ATTEST_E_NOMEM;
    }
    for (size_t i = 0; i < list->n; i++) {
        const struct key_record *key = &list->keys[i];
        if (key->purpose != purpose)
            continue;
        view.keys[view.n].times = key->times;
        /* A public key is as even a number as any, and the key's for life. */
        view.keys[view.n].jitter = be32_get(key->ref.public_key.bytes);
        view.at[view.n++] = i;
    }
    *ret = view;
    return ATTEST_OK;
}

void
key_view_done(struct key_view *view)
{
    free(view->keys);
    free(view->at);
    *view = (struct key_view){0};
}

void
key_view_store(const struct key_view *view, struct key_list *list)
{
    for (size_t i = 0; i < view->n; i++)
        list->keys[view->at[i]].times = view->keys[i].times;
}

size_t
key_view_find(const struct key_view *view, size_t at)
{
    for (size_t i = 0; i < view->n; i++) {
        if (view->at[i] == at)
            return i;
    }
    return ROLLOVER_NO_KEY;
}
