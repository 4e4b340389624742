/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_TABRMD_H
#define HSM_TPM2_TABRMD_H

#include <stdbool.h>

/*
 * The way to a TPM by tpm2-abrmd, a resource manager that is reached over D-Bus. Its TCTI uses
 * GLib, which leaves work to a main loop that this program does not have: each connection would
 * leave a kilobyte behind, and after a restart of D-Bus GLib would hold on to the connection that
 * is gone.
 */

/* Whether this TCTI is, or uses, that one. */
bool tpm2_tabrmd_is(const char *tcti);

/*
 * Does what is waiting, after such a connection has been closed; where no thread can be had for it
 * the next time will do. Any thread.
 */
void tpm2_tabrmd_tidy(void);

#endif
