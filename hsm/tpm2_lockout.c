/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_lockout.h"

enum attest_rc
tpm2_lockout_read(struct tpm2_link *link, struct tpm2_lockout *ret, struct attest_error *err)
{
    struct {
        TPM2_PT property;
        uint32_t value;
        bool there;
    } all[] = {{.property = TPM2_PT_PERMANENT},
               {.property = TPM2_PT_LOCKOUT_COUNTER},
               {.property = TPM2_PT_MAX_AUTH_FAIL},
               {.property = TPM2_PT_LOCKOUT_INTERVAL}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        TPMI_YES_NO more;
        TPMS_CAPABILITY_DATA *data = NULL;
        TSS2_RC rv = TPM2_CALL(link, Esys_GetCapability(link->esys, ESYS_TR_NONE, ESYS_TR_NONE,
                                                        ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
                                                        all[i].property, 1, &more, &data));
        if (rv != TSS2_RC_SUCCESS)
            return tpm2_error(err, "TPM2_GetCapability", rv);
        const TPML_TAGGED_TPM_PROPERTY *got = &data->data.tpmProperties;
        all[i].there = data->capability == TPM2_CAP_TPM_PROPERTIES && got->count == 1 &&
                       got->tpmProperty[0].property == all[i].property;
        all[i].value = got->tpmProperty[0].value;
        Esys_Free(data);
        if (!all[i].there)
            return error_set(err, ATTEST_E_KEY_OUT_OF_REACH,
                             "TPM2_GetCapability: nothing about lockout");
    }
    *ret = (struct tpm2_lockout){.locked = all[0].value & TPMA_PERMANENT_INLOCKOUT,
                                 .failed = all[1].value,
                                 .failed_max = all[2].value,
                                 .interval_s = all[3].value};
    return ATTEST_OK;
}

enum attest_rc
tpm2_lockout_error(struct tpm2_link *link, const char *command, struct attest_error *err)
{
    struct tpm2_lockout now;
    if (tpm2_lockout_read(link, &now, NULL))
        return tpm2_error(err, command, TPM2_RC_LOCKOUT);
    return error_set(err, ATTEST_E_PIN,
                     "%s: the TPM is in lockout after %u wrong authorization values; one more try "
                     "after %u s, or its lockout authority resets it",
                     command, now.failed, now.interval_s);
}
