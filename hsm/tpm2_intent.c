/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_intent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "hsm/tpm2_counter.h"
#include "hsm/tpm2_file.h"
#include "hsm/tpm2_store.h"

#define LINES_MAX 1024

static const char *const words[] = {
    [TPM2_INTENT_DEFINE] = "define", [TPM2_INTENT_REMOVE] = "remove"};

struct noted {
    enum tpm2_intent_kind kind;
    uint32_t index;
};

struct notes {
    size_t n;
    struct noted list[LINES_MAX];
};

/* ---- the file ---- */

static bool
parse(const char line[TPM2_INTENT_LINE], struct noted *ret)
{
    const size_t word_len = strlen(words[0]);
    uint8_t index[4];
    for (size_t kind = 0; kind < ARRAY_LEN(words); kind++) {
        if (memcmp(line, words[kind], word_len) != 0 || line[word_len] != ' ' ||
            line[TPM2_INTENT_LINE - 1] != '\n' ||
            !hex_decode(index, sizeof(index), (struct slice){line + word_len + 1, 8}))
            continue;
        ret->kind = (enum tpm2_intent_kind)kind;
        ret->index = (uint32_t)index[0] << 24 | (uint32_t)index[1] << 16 | (uint32_t)index[2] << 8 |
                     index[3];
        return ret->index >= TPM2_NV_FIRST && ret->index <= TPM2_NV_LAST;
    }
    return false;
}

/* What stands behind the last whole line was cut off as it was written, and nothing followed. */
static enum attest_rc
read_notes(const struct tpm2_intent *intent, struct notes *notes, struct attest_error *err)
{
    char line[TPM2_INTENT_LINE];
    for (notes->n = 0; notes->n < LINES_MAX; notes->n++) {
        ssize_t got = pread(intent->fd, line, sizeof(line), (off_t)(notes->n * sizeof(line)));
        if (got < 0)
            return error_errno(err, ATTEST_E_IO, errno, "%s", intent->path);
        if (got < (ssize_t)sizeof(line) || !parse(line, &notes->list[notes->n]))
            break;
    }
    return ATTEST_OK;
}

