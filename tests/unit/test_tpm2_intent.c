/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/file.h"
#include "hsm/keystore_impl.h"
#include "hsm/tpm2_counter.h"
#include "tests/support/swtpm_esys.h"

/*
 * The TPM has no counter but those that the file of sealed keys names, whatever ended a command and
 * wherever, as soon as the next one is through.
 */

static struct swtpm tpm;
static char uri[600], path[192], notes_path[208];
static const uint8_t approver[ES256_POINT_LEN] = {1};
static struct attest_error why;
static unsigned file_steps_left; /* the process ends after so many; 0: never */

static void
file_step(void)
{
    if (file_steps_left && --file_steps_left == 0)
        kill(getpid(), SIGKILL);
}

/* Before it, so that what comes between a command and what is noted of it is cut as well. */
ssize_t
write(int fd, const void *p, size_t len)
{
    file_step();
    return syscall(SYS_write, fd, p, len);
}

int
fsync(int fd)
{
    int rv = (int)syscall(SYS_fsync, fd);
    file_step();
    return rv;
}

int
rename(const char *from, const char *to)
{
    int rv = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    file_step();
    return rv;
}

int
renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    int rv = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    file_step();
    return rv;
}

int
unlink(const char *name)
{
    int rv = (int)syscall(SYS_unlinkat, AT_FDCWD, name, 0);
    file_step();
    return rv;
}

/* ---- what the TPM and the file have ---- */

static struct tpm2_file *
read_sealed(void)
{
    AUTO(buf) struct buf bytes;
    struct tpm2_file *file = NULL;
    buf_init(&bytes, TPM2_FILE_MAX);
    assert_int_equal(file_read(path, TPM2_FILE_MAX, &bytes, NULL), ATTEST_OK);
    assert_int_equal(tpm2_file_read(buf_view(&bytes), &file, NULL), ATTEST_OK);
    return file;
}

static unsigned
counters(void)
{
    struct swtpm_direct d = swtpm_connect(&tpm);
    unsigned n = swtpm_count(&d, TPM2_NV_FIRST);
    swtpm_disconnect(&d);
    return n;
}

/* They are there, too: else the file would not open. */
static void
assert_none_lost(const char *what, unsigned n)
{
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed();
    unsigned found = counters(), named = file->policy.approved ? 2 : 1;
    if (found != named)
        fail_msg("%s, %u: the TPM has %u counters, the file names %u", what, n, found, named);
    if (access(notes_path, F_OK) == 0)
        fail_msg("%s, %u: notes are left", what, n);
}

static void
forget_file(void)
{
    if (access(path, F_OK) != 0)
        return;
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed();
    swtpm_counter(&tpm, file->counter, false);
    if (file->policy.approved)
        swtpm_counter(&tpm, file->policy.approver.counter, false);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(counters(), 0);
}

/* ---- what is cut ---- */

static struct keystore_config
config_of(const uint8_t *approved_by)
{
    return (struct keystore_config){
        .uri = uri, .sealed_path = path, .pcrs = "sha256:7", .approver = approved_by, .workers = 1};
}

static enum attest_rc
open_it(const uint8_t *approved_by)
{
    struct tpm2_store store;
    const struct tpm2_store_config c = {
        .link = {.tcti = tpm.tcti}, .path = path, .approver = approved_by};
    enum attest_rc rc = tpm2_store_open(&store, &c, &why);
    if (!rc)
        swtpm_secrets_of(&tpm, &store);
    tpm2_store_close(&store);
    return rc;
}

/* Opened, as the signer does, where there is one already. */
static enum attest_rc
make(void)
{
    const struct keystore_config c = config_of(approver);
    enum attest_rc rc = tpm2_keystore_create(&c, &why);
    return rc == ATTEST_E_EXISTS ? open_it(approver) : rc;
}

static enum attest_rc
add_approver(void)
{
    const struct keystore_config c = config_of(approver);
    return tpm2_sealing_reseal(&c, true, &why);
}

static enum attest_rc
take_approver(void)
{
    const struct keystore_config c = config_of(NULL);
    return tpm2_sealing_reseal(&c, true, &why);
}

static enum attest_rc
seal_pin(void)
{
    const struct keystore_config c = config_of(approver);
    AUTO(secret) struct secret pin = secret_copy("of-another-token", 16);
    return tpm2_sealing_pin_set(&c, &pin, &why);
}

enum way { PROCESS_AT_TPM, PROCESS_AT_FILE, TPM_ALONE };

/* In a process of its own, which ends or loses the TPM at the nth step; whether it came so far. */
static bool
cut_at(enum attest_rc (*run)(void), enum way way, unsigned n)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (way == PROCESS_AT_FILE)
            file_steps_left = n;
        else
            swtpm_tell_log(&tpm, "cut", n, way == TPM_ALONE ? tpm.pid : getpid());
        _exit(run() ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    bool came = way == PROCESS_AT_FILE ? WIFSIGNALED(status) : swtpm_was_cut(&tpm);
    if (!came)
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    swtpm_cut(&tpm); /* what a process that was killed had loaded goes with it */
    assert_true(swtpm_on(&tpm));
    return came;
}

struct command {
    const char *name;
    enum attest_rc (*run)(void), (*back)(void); /* back: as it was, by a command as well; or NULL */
    unsigned file_step, tpm_step;               /* a sample: so many steps from one to the next */
};

