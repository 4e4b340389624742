/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_SLOTS_H
#define HSM_TPM2_SLOTS_H

#include "hsm/tpm2_link.h"

/*
 * The few places that a TPM has for loaded objects and sessions. Without a resource manager what a
 * process has loaded stays when it is killed, or loses its connection, and two of that kind leave
 * none for the third. Nobody else's programs are at such a TPM while we are (tpm2_link.h), so what
 * is loaded and not ours belongs to nobody.
 */

/* Whether this TCTI is known to have no resource manager behind it. */
bool tpm2_slots_bare(const char *tcti);

/*
 * Flushes all that this link has not loaded itself. True when something was. Does nothing where a
 * resource manager may be: there others are at the TPM, and theirs it is.
 */
bool tpm2_slots_clear(struct tpm2_link *link);

/* TPM2_FlushContext of what the TPM knows by this handle, without ESAPI. Tried once. */
TSS2_RC tpm2_slots_flush(struct tpm2_link *link, TPM2_HANDLE handle);

#endif
