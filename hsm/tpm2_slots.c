/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_slots.h"

#include <ctype.h>
#include <string.h>

#include "hsm/tpm2_tabrmd.h"

bool
tpm2_slots_bare(const char *tcti)
{
    static const char device[] = "/dev/tpm";
    const char *at = strstr(tcti, device); /* /dev/tpmrm0 is the kernel's resource manager */
    if (tpm2_tabrmd_is(tcti))
        return false;
    return strstr(tcti, "swtpm") || strstr(tcti, "mssim") ||
           (at && isdigit((unsigned char)at[strlen(device)]));
}

/* TPM 2.0 Library, part 3, 28.4. No session, nothing to check. */
TSS2_RC
tpm2_slots_flush(struct tpm2_link *link, TPM2_HANDLE handle)
{
    const uint8_t command[14] = {0x80,
                                 0x01,
                                 0,
                                 0,
                                 0,
                                 sizeof(command),
                                 0,
                                 0,
                                 0x01,
                                 0x65,
                                 (uint8_t)(handle >> 24),
                                 (uint8_t)(handle >> 16),
                                 (uint8_t)(handle >> 8),
                                 (uint8_t)handle};
    uint8_t answer[TPM2_MAX_RESPONSE_SIZE];
    size_t len = sizeof(answer);
    TSS2_RC rv = Tss2_Tcti_Transmit(link->tcti, sizeof(command), command);
    return rv ? rv : Tss2_Tcti_Receive(link->tcti, &len, answer, TSS2_TCTI_TIMEOUT_BLOCK);
}

static bool
ours(const struct tpm2_link *link, TPM2_HANDLE handle)
{
    for (size_t i = 0; i < TPM2_HANDLES_MAX; i++) {
        if (link->handles[i] != ESYS_TR_NONE && link->tpm_handles[i] == handle)
            return true;
    }
    return false;
}

/* Each command once: this is itself on the way to trying again. */
static bool
clear_from(struct tpm2_link *link, TPM2_HANDLE first)
{
    TPMS_CAPABILITY_DATA *about = NULL;
    TPMI_YES_NO more;
    bool any = false;
    tpm2_link_beat(link, true);
    TSS2_RC rv = Esys_GetCapability(link->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    TPM2_CAP_HANDLES, first, TPM2_MAX_CAP_HANDLES, &more, &about);
    tpm2_link_beat(link, false);
    if (rv != TSS2_RC_SUCCESS)
        return false;
    const TPML_HANDLE *list = &about->data.handles;
    for (UINT32 i = 0; i < list->count; i++) {
        if (ours(link, list->handle[i]))
            continue;
        tpm2_link_beat(link, true);
        any |= tpm2_slots_flush(link, list->handle[i]) == TSS2_RC_SUCCESS;
        tpm2_link_beat(link, false);
    }
    Esys_Free(about);
    return any;
}

/* tss2's own constant shifts a bit into the sign of an int. */
#define TRANSIENT_FIRST ((TPM2_HANDLE)TPM2_HT_TRANSIENT << TPM2_HR_SHIFT)

bool
tpm2_slots_clear(struct tpm2_link *link)
{
    if (!tpm2_slots_bare(link->config.tcti))
        return false;
    bool objects = clear_from(link, TRANSIENT_FIRST);
    return clear_from(link, TPM2_LOADED_SESSION_FIRST) || objects;
}