/* Returns how many steps there were. */
static unsigned
every_cut(const struct command *command, enum way way, unsigned first, unsigned step)
{
    if (command->back && command->back())
        fail_msg("%s: %s", command->name, why.text);
    for (unsigned n = first;; n += step) {
        if (command->run == make)
            forget_file();
        if (!cut_at(command->run, way, n)) {
            assert_none_lost(command->name, n);
            return n - 1;
        }
        if (command->run()) /* the next one */
            fail_msg("%s, %u: %s", command->name, n, why.text);
        assert_none_lost(command->name, n);
        if (!command->back)
            continue;
        if (!cut_at(command->back, way, n)) {
            assert_none_lost("back", n);
            if (command->run())
                fail_msg("%s: %s", command->name, why.text);
            continue;
        }
        if (command->back())
            fail_msg("%s, %u, back: %s", command->name, n, why.text);
        assert_none_lost("back", n);
    }
}

static void
a_cut_loses_no_counter(void **state)
{
    (void)state;
    static const struct command commands[] = {
        {"seal", make, NULL, 1, 13},
        {"reseal", take_approver, add_approver, 3, 19},
        {"seal-pin", seal_pin, NULL, 5, 31},
    };
    /* A sample, of each in another place; `make proof` takes all. */
    const bool all = getenv("TPM2_EVERY_CUT");
    forget_file();
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *c = &commands[i];
        unsigned files = every_cut(c, PROCESS_AT_FILE, 1, all ? 1 : c->file_step);
        unsigned tpms = every_cut(c, PROCESS_AT_TPM, all ? 1 : 14 + i, all ? 1 : c->tpm_step);
        every_cut(c, TPM_ALONE, all ? 1 : 18 + i, all ? 1 : 2 * c->tpm_step);
        print_message("%s: some %u steps of files, %u of the TPM\n", c->name, files, tpms);
        assert_in_range(files, 8, 60);
        assert_in_range(tpms, 20, 200);
    }
}

/* ---- what is noted, and is not ours ---- */

static void
write_notes(const char *text)
{
    assert_int_equal(
        file_replace(notes_path, TPM2_FILE_MODE, (struct slice){text, strlen(text)}, NULL),
        ATTEST_OK);
}

#define ELSEWHERE 0x01a77eeeU

/* Another file's counter has come to the handle that was noted and never defined. */
static void
counters_of_others_stay(void **state)
{
    (void)state;
    forget_file();
    swtpm_counter(&tpm, ELSEWHERE, true); /* as one of ours looks, with a value */
    assert_int_equal(make(), ATTEST_OK);
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed();
    char text[128];
    snprintf(text, sizeof(text), "define %08x\n", ELSEWHERE);
    write_notes(text);
    assert_int_equal(open_it(approver), ATTEST_OK);
    assert_int_equal(counters(), 3);
    assert_int_not_equal(access(notes_path, F_OK), 0);
    /* What the file names stays, whatever was noted; a line that was cut off says nothing. */
    snprintf(text, sizeof(text), "remove %08x\nremove %08x\nremove %08x", file->counter,
             file->policy.approver.counter, ELSEWHERE);
    write_notes(text);
    assert_int_equal(open_it(approver), ATTEST_OK);
    assert_int_equal(counters(), 3);
    /* Ours, and in vain. */
    snprintf(text, sizeof(text), "remove %08x\n", ELSEWHERE);
    write_notes(text);
    assert_int_equal(open_it(approver), ATTEST_OK);
    assert_none_lost("remove", 0);
    /* The same for whatever else stands there. */
    write_notes("remove 01c00002\nremove 80000000\nnonsense");
    assert_int_equal(open_it(approver), ATTEST_OK);
    assert_none_lost("nonsense", 0);
}

/* Which counters are its own nobody knows of a file that cannot be read. */
static void
an_unreadable_file_keeps_them(void **state)
{
    (void)state;
    char text[64], aside[200];
    AUTO(tpm2_intent) struct tpm2_intent intent = TPM2_INTENT_CLOSED, second = TPM2_INTENT_CLOSED;
    AUTO(tpm2_link) struct tpm2_link *link = NULL;
    const struct tpm2_link_config c = {.tcti = tpm.tcti};
    AUTO(tpm2_file) struct tpm2_file *file = read_sealed();
    snprintf(text, sizeof(text), "remove %08x\n", file->counter);
    snprintf(aside, sizeof(aside), "%s.aside", path);
    write_notes(text);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(file_create(path, TPM2_FILE_MODE, (struct slice){"x", 1}, NULL), ATTEST_OK);
    assert_int_equal(tpm2_link_open(&c, &link, NULL), ATTEST_OK);
    assert_int_equal(tpm2_intent_open(&intent, path, NULL), ATTEST_OK);
    assert_int_equal(tpm2_intent_open(&second, path, NULL), ATTEST_E_BUSY);
    assert_int_equal(tpm2_intent_settle(&intent, link, NULL), ATTEST_E_CORRUPT);
    assert_int_equal(counters(), 2);
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(tpm2_intent_settle(&intent, link, NULL), ATTEST_OK);
    assert_int_equal(counters(), 2);
    tpm2_intent_close(&intent);
    assert_none_lost("unreadable", 0);
}

int
main(void)
{
    if (crypto_init(NULL) || !swtpm_start(&tpm)) {
        fprintf(stderr, "no swtpm here: apt-get install swtpm\n");
        return 77;
    }
    snprintf(uri, sizeof(uri), "tpm2:%s", tpm.tcti);
    snprintf(path, sizeof(path), "%s/sealed.keys", tpm.dir);
    snprintf(notes_path, sizeof(notes_path), "%s.counters", path);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_of_others_stay),
        cmocka_unit_test(an_unreadable_file_keeps_them),
        cmocka_unit_test(a_cut_loses_no_counter),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    swtpm_stop(&tpm);
    return failed;
}
