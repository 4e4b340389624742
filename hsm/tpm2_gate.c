/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_gate.h"

#include <errno.h>
#include <time.h>

enum attest_rc
tpm2_gate_init(struct tpm2_gate *gate, void (*evict)(void *ctx), void *ctx,
               struct attest_error *err)
{
    pthread_condattr_t attr;
    *gate = (struct tpm2_gate){.evict = evict, .ctx = ctx};
    if (pthread_mutex_init(&gate->lock, NULL) != 0)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&gate->left, &attr);
    pthread_condattr_destroy(&attr);
    if (!failed)
        return ATTEST_OK;
    pthread_mutex_destroy(&gate->lock);
    return error_set(err, ATTEST_E_NOMEM, "out of memory");
}

void
tpm2_gate_done(struct tpm2_gate *gate)
{
    pthread_cond_destroy(&gate->left);
    pthread_mutex_destroy(&gate->lock);
}

/* Lock held. */
static bool
must_wait(const struct tpm2_gate *gate, enum tpm2_gate_why why)
{
    return gate->taken || (why == TPM2_GATE_SIGNS && gate->changing > 0);
}

static bool
take(struct tpm2_gate *gate, enum tpm2_gate_why why)
{
    struct timespec until;
    int failed = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += TPM2_GATE_WAIT_MS / 1000;
    pthread_mutex_lock(&gate->lock);
    gate->changing += why == TPM2_GATE_CHANGES;
    while (must_wait(gate, why) && failed != ETIMEDOUT)
        failed = pthread_cond_timedwait(&gate->left, &gate->lock, &until);
    gate->changing -= why == TPM2_GATE_CHANGES;
    bool free = !must_wait(gate, why);
    if (free)
        gate->taken = true;
    else if (!gate->taken)
        pthread_cond_broadcast(&gate->left);
    pthread_mutex_unlock(&gate->lock);
    return free;
}

enum attest_rc
tpm2_gate_enter(struct tpm2_gate *gate, enum tpm2_gate_why why, struct attest_error *err)
{
    if (!take(gate, why))
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH,
                         "the TPM does not come back from what it was asked before");
    if (why == TPM2_GATE_CHANGES)
        gate->evict(gate->ctx);
    return ATTEST_OK;
}

bool
tpm2_gate_try(struct tpm2_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    bool free = !must_wait(gate, TPM2_GATE_SIGNS);
    gate->taken |= free;
    pthread_mutex_unlock(&gate->lock);
    return free;
}

void
tpm2_gate_leave(struct tpm2_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->taken = false;
    pthread_cond_broadcast(&gate->left);
    pthread_mutex_unlock(&gate->lock);
}
