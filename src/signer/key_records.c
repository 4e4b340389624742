/* SPDX-License-Identifier: MIT */
#include "signer/key_records.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <string.h>

#include "base/file.h"
#include "signer/key_records_schema.h"

struct key_records {
    sqlite3 *db;
    char *path;
};

static const char *const purpose_names[] = {
    [KEY_PURPOSE_TOKEN] = "token",
    [KEY_PURPOSE_ROOT] = "root",
    [KEY_PURPOSE_LOG] = "log",
};

const char *
key_purpose_name(enum key_purpose purpose)
{
    return purpose_names[purpose];
}

bool
key_purpose_from(struct slice name, enum key_purpose *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(purpose_names); i++) {
        if (slice_is(name, purpose_names[i])) {
            *ret = (enum key_purpose)i;
            return true;
        }
    }
    return false;
}

bool
key_text_ok(struct slice text, size_t max)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            return false;
    }
    return text.len <= max;
}

/* ---- SQLite ---- */

static void
stmt_auto(sqlite3_stmt *const *stmt)
{
    sqlite3_finalize(*stmt);
}

static enum attest_rc
rc_of(int sqlite_rc)
{
    switch (sqlite_rc & 0xff) {
    case SQLITE_NOMEM:
        return ATTEST_E_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ATTEST_E_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ATTEST_E_CORRUPT;
    default:
        return ATTEST_E_IO;
    }
}

static enum attest_rc
fail(struct key_records *r, struct attest_error *err)
{
    return error_set(err, rc_of(sqlite3_extended_errcode(r->db)), "%s: %s", r->path,
                     sqlite3_errmsg(r->db));
}

static enum attest_rc
run(struct key_records *r, const char *sql, struct attest_error *err)
{
    return sqlite3_exec(r->db, sql, NULL, NULL, NULL) == SQLITE_OK ? ATTEST_OK : fail(r, err);
}

static enum attest_rc
prepare(struct key_records *r, const char *sql, sqlite3_stmt **ret, struct attest_error *err)
{
    return sqlite3_prepare_v2(r->db, sql, -1, ret, NULL) == SQLITE_OK ? ATTEST_OK : fail(r, err);
}

/* ---- schema ---- */

static enum attest_rc
schema_version(struct key_records *r, int *ret, struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc = prepare(r, "PRAGMA user_version", &s, err);
    if (rc)
        return rc;
    if (sqlite3_step(s) != SQLITE_ROW)
        return fail(r, err);
    *ret = sqlite3_column_int(s, 0);
    return ATTEST_OK;
}

