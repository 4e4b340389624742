/* SPDX-License-Identifier: MIT */
/*
 * The file of sealed keys, which whoever may write to the disk may have written. What is accepted
 * keeps every limit and gives the same bytes when it is written again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/tpm2_file.h"

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
    struct tpm2_file *file = NULL;
    AUTO(mem) char *copy = malloc(size ? size : 1); /* so that a byte too far is seen */
    must(copy);
    memcpy(copy, data, size);
    const struct slice bytes = {copy, size};
    enum attest_rc rc = tpm2_file_read(bytes, &file, &err);
    if (rc) {
        must(!file && err.rc == rc && *err.text);
        must(rc == ATTEST_E_CORRUPT || rc == ATTEST_E_UNSUPPORTED);
        return 0;
    }
    must(file->serial >= 1 && file->n_keys <= TPM2_KEYS_MAX);
    must(file->policy.auth || file->policy.pcrs);
    must(file->sealed.public_len <= TPM2_SEALED_MAX && file->sealed.private_len <= TPM2_SEALED_MAX);
    must(file->ak.public_len <= TPM2_SEALED_MAX && file->ak.private_len <= TPM2_SEALED_MAX);
    must(file->pin_box_len == 0 ||
         (file->pin_box_len > TPM2_SEAL_LEN && file->pin_box_len <= TPM2_PIN_BOX_MAX));
    must(!file->leased || tpm2_lease_ok(&file->lease));
    for (size_t i = 0; i < file->n_keys; i++)
        must(tpm2_file_find(file, file->keys[i].ref.id) == i);
    AUTO(buf) struct buf again;
    buf_init(&again, TPM2_FILE_MAX);
    tpm2_file_write(file, &again);
    buf_append(&again, file->seal, sizeof(file->seal));
    must(!buf_rc(&again) && slice_eq(bytes, buf_view(&again)));
    tpm2_file_free(file);
    return 0;
}
