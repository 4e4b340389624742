/* SPDX-License-Identifier: MIT */
#ifndef HSM_P11_URI_H
#define HSM_P11_URI_H

#include <p11-kit/pkcs11.h>

#include "base/bytes.h"

/*
 * A PKCS#11 URI (RFC 7512) that names a token: "pkcs11:token=attestd;serial=…?module-path=/…".
 * Refused, because they would be ignored or worse: pin-value and pin-source (the PIN has its own
 * configuration), module-name (it is resolved by configuration that is not ours; give the path),
 * attributes of objects, unknown attributes.
 */
struct p11_uri;

/* ATTEST_E_CONFIG with a text that never quotes the URI, since it may hold a PIN. */
enum attest_rc p11_uri_parse(const char *text, struct p11_uri **ret, struct attest_error *err);
void p11_uri_free(struct p11_uri *uri);
DEFINE_AUTO(p11_uri, struct p11_uri *, p11_uri_free);

/* The module-path, absolute, or NULL. Valid as long as uri. */
const char *p11_uri_module_path(const struct p11_uri *uri);

bool p11_uri_match(const struct p11_uri *uri, const CK_INFO *module, CK_SLOT_ID slot,
                   const CK_SLOT_INFO *slot_info, const CK_TOKEN_INFO *token);

#endif
