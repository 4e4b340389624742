/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "base/file.h"
#include "hsm/tpm2_box.h"
#include "hsm/tpm2_store.h"
#include "tests/support/leftovers.h"
#include "tests/support/swtpm_esys.h"

static struct swtpm tpm;
static char path[192];
static unsigned commands, die_at; /* the die_at'th command from here meets no TPM; 0: none */
static struct attest_error why;   /* of the last operation that failed */

static void
count_command(void *ctx, bool command_starts)
{
    (void)ctx;
    if (command_starts && ++commands == die_at)
        swtpm_cut(&tpm);
}

static bool directories_fail; /* to be synced */

int
fsync(int fd)
{
    struct stat st;
    if (!directories_fail || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
        return (int)syscall(SYS_fsync, fd);
    errno = EIO;
    return -1;
}

static struct tpm2_store_config
config(void)
{
    return (struct tpm2_store_config){
        .link = {.tcti = tpm.tcti, .beat = count_command},
        .path = path,
    };
}

static enum attest_rc
create(struct tpm2_store *store)
{
    (void)store;
    const struct tpm2_store_config c = config();
    char next_path[200];
    snprintf(next_path, sizeof(next_path), "%s.new", path);
    unlink(path);
    unlink(next_path);
    return tpm2_store_create(&c, "sha256:7", &why);
}

static enum attest_rc
reopen(struct tpm2_store *store)
{
    const struct tpm2_store_config c = config();
    tpm2_store_close(store);
    return tpm2_store_open(store, &c, &why);
}

static struct key_ref last;

static enum attest_rc
add(struct tpm2_store *store)
{
    uint8_t id[KEYSTORE_ID_LEN];
    random_bytes(id, sizeof(id));
    return tpm2_store_add(store, id, "token", "a key", &last, &why);
}

static enum attest_rc
take_off(struct tpm2_store *store)
{
    return tpm2_store_remove(store, last.id, &last.public_key, &why);
}

static const char *to_pcrs = "sha256:0";

static enum attest_rc
seal_anew(struct tpm2_store *store)
{
    return tpm2_store_reseal(store, to_pcrs, &why);
}

static enum attest_rc
add_resident(struct tpm2_store *store)
{
    uint8_t id[KEYSTORE_ID_LEN];
    random_bytes(id, sizeof(id));
    return tpm2_store_add_resident(store, id, "root", "a key", &last, &why);
}

static enum attest_rc
set_pin(struct tpm2_store *store)
{
    AUTO(secret) struct secret pin = secret_copy("of-another-token", 16);
    swtpm_secret(&tpm, "pin", pin.p, pin.len);
    return tpm2_store_set_pin(store, &pin, &why);
}

static void
read_file(struct buf *out)
{
    buf_init(out, TPM2_FILE_MAX);
    file_read(path, TPM2_FILE_MAX, out, NULL);
}

/*
 * Runs it with the TPM dying before each of its commands in turn: it fails, the file stays as it
 * was, and with the TPM back everything goes on. Then once undisturbed. Returns how often it
 * failed. No authorization value in these tests: cuts would count as wrong ones.
 */
static unsigned
every_cut(struct tpm2_store *store, enum attest_rc (*operation)(struct tpm2_store *store))
{
    AUTO(buf) struct buf before;
    read_file(&before);
    unsigned failures = 0;
    for (unsigned n = 1;; n++) {
        commands = 0;
        die_at = n;
        enum attest_rc rc = operation(store);
        bool reached = commands >= n;
        die_at = 0;
        if (tpm.pid == 0)
            assert_true(swtpm_on(&tpm));
        if (!reached) {
            if (rc)
                fail_msg("with the TPM there all the while: %s", why.text);
            assert_int_equal(swtpm_loaded(&tpm), 0);
            return failures;
        }
        if (!rc)
            return failures; /* what came after was cleaning up */
        AUTO(buf) struct buf after;
        read_file(&after);
        if (operation != create)
            assert_true(slice_eq(buf_view(&before), buf_view(&after)));
        else
            assert_int_equal(after.len, 0);
        assert_int_equal(rc, ATTEST_E_KEY_OUT_OF_REACH);
        failures++;
        /* What was written down is completed by the next change, be it one of the lease. */
        if (operation == create || operation == reopen || !store->pending)
            continue;
        const struct keystore_lease lease = {"an instance", "a host", 1763700000 + failures};
        bool was = store->file->leased;
        const struct keystore_lease old = store->file->lease;
        assert_int_equal(tpm2_store_lease(store, was ? &old : NULL, &lease, NULL), ATTEST_OK);
        assert_null(store->pending);
        buf_done(&before);
        read_file(&before);
        if (operation == take_off)
            return failures;
    }
}

static void
a_cut_changes_nothing(void **state)
{
    (void)state;
    struct tpm2_store store = {.lock_fd = -1};
    const struct slice msg = {"x", 1};
    uint8_t sig[ED25519_SIG_LEN];
    const struct tpm2_store_config c = config();
    assert_in_range(every_cut(&store, create), 4, 20);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    assert_int_equal(add(&store), ATTEST_OK);
    const struct key_ref first = last;
    swtpm_secrets_of(&tpm, &store);
    assert_in_range(every_cut(&store, reopen), 6, 20);
    assert_int_equal(tpm2_store_sign(&store, &first, NULL, msg, sig), ATTEST_OK);
    assert_in_range(every_cut(&store, add), 2, 20);
    swtpm_secrets_of(&tpm, &store);
    assert_int_equal(tpm2_store_sign(&store, &last, NULL, msg, sig), ATTEST_OK);
    assert_in_range(every_cut(&store, take_off), 3, 20);
    swtpm_secrets_of(&tpm, &store);
    assert_int_equal(tpm2_store_sign(&store, &last, NULL, msg, sig), ATTEST_E_NOT_FOUND);
    assert_int_equal(tpm2_store_sign(&store, &first, NULL, msg, sig), ATTEST_OK);
    assert_in_range(every_cut(&store, seal_anew), 6, 20);
    swtpm_secrets_of(&tpm, &store);
    assert_int_equal(store.file->policy.pcrs, 1);
    assert_in_range(every_cut(&store, add_resident), 3, 20);
    swtpm_secrets_of(&tpm, &store);
    assert_in_range(every_cut(&store, set_pin), 2, 20);
    swtpm_secrets_of(&tpm, &store);
    assert_int_equal(reopen(&store), ATTEST_OK);
    assert_int_equal(tpm2_store_sign(&store, &first, NULL, msg, sig), ATTEST_OK);
    tpm2_store_close(&store);
}

/* Seeds and wrapping key stand where they belong, once, whatever was done with them. */
static void
memory_keeps_one_copy(void **state)
{
    (void)state;
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    assert_int_equal(create(NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    for (int i = 0; i < 4; i++) {
        if (i < 2)
            assert_int_equal(add(&store), ATTEST_OK);
        else if (i == 2)
            assert_int_equal(take_off(&store), ATTEST_OK);
        else
            assert_int_equal(reopen(&store), ATTEST_OK);
        uint8_t sig[ED25519_SIG_LEN];
        const struct slice msg = {"x", 1};
        assert_int_equal(tpm2_store_sign(&store, &store.file->keys[0].ref, NULL, msg, sig),
                         ATTEST_OK);
        swtpm_secrets_of(&tpm, &store);
        for (size_t k = 0; k < store.file->n_keys; k++) {
            assert_int_equal(leftovers_of(store.pairs.p + k * ED25519_PAIR_LEN, 16), 0);
            assert_int_equal(leftovers_of(store.pairs.p + k * ED25519_PAIR_LEN + 16, 16), 0);
        }
        assert_int_equal(leftovers_of(store.authority.p, 16), 0);
        assert_int_equal(leftovers_of(store.wrapping.p, 16), 0);
        assert_int_equal(leftovers_of(store.wrapping.p + 16, 16), 0);
    }
    tpm2_store_close(&store);
}

static enum attest_rc
sign_by_last(struct tpm2_store *store)
{
    uint8_t sig[PUBKEY_SIG_LEN];
    return tpm2_store_sign(store, &last, NULL, (struct slice){"x", 1}, sig);
}

static enum attest_rc
quote(struct tpm2_store *store)
{
    struct keystore_quote q;
    const uint8_t data[SHA256_LEN] = {0};
    return tpm2_store_quote(store, data, &q, &why);
}

/* Without a resource manager, on a TPM with three places for objects. An operation is some ten
   commands; make proof does ten thousand. */
static void
nothing_is_left_over_many_times(void **state)
{
    (void)state;
    /* One has the connection at a time: opening anew ends the one that signs. */
    static enum attest_rc (*const kinds[])(struct tpm2_store * store) = {
        add,     take_off,     reopen, add_resident, sign_by_last, reopen,
        set_pin, sign_by_last, reopen, take_off,     seal_anew,    quote,
    };
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    const char *many = getenv("TPM2_MANY");
    unsigned want = many ? (unsigned)atoi(many) : 500, operations = 0;
    assert_int_equal(create(NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    while (operations < want) {
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++, operations++) {
            if (kinds[i](&store))
                fail_msg("operation %u, kind %zu: %s", operations, i, why.text);
            swtpm_secrets_of(&tpm, &store);
        }
        assert_int_equal(swtpm_loaded(&tpm), 0);
    }
    tpm2_store_close(&store);
}

static void
put_file(const char *name, const struct buf *bytes)
{
    assert_int_equal(file_replace(name, TPM2_FILE_MODE, buf_view(bytes), NULL), ATTEST_OK);
}

static enum attest_rc
open_now(struct attest_error *err)
{
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    enum attest_rc rc = tpm2_store_open(&store, &c, err);
    tpm2_store_close(&store);
    return rc;
}

/* A copy from before a change, and what a crash between counter and rename leaves. */
static void
an_older_file_is_refused(void **state)
{
    (void)state;
    struct tpm2_store store;
    struct attest_error err = {0};
    const struct tpm2_store_config c = config();
    AUTO(buf) struct buf old, next;
    char next_path[200];
    snprintf(next_path, sizeof(next_path), "%s.new", path);
    assert_int_equal(create(NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    assert_int_equal(add(&store), ATTEST_OK);
    const struct key_ref first = last;
    read_file(&old);
    assert_int_equal(add(&store), ATTEST_OK);
    read_file(&next);
    tpm2_store_close(&store);

    put_file(path, &old);
    assert_int_equal(open_now(&err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "put the newest back"));
    put_file(next_path, &old);
    assert_int_equal(open_now(NULL), ATTEST_E_DENIED);
    next.p[next.len - 1] ^= 1;
    put_file(next_path, &next);
    assert_int_equal(open_now(NULL), ATTEST_E_CORRUPT);
    next.p[next.len - 1] ^= 1;
    put_file(next_path, &next);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    assert_int_equal(store.file->n_keys, 2);
    assert_int_not_equal(access(next_path, F_OK), 0);
    assert_int_equal(take_off(&store), ATTEST_OK);
    tpm2_store_close(&store);
    put_file(path, &next);
    assert_int_equal(open_now(NULL), ATTEST_E_DENIED);
    last = first;
}

/*
 * Sealed anew to what an update will not move, and a crash came between counter and rename, and
 * then the update: the old file opens no more, the new one has to.
 */
static void
a_crash_and_then_an_update(void **state)
{
    (void)state;
    struct tpm2_store store;
    struct attest_error err = {0};
    const struct tpm2_store_config c = config();
    AUTO(buf) struct buf old, next;
    char next_path[200];
    snprintf(next_path, sizeof(next_path), "%s.new", path);
    assert_int_equal(create(NULL), ATTEST_OK); /* to PCR 7 */
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    assert_int_equal(add(&store), ATTEST_OK);
    read_file(&old);
    assert_int_equal(tpm2_store_reseal(&store, "sha256:0", NULL), ATTEST_OK);
    read_file(&next);
    tpm2_store_close(&store);
    put_file(path, &old);
    swtpm_extend(&tpm, 7);
    assert_int_equal(open_now(&err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "PCR 7 "));
    put_file(next_path, &next);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    assert_int_equal(store.file->policy.pcrs, 1);
    assert_int_equal(store.file->n_keys, 1);
    assert_int_not_equal(access(next_path, F_OK), 0);
    /* Not so one that the counter has not come to. */
    buf_done(&old);
    buf_done(&next);
    read_file(&old);
    assert_int_equal(tpm2_store_reseal(&store, "sha256:7", NULL), ATTEST_OK);
    read_file(&next);
    assert_int_equal(tpm2_store_reseal(&store, "sha256:7", NULL), ATTEST_OK);
    tpm2_store_close(&store);
    put_file(path, &next);
    put_file(next_path, &old);
    swtpm_extend(&tpm, 7);
    assert_int_equal(open_now(&err), ATTEST_E_DENIED);
}

/*
 * Written beside the file, and the power goes before the TPM has counted: another change in its
 * place would have the same serial, and the file of either would pass for the newest.
 */
static void
a_change_that_was_begun_is_completed(void **state)
{
    (void)state;
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    char next_path[200];
    snprintf(next_path, sizeof(next_path), "%s.new", path);
    assert_int_equal(create(NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    for (unsigned n = 1; access(next_path, F_OK) != 0; n++) {
        commands = 0;
        die_at = n;
        assert_int_equal(add(&store), ATTEST_E_KEY_OUT_OF_REACH);
        die_at = 0;
        assert_true(swtpm_on(&tpm));
    }
    assert_int_equal(store.file->n_keys, 0);
    uint64_t serial = store.file->serial;
    assert_int_equal(reopen(&store), ATTEST_OK);
    assert_int_equal(store.file->serial, serial + 1);
    assert_int_equal(store.file->n_keys, 1);
    assert_int_not_equal(access(next_path, F_OK), 0);
    assert_int_equal(reopen(&store), ATTEST_OK);
    assert_int_equal(store.file->n_keys, 1);
    tpm2_store_close(&store);
}

/* What was written beside the file is gone, before or after the TPM has counted: it is in memory.
 */
static void
a_draft_that_vanished_is_written_again(void **state)
{
    (void)state;
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    char next_path[200], aside[200];
    snprintf(next_path, sizeof(next_path), "%s.new", path);
    snprintf(aside, sizeof(aside), "%s.aside", path);
    assert_int_equal(create(NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    for (unsigned n = 1; access(next_path, F_OK) != 0; n++) {
        commands = 0;
        die_at = n;
        assert_int_equal(add(&store), ATTEST_E_KEY_OUT_OF_REACH);
        die_at = 0;
        assert_true(swtpm_on(&tpm));
    }
    assert_int_equal(unlink(next_path), 0);
    assert_int_equal(add(&store), ATTEST_OK);
    assert_int_equal(store.file->n_keys, 2);

    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* nothing can be renamed over it */
    assert_int_equal(add(&store), ATTEST_E_IO);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(unlink(next_path), 0);
    assert_int_equal(add(&store), ATTEST_OK);
    assert_int_equal(store.file->n_keys, 4);
    assert_int_equal(reopen(&store), ATTEST_OK);
    assert_int_equal(store.file->n_keys, 4);
    tpm2_store_close(&store);
}

/* The counter went up and the file could not follow: the next change finds that out. */
static void
an_unsettled_change_is_settled(void **state)
{
    (void)state;
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    const struct slice msg = {"x", 1};
    uint8_t sig[ED25519_SIG_LEN];
    char aside[200];
    snprintf(aside, sizeof(aside), "%s.aside", path);
    assert_int_equal(create(NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* nothing can be renamed over it */
    assert_int_equal(add(&store), ATTEST_E_IO);
    assert_int_equal(store.file->n_keys, 0);
    assert_int_equal(add(&store), ATTEST_E_IO);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(add(&store), ATTEST_OK);
    assert_int_equal(store.file->n_keys, 2);
    assert_int_equal(tpm2_store_sign(&store, &last, NULL, msg, sig), ATTEST_OK);
    assert_int_equal(reopen(&store), ATTEST_OK);
    assert_int_equal(store.file->n_keys, 2);

    /* And in a process that was killed there. */
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(take_off(&store), ATTEST_E_IO);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(reopen(&store), ATTEST_OK);
    assert_int_equal(store.file->n_keys, 1);
    assert_int_equal(tpm2_store_sign(&store, &last, NULL, msg, sig), ATTEST_E_NOT_FOUND);
    tpm2_store_close(&store);
}

/* A failing disk: the file is there, and whether it will be after a crash nobody says. */
static void
what_is_not_synced_is_not_lost(void **state)
{
    (void)state;
    struct tpm2_store store;
    const struct tpm2_store_config c = config();
    const struct keystore_lease lease = {"an instance", "a host", 1763700000};
    directories_fail = true;
    assert_int_equal(create(NULL), ATTEST_E_IO);
    directories_fail = false;
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(tpm2_store_create(&c, "sha256:7", NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    directories_fail = true;
    assert_int_equal(add(&store), ATTEST_E_IO);
    directories_fail = false;
    assert_int_equal(tpm2_store_lease(&store, NULL, &lease, NULL), ATTEST_OK);
    assert_int_equal(reopen(&store), ATTEST_OK);
    assert_int_equal(store.file->n_keys, 1);
    assert_true(store.file->leased); /* and not taken back by the change before it */
    tpm2_store_close(&store);
}

/* Its owner can take the counter away, and make another: that one is not ours. */
static void
another_counter_is_refused(void **state)
{
    (void)state;
    struct tpm2_store store;
    struct attest_error err = {0};
    const struct tpm2_store_config c = config();
    assert_int_equal(create(NULL), ATTEST_OK);
    assert_int_equal(tpm2_store_open(&store, &c, NULL), ATTEST_OK);
    uint32_t index = store.file->counter;
    tpm2_store_close(&store);
    assert_int_equal(open_now(NULL), ATTEST_OK);
    swtpm_counter(&tpm, index, false);
    assert_int_equal(open_now(&err), ATTEST_E_DENIED);
    assert_non_null(strstr(err.text, "counter"));
    swtpm_counter(&tpm, index, true);
    assert_int_equal(open_now(NULL), ATTEST_E_DENIED);
    assert_int_equal(swtpm_loaded(&tpm), 0);
}

int
main(void)
{
    secret_wipe_freed();
    if (crypto_init(NULL) || !swtpm_start(&tpm)) {
        fprintf(stderr, "no swtpm here: apt-get install swtpm\n");
        return 77;
    }
    snprintf(path, sizeof(path), "%s/sealed.keys", tpm.dir);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_changes_nothing),
        cmocka_unit_test(a_change_that_was_begun_is_completed),
        cmocka_unit_test(a_draft_that_vanished_is_written_again),
        cmocka_unit_test(memory_keeps_one_copy),
        cmocka_unit_test(nothing_is_left_over_many_times),
        cmocka_unit_test(an_older_file_is_refused),
        cmocka_unit_test(a_crash_and_then_an_update),
        cmocka_unit_test(an_unsettled_change_is_settled),
        cmocka_unit_test(what_is_not_synced_is_not_lost),
        cmocka_unit_test(another_counter_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