/* A whole copy, complete under its name or not there. */
static enum attest_rc
keep_copy(struct key_records *r, int version, struct attest_error *err)
{
    char copy[PATH_MAX], part[PATH_MAX];
    if (snprintf(copy, sizeof(copy), "%s.schema-%d", r->path, version) >= (int)sizeof(copy) ||
        snprintf(part, sizeof(part), "%s.part", copy) >= (int)sizeof(part))
        return error_set(err, ATTEST_E_ARGUMENT, "%s: name too long", r->path);
    unlink(part);
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc = prepare(r, "VACUUM INTO ?", &s, err);
    if (rc)
        return rc;
    if (sqlite3_bind_text(s, 1, part, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_step(s) != SQLITE_DONE)
        return fail(r, err);
    if (rename(part, copy) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", copy);
    return file_sync_dir_of(copy, err);
}

static enum attest_rc
take_steps(struct key_records *r, int version, struct attest_error *err)
{
    char pragma[64];
    enum attest_rc rc = run(r, "BEGIN IMMEDIATE", err);
    for (size_t i = (size_t)version; !rc && i < key_records_n_steps; i++)
        rc = run(r, key_records_steps[i], err);
    snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %zu", key_records_n_steps);
    if (!rc)
        rc = run(r, pragma, err);
    if (!rc)
        rc = run(r, "COMMIT", err);
    if (rc)
        sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static enum attest_rc
bring_forward(struct key_records *r, struct attest_error *err)
{
    int version = 0;
    enum attest_rc rc = schema_version(r, &version, err);
    if (rc)
        return rc;
    if (version < 0 || (size_t)version > key_records_n_steps)
        return error_set(err, ATTEST_E_UNSUPPORTED,
                         "%s has schema %d, this version knows %zu: use a newer attest-signer",
                         r->path, version, key_records_n_steps);
    if ((size_t)version == key_records_n_steps)
        return ATTEST_OK;
    if (version > 0 && (rc = keep_copy(r, version, err)))
        return rc;
    return take_steps(r, version, err);
}

enum attest_rc
key_records_open(const char *path, struct key_records **ret, struct attest_error *err)
{
    AUTO(key_records) struct key_records *r = calloc(1, sizeof(*r));
    if (!r || !(r->path = slice_dup(slice_cstr(path))))
        return error_set(err, ATTEST_E_NOMEM, "no memory for the key records");
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(path, &r->db, flags, NULL) != SQLITE_OK)
        return r->db ? fail(r, err) : error_set(err, ATTEST_E_NOMEM, "no memory for SQLite");
    sqlite3_busy_timeout(r->db, 2000);
    /* Small on purpose: there are a few hundred keys at most. */
    enum attest_rc rc = run(r,
                            "PRAGMA cache_size = -128; PRAGMA trusted_schema = OFF;"
                            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                            "PRAGMA synchronous = FULL;",
                            err);
    if (rc || (rc = bring_forward(r, err)))
        return rc;
    *ret = STEAL(r);
    return ATTEST_OK;
}

void
key_records_close(struct key_records *r)
{
    if (!r)
        return;
    sqlite3_close(r->db);
    free(r->path);
    free(r);
}

/* ---- keys ---- */

#define COLUMNS                                                                                    \
    "id, public_key, purpose, alg, label, created_s, published_s, active_s, retired_s, "           \
    "removed_s, revoked_s, destroyed_s, reason"

static struct slice
column_slice(sqlite3_stmt *s, int i)
{
    const char *p = sqlite3_column_blob(s, i);
    return (struct slice){p ? p : "", (size_t)sqlite3_column_bytes(s, i)};
}

static bool
row_read(sqlite3_stmt *s, struct key_record *key)
{
    struct slice id = column_slice(s, 0), public_key = column_slice(s, 1);
    struct slice label = column_slice(s, 4), reason = column_slice(s, 12);
    *key = (struct key_record){.purpose = KEY_PURPOSE_TOKEN};
    if (id.len != KEYSTORE_ID_LEN || label.len > KEY_LABEL_MAX || reason.len > KEY_REASON_MAX ||
        !key_purpose_from(column_slice(s, 2), &key->purpose) ||
        !jwk_alg_from(column_slice(s, 3), &key->alg) ||
        !pubkey_set(&key->ref.public_key, jwk_alg_type(key->alg), public_key))
        return false;
    memcpy(key->ref.id, id.p, id.len);
    memcpy(key->label, label.p, label.len);
    memcpy(key->reason, reason.p, reason.len);
    int64_t *const times[] = {
        &key->times.created_s,   &key->times.published_s, &key->times.active_s,
        &key->times.retired_s,   &key->times.removed_s,   &key->times.revoked_s,
        &key->times.destroyed_s,
    };
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        *times[i] = sqlite3_column_int64(s, (int)i + 5);
    jwk_thumbprint(key->kid, &key->ref.public_key);
    return true;
}

enum attest_rc
key_records_load(struct key_records *r, struct key_record **ret, size_t *n,
                 struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc =
        prepare(r, "SELECT " COLUMNS " FROM key ORDER BY created_s, public_key", &s, err);
    if (rc)
        return rc;
    AUTO(buf) struct buf keys;
    buf_init(&keys, 65536 * sizeof(struct key_record));
    int step;
    while ((step = sqlite3_step(s)) == SQLITE_ROW) {
        struct key_record key;
        if (!row_read(s, &key))
            return error_set(err, ATTEST_E_CORRUPT, "%s: a key record that is none", r->path);
        buf_append(&keys, &key, sizeof(key));
    }
    if (step != SQLITE_DONE)
        return fail(r, err);
    if (buf_rc(&keys))
        return error_set(err, buf_rc(&keys), "%s: too many keys", r->path);
    *n = keys.len / sizeof(struct key_record);
    *ret = (struct key_record *)(void *)STEAL(keys.p);
    return ATTEST_OK;
}

static enum attest_rc
put_key(struct key_records *r, const struct key_record *key, struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    /* What a key is never changes; what became of it does. */
    enum attest_rc rc =
        prepare(r,
                "INSERT INTO key (" COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
                " ON CONFLICT (id) DO UPDATE SET published_s = excluded.published_s,"
                " active_s = excluded.active_s, retired_s = excluded.retired_s,"
                " removed_s = excluded.removed_s, revoked_s = excluded.revoked_s,"
                " destroyed_s = excluded.destroyed_s, reason = excluded.reason"
                " WHERE public_key = excluded.public_key",
                &s, err);
    if (rc)
        return rc;
    const int64_t times[] = {
        key->times.created_s, key->times.published_s, key->times.active_s,    key->times.retired_s,
        key->times.removed_s, key->times.revoked_s,   key->times.destroyed_s,
    };
    sqlite3_bind_blob(s, 1, key->ref.id, KEYSTORE_ID_LEN, SQLITE_STATIC);
    struct slice public_key = pubkey_bytes(&key->ref.public_key);
    sqlite3_bind_blob(s, 2, public_key.p, (int)public_key.len, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, key_purpose_name(key->purpose), -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 4, jwk_alg_name(key->alg), -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 5, key->label, -1, SQLITE_STATIC);
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        sqlite3_bind_int64(s, (int)i + 6, times[i]);
    sqlite3_bind_text(s, 13, key->reason, -1, SQLITE_STATIC);
    switch (sqlite3_step(s)) {
    case SQLITE_DONE:
        if (sqlite3_changes(r->db) == 1)
            return ATTEST_OK;
        /* fall through */
    case SQLITE_CONSTRAINT_UNIQUE:
        return error_set(err, ATTEST_E_EXISTS, "%s: this key is there already", r->path);
    default:
        return fail(r, err);
    }
}

/* ---- one transaction ---- */

static enum attest_rc
put_intent(struct key_records *r, const struct key_intent *intent, struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc =
        prepare(r, "INSERT OR REPLACE INTO intent (id, destroy, caller) VALUES (?, ?, ?)", &s, err);
    if (rc)
        return rc;
    sqlite3_bind_blob(s, 1, intent->id, KEYSTORE_ID_LEN, SQLITE_STATIC);
    sqlite3_bind_int(s, 2, intent->destroy);
    sqlite3_bind_text(s, 3, intent->caller, -1, SQLITE_STATIC);
    return sqlite3_step(s) == SQLITE_DONE ? ATTEST_OK : fail(r, err);
}

static enum attest_rc
drop_intent(struct key_records *r, const uint8_t id[KEYSTORE_ID_LEN], struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc = prepare(r, "DELETE FROM intent WHERE id = ?", &s, err);
    if (rc)
        return rc;
    sqlite3_bind_blob(s, 1, id, KEYSTORE_ID_LEN, SQLITE_STATIC);
    return sqlite3_step(s) == SQLITE_DONE ? ATTEST_OK : fail(r, err);
}

static enum attest_rc
put_event(struct key_records *r, struct slice body, struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc = prepare(r, "INSERT INTO event (body) VALUES (?)", &s, err);
    if (rc)
        return rc;
    sqlite3_bind_text(s, 1, body.p, (int)body.len, SQLITE_STATIC);
    return sqlite3_step(s) == SQLITE_DONE ? ATTEST_OK : fail(r, err);
}

enum attest_rc
key_records_set_fact(struct key_records *r, const char *name, const char *value,
                     struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc =
        prepare(r, "INSERT OR REPLACE INTO fact (name, value) VALUES (?, ?)", &s, err);
    if (rc)
        return rc;
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, value, -1, SQLITE_STATIC);
    return sqlite3_step(s) == SQLITE_DONE ? ATTEST_OK : fail(r, err);
}

static enum attest_rc
apply(struct key_records *r, const struct key_change *c, struct attest_error *err)
{
    enum attest_rc rc = ATTEST_OK;
    for (size_t i = 0; !rc && i < c->n_keys; i++)
        rc = put_key(r, &c->keys[i], err);
    if (!rc && c->intended)
        rc = put_intent(r, c->intended, err);
    if (!rc && c->fulfilled)
        rc = drop_intent(r, c->fulfilled, err);
    if (!rc && c->event.len)
        rc = put_event(r, c->event, err);
    if (!rc && c->fact)
        rc = key_records_set_fact(r, c->fact, c->value, err);
    return rc;
}

enum attest_rc
key_records_apply(struct key_records *r, const struct key_change *change, struct attest_error *err)
{
    enum attest_rc rc = run(r, "BEGIN IMMEDIATE", err);
    if (rc)
        return rc;
    rc = apply(r, change, err);
    if (!rc)
        rc = run(r, "COMMIT", err);
    if (rc)
        sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* ---- intents, events, facts ---- */

enum attest_rc
key_records_intents(struct key_records *r, struct key_intent **ret, size_t *n,
                    struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc = prepare(r, "SELECT id, destroy, caller FROM intent", &s, err);
    if (rc)
        return rc;
    AUTO(buf) struct buf found;
    buf_init(&found, 4096 * sizeof(struct key_intent));
    int step;
    while ((step = sqlite3_step(s)) == SQLITE_ROW) {
        struct slice id = column_slice(s, 0), caller = column_slice(s, 2);
        struct key_intent intent = {.destroy = sqlite3_column_int(s, 1) != 0};
        if (id.len != KEYSTORE_ID_LEN || caller.len > KEY_CALLER_MAX)
            return error_set(err, ATTEST_E_CORRUPT, "%s: an intent that is none", r->path);
        memcpy(intent.id, id.p, id.len);
        memcpy(intent.caller, caller.p, caller.len);
        buf_append(&found, &intent, sizeof(intent));
    }
    if (step != SQLITE_DONE)
        return fail(r, err);
    if (buf_rc(&found))
        return error_set(err, buf_rc(&found), "%s: too many intents", r->path);
    *n = found.len / sizeof(struct key_intent);
    *ret = (struct key_intent *)(void *)STEAL(found.p);
    return ATTEST_OK;
}

enum attest_rc
key_records_event(struct key_records *r, int64_t *n, struct buf *out, struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc = prepare(r, "SELECT n, body FROM event ORDER BY n LIMIT 1", &s, err);
    if (rc)
        return rc;
    int step = sqlite3_step(s);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return fail(r, err);
    *n = step == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    if (step == SQLITE_ROW)
        buf_slice(out, column_slice(s, 1));
    return ATTEST_OK;
}

enum attest_rc
key_records_logged(struct key_records *r, int64_t n, struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc = prepare(r, "DELETE FROM event WHERE n = ?", &s, err);
    if (rc)
        return rc;
    sqlite3_bind_int64(s, 1, n);
    return sqlite3_step(s) == SQLITE_DONE ? ATTEST_OK : fail(r, err);
}

enum attest_rc
key_records_fact(struct key_records *r, const char *name, char ret[KEY_FACT_MAX],
                 struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc = prepare(r, "SELECT value FROM fact WHERE name = ?", &s, err);
    if (rc)
        return rc;
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    int step = sqlite3_step(s);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return fail(r, err);
    struct slice value = step == SQLITE_ROW ? column_slice(s, 0) : (struct slice){"", 0};
    if (value.len >= KEY_FACT_MAX)
        return error_set(err, ATTEST_E_CORRUPT, "%s: fact %s is none", r->path, name);
    memcpy(ret, value.p, value.len);
    ret[value.len] = '\0';
    return ATTEST_OK;
}

/* ---- marks ---- */

static enum attest_rc
mark_get(struct key_records *r, const char *name, struct chainlog_head *ret,
         struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc = prepare(r, "SELECT seq, hash FROM mark WHERE name = ?", &s, err);
    if (rc)
        return rc;
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    struct chainlog_head found = {0};
    int step = sqlite3_step(s);
    if (step == SQLITE_ROW) {
        struct slice hash = column_slice(s, 1);
        int64_t seq = sqlite3_column_int64(s, 0);
        if (seq < 0 || hash.len != SHA256_LEN)
            return error_set(err, ATTEST_E_CORRUPT, "%s: mark %s is none", r->path, name);
        found.seq = (uint64_t)seq;
        memcpy(found.hash, hash.p, SHA256_LEN);
    } else if (step != SQLITE_DONE) {
        return fail(r, err);
    }
    *ret = found;
    return ATTEST_OK;
}

static enum attest_rc
mark_set(struct key_records *r, const char *name, const struct chainlog_head *mark,
         struct attest_error *err)
{
    AUTO(stmt) sqlite3_stmt *s = NULL;
    enum attest_rc rc =
        prepare(r, "INSERT OR REPLACE INTO mark (name, seq, hash) VALUES (?, ?, ?)", &s, err);
    if (rc)
        return rc;
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, (int64_t)mark->seq);
    sqlite3_bind_blob(s, 3, mark->hash, SHA256_LEN, SQLITE_STATIC);
    return sqlite3_step(s) == SQLITE_DONE ? ATTEST_OK : fail(r, err);
}

enum attest_rc
key_records_head(struct key_records *r, struct chainlog_head *ret, struct attest_error *err)
{
    return mark_get(r, "log_head", ret, err);
}

enum attest_rc
key_records_set_head(struct key_records *r, const struct chainlog_head *head,
                     struct attest_error *err)
{
    return mark_set(r, "log_head", head, err);
}

enum attest_rc
key_records_config(struct key_records *r, uint8_t ret[SHA256_LEN], struct attest_error *err)
{
    struct chainlog_head mark = {0};
    enum attest_rc rc = mark_get(r, "config", &mark, err);
    if (!rc)
        memcpy(ret, mark.hash, SHA256_LEN);
    return rc;
}

enum attest_rc
key_records_set_config(struct key_records *r, const uint8_t hash[SHA256_LEN],
                       struct attest_error *err)
{
    struct chainlog_head mark = {0};
    memcpy(mark.hash, hash, SHA256_LEN);
    return mark_set(r, "config", &mark, err);
}
