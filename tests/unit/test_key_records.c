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
    memset(key.ref.public_key, n, sizeof(key.ref.public_key));
    jwk_thumbprint(key.kid, key.ref.public_key);
    key.times = (struct key_times){.created_s = 100 + n, .published_s = 200, .active_s = 300};
    return key;
}

static void
keeps_keys(void **state)
{
    (void)state;
    struct key_record one = make_key(1, KEY_PURPOSE_TOKEN), two = make_key(2, KEY_PURPOSE_LOG);
    two.alg = JWK_ALG_ED25519;
    two.times.destroyed_s = 7;
    struct key_records *r = open_records(ATTEST_OK);
    assert_int_equal(key_records_insert(r, &two, NULL), ATTEST_OK);
    assert_int_equal(key_records_insert(r, &one, NULL), ATTEST_OK);
    assert_int_equal(key_records_insert(r, &one, NULL), ATTEST_E_EXISTS);
    struct key_record same_point = make_key(3, KEY_PURPOSE_TOKEN);
    same_point.ref = one.ref;
    same_point.ref.id[0] ^= 1;
    assert_int_equal(key_records_insert(r, &same_point, NULL), ATTEST_E_EXISTS);
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

static void
one_process_at_a_time(void **state)
{
    (void)state;
    struct key_records *r = open_records(ATTEST_OK);
    struct key_record one = make_key(1, KEY_PURPOSE_TOKEN);
    assert_int_equal(key_records_insert(r, &one, NULL), ATTEST_OK);
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
        ONE(keeps_marks),
        ONE(one_process_at_a_time),
        ONE(brings_an_older_schema_forward_after_a_copy),
        ONE(takes_all_steps_or_none),
        ONE(refuses_a_newer_schema),
        ONE(refuses_what_is_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
