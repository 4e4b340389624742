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

#define KEY_LABEL_MAX 64   /* bytes: printable ASCII without quotes and backslashes */
#define KEY_REASON_MAX 128 /* the same */
#define KEY_CALLER_MAX 31
/* Whether a label or a reason is of that form and no longer; the empty one is. It may then stand in
 * JSON as it is. */
bool key_text_ok(struct slice text, size_t max);

struct key_record {
    struct key_ref ref;
    char kid[JWK_THUMBPRINT_LEN + 1];
    enum key_purpose purpose;
    enum jwk_alg alg;
    char label[KEY_LABEL_MAX + 1];
    char reason[KEY_REASON_MAX + 1]; /* why revoked, or active before its time; "" for none */
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

/* Something that is to be done on the token, written down before, so that a crash on the way is
 * found: a key with this id is to be made or destroyed. */
struct key_intent {
    uint8_t id[KEYSTORE_ID_LEN];
    bool destroy;
    char caller[KEY_CALLER_MAX + 1];
};

/* What one transaction changes; all of it or nothing. */
struct key_change {
    const struct key_record *keys; /* new, or with other times or another reason than before */
    size_t n_keys;
    const struct key_intent *intended; /* from now on, or NULL */
    const uint8_t *fulfilled;          /* the id of an intent that is no more, or NULL */
    struct slice event;                /* the body of a record for the issuance log, or empty */
    const char *fact, *value;          /* one to be set, or NULL */
};
/* ATTEST_E_EXISTS when another key has this id or this public key. */
enum attest_rc key_records_apply(struct key_records *records, const struct key_change *change,
                                 struct attest_error *err);

/* The intents that there are; free() *ret. */
enum attest_rc key_records_intents(struct key_records *records, struct key_intent **ret, size_t *n,
                                   struct attest_error *err);

/*
 * The oldest event that is not in the issuance log yet: its number, and its body appended to out;
 * *n is 0 when there is none. key_records_logged() takes it out.
 */
enum attest_rc key_records_event(struct key_records *records, int64_t *n, struct buf *out,
                                 struct attest_error *err);
enum attest_rc key_records_logged(struct key_records *records, int64_t n, struct attest_error *err);

/* One value by its name, "" when it was never set. Longer ones than size - 1 are ATTEST_E_CORRUPT.
 */
#define KEY_FACT_MAX 128
enum attest_rc key_records_fact(struct key_records *records, const char *name,
                                char ret[KEY_FACT_MAX], struct attest_error *err);
enum attest_rc key_records_set_fact(struct key_records *records, const char *name,
                                    const char *value, struct attest_error *err);

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