static enum attest_rc
cut_to(const struct tpm2_intent *intent, size_t n, struct attest_error *err)
{
    if (ftruncate(intent->fd, (off_t)(n * TPM2_INTENT_LINE)) < 0 || fsync(intent->fd) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", intent->path);
    return ATTEST_OK;
}

static enum attest_rc
open_locked(struct tpm2_intent *intent, struct attest_error *err)
{
    struct stat st;
    intent->fd =
        open(intent->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
             TPM2_FILE_MODE);
    if (intent->fd < 0 || fstat(intent->fd, &st) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", intent->path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ATTEST_E_IO, "%s: not a regular file", intent->path);
    /* Without a name: whoever had it was done with it just now. */
    if (flock(intent->fd, LOCK_EX | LOCK_NB) < 0 || fstat(intent->fd, &st) < 0 || st.st_nlink != 1)
        return error_set(err, ATTEST_E_BUSY, "%s: another process is at it", intent->path);
    return ATTEST_OK;
}

enum attest_rc
tpm2_intent_open(struct tpm2_intent *intent, const char *sealed_path, struct attest_error *err)
{
    AUTO(tpm2_intent) struct tpm2_intent i = TPM2_INTENT_CLOSED;
    struct notes notes;
    i.sealed_path = strdup(sealed_path);
    if (!i.sealed_path || asprintf(&i.path, "%s.counters", sealed_path) < 0) {
        i.path = NULL;
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    }
    enum attest_rc rc = open_locked(&i, err);
    if (rc) {
        if (i.fd >= 0)
            close(i.fd);
        i.fd = -1; /* not ours to remove */
        return rc;
    }
    if ((rc = read_notes(&i, &notes, err)) || (rc = cut_to(&i, notes.n, err)) ||
        (rc = file_sync_dir_of(i.path, err)))
        return rc;
    *intent = i;
    i = TPM2_INTENT_CLOSED;
    return ATTEST_OK;
}

void
tpm2_intent_close(struct tpm2_intent *intent)
{
    struct stat st;
    if (intent->fd >= 0) {
        if (fstat(intent->fd, &st) == 0 && st.st_size == 0)
            unlink(intent->path);
        close(intent->fd);
    }
    free(intent->path);
    free(intent->sealed_path);
    *intent = TPM2_INTENT_CLOSED;
}

enum attest_rc
tpm2_intent_note(struct tpm2_intent *intent, enum tpm2_intent_kind kind, uint32_t index,
                 struct attest_error *err)
{
    char line[TPM2_INTENT_LINE + 1];
    struct stat st;
    snprintf(line, sizeof(line), "%s %08x\n", words[kind], (unsigned)index);
    if (fstat(intent->fd, &st) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", intent->path);
    if (st.st_size >= LINES_MAX * TPM2_INTENT_LINE)
        return error_set(err, ATTEST_E_LIMIT, "%s: too long", intent->path);
    struct attest_error why = {0};
    enum attest_rc rc = file_write_all(intent->fd, (struct slice){line, TPM2_INTENT_LINE}, &why);
    if (rc)
        return error_set(err, rc, "%s: %s", intent->path, why.text);
    if (fsync(intent->fd) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", intent->path);
    return ATTEST_OK;
}

/* ---- what becomes of it ---- */

/* ATTEST_E_NOT_FOUND: no file, and it names none. */
static enum attest_rc
read_names(const char *sealed_path, const char *suffix, struct tpm2_file **ret,
           struct attest_error *err)
{
    AUTO(mem) char *path = NULL;
    AUTO(buf) struct buf bytes;
    buf_init(&bytes, TPM2_FILE_MAX);
    if (asprintf(&path, "%s%s", sealed_path, suffix) < 0) {
        path = NULL;
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    }
    enum attest_rc rc = file_read_regular(path, TPM2_FILE_MAX, &bytes, err);
    return rc ? rc : tpm2_file_read(buf_view(&bytes), ret, err);
}

static bool
names(const struct tpm2_file *file, uint32_t index)
{
    return file && (file->counter == index ||
                    (file->policy.approved && file->policy.approver.counter == index));
}

/* Else it is left over, and nobody will complete it (tpm2_draft.h). */
static bool
follows(const struct tpm2_file *next, const struct tpm2_file *file)
{
    return file && next && next->counter == file->counter && next->serial == file->serial + 1;
}

static enum attest_rc
settle_notes(const struct notes *notes, const char *sealed_path, struct tpm2_link *link,
             bool *undecided, struct attest_error *err)
{
    AUTO(tpm2_file) struct tpm2_file *file = NULL, *next = NULL;
    enum attest_rc rc = read_names(sealed_path, "", &file, err);
    if (rc && rc != ATTEST_E_NOT_FOUND) /* nobody knows which are its own */
        return rc;
    rc = read_names(sealed_path, ".new", &next, err);
    if (rc && rc != ATTEST_E_NOT_FOUND && rc != ATTEST_E_CORRUPT)
        return rc;
    for (size_t i = 0; i < notes->n; i++) {
        const struct noted *one = &notes->list[i];
        if (names(file, one->index))
            continue;
        if (follows(next, file) && names(next, one->index)) {
            *undecided = true;
            continue;
        }
        if (!link)
            return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "the TPM is out of reach");
        rc = tpm2_counter_remove(link, one->index, one->kind == TPM2_INTENT_DEFINE, err);
        if (rc && rc != ATTEST_E_DENIED) /* that: gone, or none of ours */
            return rc;
    }
    return ATTEST_OK;
}

enum attest_rc
tpm2_intent_settle(struct tpm2_intent *intent, struct tpm2_link *link, struct attest_error *err)
{
    struct notes notes;
    bool undecided = false;
    enum attest_rc rc = read_notes(intent, &notes, err);
    /* What PATH is now it has to be after a cut, too. */
    if (rc || !notes.n || (rc = file_sync_dir_of(intent->sealed_path, err)) ||
        (rc = settle_notes(&notes, intent->sealed_path, link, &undecided, err)))
        return rc;
    return undecided ? ATTEST_OK : cut_to(intent, 0, err);
}

void
tpm2_intent_finish(const char *sealed_path, struct tpm2_link *link)
{
    AUTO(mem) char *path = NULL;
    AUTO(tpm2_intent) struct tpm2_intent intent = TPM2_INTENT_CLOSED;
    if (asprintf(&path, "%s.counters", sealed_path) < 0) {
        path = NULL;
        return;
    }
    if (access(path, F_OK) == 0 && !tpm2_intent_open(&intent, sealed_path, NULL))
        (void)tpm2_intent_settle(&intent, link, NULL);
}
