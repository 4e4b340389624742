/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_KEY_RECORDS_H
#define SIGNER_KEY_RECORDS_H

#include "chainlog/record.h"
#include "hsm/keystore.h"
#include "jwks/jwk.h"
#include "jwks/keystate.h"

/*
 * What is known of the keys, in SQLite: facts and time stamps only, states are derived
 * (jwks/keystate.h). Beside them two things of the same kind: how far the issuance log had come
 * when it was last looked at, and which configuration was last recorded.
 *
 * Durable when a call returns (WAL, synchronous=FULL). For one thread at a time. Errors unless
 * said otherwise: ATTEST_E_IO, _CORRUPT, _NOMEM, _BUSY (another process holds it).
 */
enum key_purpose {
    KEY_PURPOSE_TOKEN,
    KEY_PURPOSE_ROOT,
    KEY_PURPOSE_LOG,
};

/* "token", "root", "log". */
const char *key_purpose_name(enum key_purpose purpose);
bool key_purpose_from(struct slice name, enum key_purpose *ret);

#define KEY_LABEL_MAX 64 /* bytes: printable ASCII without quotes and backslashes */

struct key_record {
    struct key_ref ref;
    char kid[JWK_THUMBPRINT_LEN + 1];
    enum key_purpose purpose;
    enum jwk_alg alg;
    char label[KEY_LABEL_MAX + 1];
    struct key_times times;
};

struct key_records;

/*
 * Opens or makes the database. An older schema is brought forward in one transaction, after a
 * whole copy was put beside it (PATH.schema-N); a newer one is refused with ATTEST_E_UNSUPPORTED.
 */
enum attest_rc key_records_open(const char *path, struct key_records **ret,
                                struct attest_error *err);
void key_records_close(struct key_records *records);
DEFINE_AUTO(key_records, struct key_records *, key_records_close);

/* All keys, the oldest first; free() *ret. */
enum attest_rc key_records_load(struct key_records *records, struct key_record **ret, size_t *n,
                                struct attest_error *err);
/* ATTEST_E_EXISTS when there is one with this id or this public key. */
enum attest_rc key_records_insert(struct key_records *records, const struct key_record *key,
                                  struct attest_error *err);

/* The last known head of the issuance log; seq 0 before the first was kept. */
enum attest_rc key_records_head(struct key_records *records, struct chainlog_head *ret,
                                struct attest_error *err);
enum attest_rc key_records_set_head(struct key_records *records, const struct chainlog_head *head,
                                    struct attest_error *err);

/* The SHA-256 of the configuration that was last recorded, all zero before the first. */
enum attest_rc key_records_config(struct key_records *records, uint8_t ret[SHA256_LEN],
                                  struct attest_error *err);
enum attest_rc key_records_set_config(struct key_records *records, const uint8_t hash[SHA256_LEN],
                                      struct attest_error *err);

#endif
