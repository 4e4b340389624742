/* SPDX-License-Identifier: MIT */
#include "replay/replay.h"

enum attest_rc
replay_consume(struct replay_store *store, struct slice scope, struct slice id,
               int64_t keep_until_s, int64_t now_s, struct attest_error *err)
{
    return store->kind->consume(store, scope, id, keep_until_s, now_s, err);
}

void
replay_free(struct replay_store *store)
{
    if (store)
        store->kind->free(store);
}
