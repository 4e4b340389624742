/* SPDX-License-Identifier: MIT */
#ifndef HSM_P11_KEY_H
#define HSM_P11_KEY_H

#include "hsm/p11_module.h"

/* Ed25519 key pairs on a token, seen through one session. Nothing here keeps state. */

/*
 * CKA_EC_POINT as modules give it: 32 bytes raw, 34 with an OCTET STRING around (04 20), 35 with a
 * BIT STRING (03 21 00). False on any other form.
 */
bool p11_point_decode(const uint8_t *p, size_t len, uint8_t public_key[ED25519_PUBLIC_LEN]);

struct p11_pair {
    CK_OBJECT_HANDLE private_key, public_key; /* public_key may be CK_INVALID_HANDLE */
};

/*
 * The private key with this CKA_ID whose public part is the one in ref. CKR_OK with
 * private_key == CK_INVALID_HANDLE when there is none, or several, which is nobody's key of ours.
 */
CK_RV p11_key_find(struct p11_conn *conn, const struct key_ref *ref, struct p11_pair *ret);

/*
 * The same without its private half: the one public object with this CKA_ID, when its point is that
 * of ref and no private object has the id. CKR_OK with public_key == CK_INVALID_HANDLE when there
 * is none.
 */
CK_RV p11_key_find_half(struct p11_conn *conn, const struct key_ref *ref, struct p11_pair *ret);

/* At most max handles that match the template; *n says how many were found. */
CK_RV p11_find_objects(struct p11_conn *conn, CK_ATTRIBUTE *template, CK_ULONG n_template,
                       CK_OBJECT_HANDLE *out, size_t max, size_t *n);

/* Every Ed25519 private key on the token with an id of KEYSTORE_ID_LEN bytes; free() *ret. */
CK_RV p11_key_list(struct p11_conn *conn, struct key_ref **ret, size_t *n);

/*
 * Makes a pair, tries the other form of CKA_EC_PARAMS when the first is refused, reads back what
 * the token made and lets the new key sign once. A key that is not sensitive, is extractable or
 * may do more than sign is destroyed again: ATTEST_E_UNSUPPORTED. ATTEST_E_EXISTS when the id is
 * taken. on_token false makes a session key. A failed call is left in *rv, CKR_OK otherwise.
 */
struct p11_key_request {
    const uint8_t *id; /* KEYSTORE_ID_LEN bytes */
    const char *label;
    bool name_first; /* PrintableString "edwards25519" before the OID */
    bool on_token;
};
enum attest_rc p11_key_generate(struct p11_conn *conn, const struct p11_key_request *request,
                                struct key_ref *ref, struct p11_pair *ret, CK_RV *rv,
                                struct attest_error *err);

/* The private key first: a public one left over by a crash does no harm. Either may be missing. */
CK_RV p11_key_destroy(struct p11_conn *conn, const struct p11_pair *pair);

/* Every private and then every public key object with this id; *n says how many there were. */
CK_RV p11_key_discard(struct p11_conn *conn, const uint8_t id[KEYSTORE_ID_LEN], size_t *n);

/* C_SignInit and a single-part C_Sign with CKM_EDDSA. A length other than 64 is
 * CKR_SIGNATURE_LEN_RANGE. */
CK_RV p11_key_sign(struct p11_conn *conn, CK_OBJECT_HANDLE private_key, const void *msg,
                   size_t msg_len, uint8_t sig[ED25519_SIG_LEN]);

#endif
