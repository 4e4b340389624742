/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_TLS_H
#define ISSUER_TLS_H

#include "base/bytes.h"

/*
 * The server's certificate and key, for libmicrohttpd's GnuTLS. TLS 1.2 and 1.3. One pair a
 * process. GnuTLS is told not to look for PKCS#11 modules: attestd must never load the HSM's.
 */

/* Reads both PEM files. ATTEST_E_CONFIG when they are no pair, _IO. */
enum attest_rc tls_init(const char *certificate_path, const char *key_path,
                        struct attest_error *err);
/*
 * Reads them again; on failure the old pair stays. Handshakes that began with the old pair end with
 * it: it is kept as long as one may take, grace_ms.
 */
enum attest_rc tls_reload(int64_t grace_ms, struct attest_error *err);
/* After the last connection. */
void tls_done(void);

/* What the library is given: a gnutls_certificate_retrieve_function2 and a priority string. */
extern void *const tls_cert_callback;
extern const char *const tls_priorities;

#endif
