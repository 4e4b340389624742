/* SPDX-License-Identifier: MIT */
#ifndef HSM_P11_LEASE_H
#define HSM_P11_LEASE_H

#include "hsm/p11_module.h"

/*
 * The lease of a token: a private CKO_DATA object, CKA_APPLICATION "attestd", CKA_LABEL "attestd
 * lease", CKA_VALUE {"instance":"…","host":"…","since":N} and nothing more. Cryptoki has no
 * compare-and-swap, so this is agreed on by looking again; p11_lease.c says how.
 *
 * As keystore_lease_get() and keystore_lease_set(), on the control thread; a failed call is left
 * in *rv, CKR_OK otherwise.
 */
enum attest_rc p11_lease_get(struct p11_conn *conn, struct keystore_lease *ret, CK_RV *rv,
                             struct attest_error *err);
enum attest_rc p11_lease_set(struct p11_conn *conn, const struct keystore_lease *expected,
                             const struct keystore_lease *lease, CK_RV *rv,
                             struct attest_error *err);

#endif
