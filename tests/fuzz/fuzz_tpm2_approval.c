/* SPDX-License-Identifier: MIT */
/*
 * An approval, which whoever may write into the directory may have written. What is accepted says
 * the same when it is written again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/tpm2_approval.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
    if (!holds)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attest_error err = {0};
    struct tpm2_approval a, b;
    AUTO(mem) char *copy = malloc(size ? size : 1); /* so that a byte too far is seen */
    must(copy);
    memcpy(copy, data, size);
    enum attest_rc rc = tpm2_approval_read((struct slice){copy, size}, &a, &err);
    if (rc) {
        must(rc == ATTEST_E_MALFORMED && *err.text);
        return 0;
    }
    must(a.serial >= 1 && a.pcrs && !(a.pcrs >> TPM2_PCR_COUNT));
    AUTO(buf) struct buf again;
    buf_init(&again, TPM2_APPROVAL_MAX);
    tpm2_approval_write(&a, &again);
    must(!buf_rc(&again) && !tpm2_approval_read(buf_view(&again), &b, &err));
    must(!memcmp(&a, &b, sizeof(a)));
    return 0;
}
