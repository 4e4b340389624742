/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "signer/key_records.h"
#include "signer/key_records_schema.h"
#include "tests/support/tempdir.h"

static char dir[TEMPDIR_SIZE];
static char path[TEMPDIR_SIZE + 32];

static int
set_up(void **state)
{
    (void)state;
    if (tempdir_make(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/records.db", dir);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    tempdir_remove(dir);
    return 0;
}

static struct key_records *
open_records(enum attest_rc want)
{
    struct key_records *r = NULL;
    struct attest_error err = {0};
    enum attest_rc rc = key_records_open(path, &r, &err);
    if (rc != want)
        print_message("%s\n", err.text);
    assert_int_equal(rc, want);
    return r;
}

static struct key_record
make_key(uint8_t n, enum key_purpose purpose)
{
    struct key_record key = {.purpose = purpose, .alg = JWK_ALG_EDDSA, .label = "attestd token"};
    memset(key.ref.id, n, sizeof(key.ref.id));
    memset(key.ref.public_key.bytes, n, ED25519_PUBLIC_LEN);
    jwk_thumbprint(key.kid, &key.ref.public_key);
    key.times = (struct key_times){.created_s = 100 + n, .published_s = 200, .active_s = 300};
    return key;
}

static enum attest_rc
put(struct key_records *r, const struct key_record *key)
{
    struct key_change change = {.keys = key, .n_keys = 1};
    return key_records_apply(r, &change, NULL);
}

static void
keeps_keys(void **state)
{
    (void)state;
    struct key_record one = make_key(1, KEY_PURPOSE_TOKEN), two = make_key(2, KEY_PURPOSE_LOG);
    two.alg = JWK_ALG_ED25519;
    two.times.destroyed_s = 7;
    struct key_records *r = open_records(ATTEST_OK);
    assert_int_equal(put(r, &two), ATTEST_OK);
    assert_int_equal(put(r, &one), ATTEST_OK);
    struct key_record same_point = make_key(3, KEY_PURPOSE_TOKEN), same_id = same_point;
    same_point.ref = one.ref;
    same_point.ref.id[0] ^= 1;
    assert_int_equal(put(r, &same_point), ATTEST_E_EXISTS);
    memcpy(same_id.ref.id, one.ref.id, sizeof(same_id.ref.id));
    assert_int_equal(put(r, &same_id), ATTEST_E_EXISTS);
    one.times.revoked_s = 400;
    strcpy(one.reason, "lost");
    struct key_record other_label = one; /* what a key is stays as it was */
    strcpy(other_label.label, "another");
    assert_int_equal(put(r, &other_label), ATTEST_OK);
    key_records_close(r);

    r = open_records(ATTEST_OK);
    AUTO(mem) struct key_record *keys = NULL;
    size_t n = 0;
    assert_int_equal(key_records_load(r, &keys, &n, NULL), ATTEST_OK);
    assert_int_equal(n, 2);
    assert_memory_equal(&keys[0], &one, sizeof(one));
    assert_memory_equal(&keys[1], &two, sizeof(two));
    key_records_close(r);
}

static void
keeps_marks(void **state)
{
    (void)state;
    struct key_records *r = open_records(ATTEST_OK);
    struct chainlog_head head = {.seq = 99};
    assert_int_equal(key_records_head(r, &head, NULL), ATTEST_OK);
    assert_int_equal(head.seq, 0);
    uint8_t config[SHA256_LEN];
    assert_int_equal(key_records_config(r, config, NULL), ATTEST_OK);
    assert_int_equal(config[0], 0);

    struct chainlog_head kept = {.seq = 4711};
    memset(kept.hash, 0xab, sizeof(kept.hash));
    assert_int_equal(key_records_set_head(r, &kept, NULL), ATTEST_OK);
    kept.seq++;
    assert_int_equal(key_records_set_head(r, &kept, NULL), ATTEST_OK);
    memset(config, 0xcd, sizeof(config));
    assert_int_equal(key_records_set_config(r, config, NULL), ATTEST_OK);
    key_records_close(r);
    r = open_records(ATTEST_OK);
    assert_int_equal(key_records_head(r, &head, NULL), ATTEST_OK);
    assert_true(chainlog_head_eq(&head, &kept));
    uint8_t again[SHA256_LEN];
    assert_int_equal(key_records_config(r, again, NULL), ATTEST_OK);
    assert_memory_equal(again, config, sizeof(config));
    key_records_close(r);
}

static size_t
count_keys(struct key_records *r)
{
    AUTO(mem) struct key_record *keys = NULL;
    size_t n = 0;
    assert_int_equal(key_records_load(r, &keys, &n, NULL), ATTEST_OK);
    return n;
}

static size_t
count_intents(struct key_records *r, struct key_intent *first)
{
    AUTO(mem) struct key_intent *intents = NULL;
    size_t n = 0;
    assert_int_equal(key_records_intents(r, &intents, &n, NULL), ATTEST_OK);
    if (n)
        *first = intents[0];
    return n;
}

static void
next_event(struct key_records *r, int64_t want_n, const char *want)
{
    AUTO(buf) struct buf body;
    int64_t n = -1;
    buf_init(&body, 4096);
    assert_int_equal(key_records_event(r, &n, &body, NULL), ATTEST_OK);
    assert_int_equal(n, want_n);
    assert_true(slice_is(buf_view(&body), want));
}

static void
a_change_is_one_transaction(void **state)
{
    (void)state;
    struct key_records *r = open_records(ATTEST_OK);
    struct key_intent intent = {.destroy = true, .caller = "uid:7"}, found = {0};
    memset(intent.id, 9, sizeof(intent.id));
    struct key_change wish = {.intended = &intent};
    assert_int_equal(key_records_apply(r, &wish, NULL), ATTEST_OK);
    key_records_close(r);

    r = open_records(ATTEST_OK);
    assert_int_equal(count_intents(r, &found), 1);
    assert_memory_equal(&found, &intent, sizeof(intent));
    struct key_record keys[] = {make_key(1, KEY_PURPOSE_TOKEN), make_key(2, KEY_PURPOSE_TOKEN)};
    keys[1].ref.public_key = keys[0].ref.public_key;
    struct key_change change = {.keys = keys,
                                .n_keys = 2,
                                .fulfilled = intent.id,
                                .event = slice_cstr("\"op\":\"a\""),
                                .fact = "passive",
                                .value = "yes"};
    char fact[KEY_FACT_MAX];
    assert_int_equal(key_records_apply(r, &change, NULL), ATTEST_E_EXISTS);
    assert_int_equal(count_keys(r), 0);
    assert_int_equal(count_intents(r, &found), 1);
    next_event(r, 0, "");
    assert_int_equal(key_records_fact(r, "passive", fact, NULL), ATTEST_OK);
    assert_string_equal(fact, "");

    change.n_keys = 1;
    assert_int_equal(key_records_apply(r, &change, NULL), ATTEST_OK);
    key_records_close(r);
    r = open_records(ATTEST_OK);
    assert_int_equal(count_keys(r), 1);
    assert_int_equal(count_intents(r, &found), 0);
    assert_int_equal(key_records_fact(r, "passive", fact, NULL), ATTEST_OK);
    assert_string_equal(fact, "yes");
    next_event(r, 1, "\"op\":\"a\"");
    key_records_close(r);
}

static void
events_wait_in_order_and_keep_their_numbers(void **state)
{
    (void)state;
    struct key_records *r = open_records(ATTEST_OK);
    struct key_change one = {.event = slice_cstr("one")}, two = {.event = slice_cstr("two")};
    assert_int_equal(key_records_apply(r, &one, NULL), ATTEST_OK);
    assert_int_equal(key_records_apply(r, &two, NULL), ATTEST_OK);
    next_event(r, 1, "one");
    assert_int_equal(key_records_logged(r, 1, NULL), ATTEST_OK);
    next_event(r, 2, "two");
    assert_int_equal(key_records_logged(r, 2, NULL), ATTEST_OK);
    next_event(r, 0, "");
    assert_int_equal(key_records_apply(r, &one, NULL), ATTEST_OK);
    next_event(r, 3, "one");
    key_records_close(r);
}

static void
one_process_at_a_time(void **state)
{
    (void)state;
    struct key_records *r = open_records(ATTEST_OK);
    struct key_record one = make_key(1, KEY_PURPOSE_TOKEN);
    assert_int_equal(put(r, &one), ATTEST_OK);
    open_records(ATTEST_E_BUSY);
    key_records_close(r);
}

static void
sql(const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int
number(const char *file, const char *query)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, query, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int n = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n;
}

/* Public keys have the length of their algorithm's, and no other. */
static void
keeps_keys_of_p256(void **state)
{
    (void)state;
    struct key_record key = make_key(1, KEY_PURPOSE_ROOT);
    key.alg = JWK_ALG_ES256;
    key.ref.public_key.type = PUBKEY_P256;
    memset(key.ref.public_key.bytes + 32, 9, 32);
    jwk_thumbprint(key.kid, &key.ref.public_key);
    struct key_records *r = open_records(ATTEST_OK);
    assert_int_equal(put(r, &key), ATTEST_OK);
    AUTO(mem) struct key_record *keys = NULL;
    size_t n = 0;
    assert_int_equal(key_records_load(r, &keys, &n, NULL), ATTEST_OK);
    assert_int_equal(n, 1);
    assert_int_equal(keys[0].alg, JWK_ALG_ES256);
    assert_true(pubkey_eq(&keys[0].ref.public_key, &key.ref.public_key));
    assert_string_equal(keys[0].kid, key.kid);
    key_records_close(r);

    sql("UPDATE key SET alg = 'EdDSA'");
    struct key_record *none = NULL;
    r = open_records(ATTEST_OK);
    assert_int_equal(key_records_load(r, &none, &n, NULL), ATTEST_E_CORRUPT);
    key_records_close(r);
    sql("UPDATE key SET alg = 'ES256', public_key = zeroblob(32)");
    r = open_records(ATTEST_OK);
    assert_int_equal(key_records_load(r, &none, &n, NULL), ATTEST_E_CORRUPT);
    key_records_close(r);
}

static void
make_first_schema(void)
{
    sql(key_records_steps[0]);
    sql("INSERT INTO key (id, public_key, purpose, alg, label, created_s) VALUES "
        "(zeroblob(16), zeroblob(32), 'token', 'EdDSA', 'old', 5); PRAGMA user_version = 1");
}

static void
brings_an_older_schema_forward_after_a_copy(void **state)
{
    (void)state;
    make_first_schema();
    struct key_records *r = open_records(ATTEST_OK);
    AUTO(mem) struct key_record *keys = NULL;
    size_t n = 0;
    assert_int_equal(key_records_load(r, &keys, &n, NULL), ATTEST_OK);
    assert_int_equal(n, 1);
    assert_string_equal(keys[0].label, "old");
    struct chainlog_head head = {.seq = 1};
    assert_int_equal(key_records_set_head(r, &head, NULL), ATTEST_OK);
    key_records_close(r);
    assert_int_equal(number(path, "PRAGMA user_version"), (int)key_records_n_steps);
    char copy[TEMPDIR_SIZE + 64];
    snprintf(copy, sizeof(copy), "%s.schema-1", path);
    assert_int_equal(number(copy, "PRAGMA user_version"), 1);
    assert_int_equal(number(copy, "SELECT count(*) FROM key"), 1);
}

/* A step that fails leaves the old database as it was. */
static void
takes_all_steps_or_none(void **state)
{
    (void)state;
    make_first_schema();
    sql("CREATE TABLE mark (in_the_way INTEGER)");
    open_records(ATTEST_E_IO);
    assert_int_equal(number(path, "PRAGMA user_version"), 1);
    assert_int_equal(number(path, "SELECT count(*) FROM key"), 1);
}

static void
refuses_a_newer_schema(void **state)
{
    (void)state;
    key_records_close(open_records(ATTEST_OK));
    char pragma[64];
    snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %zu", key_records_n_steps + 1);
    sql(pragma);
    open_records(ATTEST_E_UNSUPPORTED);
    assert_int_equal(number(path, "PRAGMA user_version"), (int)key_records_n_steps + 1);
}

static void
refuses_what_is_no_record(void **state)
{
    (void)state;
    key_records_close(open_records(ATTEST_OK));
    sql("INSERT INTO key (id, public_key, purpose, alg, label, created_s) VALUES "
        "(zeroblob(16), zeroblob(32), 'toke', 'EdDSA', '', 5)");
    struct key_records *r = open_records(ATTEST_OK);
    struct key_record *keys = NULL;
    size_t n;
    assert_int_equal(key_records_load(r, &keys, &n, NULL), ATTEST_E_CORRUPT);
    key_records_close(r);

    FILE *f = fopen(path, "w");
    for (int i = 0; i < 500; i++)
        fputs("this is no database\n", f);
    fclose(f);
    open_records(ATTEST_E_CORRUPT);
}

int
main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(keeps_keys),
        ONE(keeps_keys_of_p256),
        ONE(keeps_marks),
        ONE(a_change_is_one_transaction),
        ONE(events_wait_in_order_and_keep_their_numbers),
        ONE(one_process_at_a_time),
        ONE(brings_an_older_schema_forward_after_a_copy),
        ONE(takes_all_steps_or_none),
        ONE(refuses_a_newer_schema),
        ONE(refuses_what_is_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
