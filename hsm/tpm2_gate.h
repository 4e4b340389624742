/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_GATE_H
#define HSM_TPM2_GATE_H

#include <pthread.h>

#include "base/error.h"
#include "hsm/pool.h"

/*
 * One connection to the TPM at a time, whichever of our threads has it: without a resource manager
 * a second one would find the device busy or the TPM's few slots taken. Whoever changes keys goes
 * before those who sign, who come in a stream. Waiting ends after TPM2_GATE_WAIT_MS.
 *
 * Between two signatures a connection may be left open: what `evict` closes when somebody else
 * wants in.
 */

#define TPM2_GATE_WAIT_MS 10000

struct tpm2_gate {
    pthread_mutex_t lock;
    pthread_cond_t left;
    bool taken;
    unsigned changing; /* who wants to change keys and waits */
    void (*evict)(void *ctx);
    void *ctx;
};

enum tpm2_gate_why {
    TPM2_GATE_CHANGES, /* evicts what was left open */
    TPM2_GATE_SIGNS,
};

/* ATTEST_E_NOMEM. */
enum attest_rc tpm2_gate_init(struct tpm2_gate *gate, void (*evict)(void *ctx), void *ctx,
                              struct attest_error *err);
void tpm2_gate_done(struct tpm2_gate *gate); /* nobody is in it */

/* ATTEST_E_KEY_OUT_OF_REACH: who is in it does not come out. */
enum attest_rc tpm2_gate_enter(struct tpm2_gate *gate, enum tpm2_gate_why why,
                               struct attest_error *err);
/* At once or not at all. */
bool tpm2_gate_try(struct tpm2_gate *gate);
/* From any thread. */
void tpm2_gate_leave(struct tpm2_gate *gate);

#endif
