/* SPDX-License-Identifier: MIT */
#include "issuer/ask.h"

#include "issuer/issuer.h"

static _Atomic unsigned waiting, sending;

void
ask_begin(void)
{
    atomic_fetch_add(&waiting, 1);
}

void
ask_end(void)
{
    atomic_fetch_sub(&waiting, 1);
}

unsigned
ask_waiting(void)
{
    return atomic_load(&waiting);
}

unsigned
ask_sending(void)
{
    return atomic_load(&sending);
}

enum attest_rc
ask_send(struct issuer *iss, const char *op, struct slice members, int64_t deadline_ms,
         wire_answered *done, void *ctx)
{
    atomic_fetch_add(&sending, 1);
    enum attest_rc rc = ATTEST_E_IO;
    if (!atomic_load(&iss->signer_gone))
        rc = wire_client_send(iss->signer, op, members, deadline_ms, done, ctx);
    atomic_fetch_sub(&sending, 1);
    return rc;
}
