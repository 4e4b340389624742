/* SPDX-License-Identifier: MIT */
/*
 * That no call on the memory of what was seen touches more than 64 slots, by taking all the others
 * away: the table is laid so that its first and its last bucket, 16 slots each, are alone on their
 * pages, and the pages between may not be touched. The hash is the test's and names these two.
 * Full, a call looks into both twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ed25519.h"
#include "replay/replay.h"

#define T0 INT64_C(1700000000)
#define SLOTS 16 /* of a bucket: a digest and a time each */
#define BUCKET_LEN (SLOTS * (KEYED_HASH_LEN + sizeof(int64_t)))

/* ---- where the table lies, and what is in reach ---- */

static struct {
    char *map, *buckets;
    size_t map_len, len;
} table;
static size_t page_len;

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_keyed_hash(uint8_t out[KEYED_HASH_LEN], const void *p, size_t len,
                       const uint8_t key[KEYED_HASH_KEY_LEN]);

/* The only one that asks is the store, for its buckets. */
void *
__wrap_aligned_alloc(size_t alignment, size_t size)
{
    assert_int_equal((page_len - BUCKET_LEN) % alignment, 0);
    assert_int_equal(size % BUCKET_LEN, 0);
    table.map_len = page_len + size / page_len * page_len + page_len;
    table.map =
        mmap(NULL, table.map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(table.map != MAP_FAILED);
    table.buckets = table.map + page_len - BUCKET_LEN;
    table.len = size;
    return table.buckets;
}

void
__wrap_free(void *p)
{
    if (!p || p != table.buckets)
        __real_free(p);
    else if (munmap(table.map, table.map_len) == 0)
        table.buckets = NULL;
}

/* The identifier's own bytes, behind the places in the table. */
void
__wrap_keyed_hash(uint8_t out[KEYED_HASH_LEN], const void *p, size_t len,
                  const uint8_t key[KEYED_HASH_KEY_LEN])
{
    (void)key;
    memset(out, 0, KEYED_HASH_LEN);
    memset(out + 4, 0xff, 4); /* the first bucket, and the last; the first shard */
    memcpy(out + 12, (const char *)p + len - 4, 4);
}

static bool
last_bucket_is_alone(void)
{
    return (size_t)(table.buckets + table.len - BUCKET_LEN - table.map) % page_len == 0;
}

/* As small as may be: whatever is larger has no other two. */
static struct replay_store *
new_store(size_t *entries_max)
{
    struct replay_store *store = NULL;
    for (*entries_max = 100; *entries_max < 8000; ++*entries_max) {
        assert_int_equal(replay_memory_new(*entries_max, REPLAY_FULL_REFUSE, &store, NULL),
                         ATTEST_OK);
        if (last_bucket_is_alone())
            return store;
        replay_free(STEAL(store));
    }
    fail_msg("no size has its last bucket alone on a page");
    return NULL;
}

static void
take_the_others_away(void)
{
    char *between = table.map + page_len;
    size_t len = (size_t)(table.buckets + table.len - BUCKET_LEN - between);
    assert_int_equal(len, table.len - 2 * BUCKET_LEN);
    assert_int_equal(mprotect(between, len, PROT_NONE), 0);
}

/* ---- what is shown ---- */

static enum attest_rc
consume(struct replay_store *store, unsigned n, bool by_holder, int64_t now)
{
    char id[8];
    snprintf(id, sizeof(id), "%04u", n);
    const struct replay_item item = {slice_cstr("i"), slice_cstr(id), now, now + 100, by_holder};
    return replay_consume(store, &item, now, NULL);
}

static void
two_buckets_are_all_that_is_touched(void **state)
{
    (void)state;
    size_t entries_max;
    AUTO(replay_store) struct replay_store *s = new_store(&entries_max);
    assert_true(entries_max > 2 * SLOTS);
    take_the_others_away();
    for (int64_t now = T0; now < T0 + 3000; now += 1000) {
        for (unsigned n = 0; n < 2 * SLOTS; n++) {
            assert_int_equal(consume(s, n, n % 2, now), ATTEST_OK);
            assert_int_equal(consume(s, n, n % 2, now), ATTEST_E_REPLAY);
        }
        /* The rest of the table has room, and nobody looks there. */
        assert_int_equal(consume(s, 2 * SLOTS, false, now), ATTEST_E_REPLAY_STORE);
        assert_int_equal(replay_memory_count(s), 2 * SLOTS);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_buckets_are_all_that_is_touched),
    };
    page_len = (size_t)sysconf(_SC_PAGESIZE);
    if (crypto_init(NULL) != ATTEST_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
