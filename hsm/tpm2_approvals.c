/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_approvals.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static const char suffix[] = ".approvals", ending[] = ".json";

static enum attest_rc
dir_of(const char *sealed_path, char dir[PATH_MAX], struct attest_error *err)
{
    if (snprintf(dir, PATH_MAX, "%s%s", sealed_path, suffix) >= PATH_MAX)
        return error_set(err, ATTEST_E_CONFIG, "sealed keys: the path is too long");
    return ATTEST_OK;
}

static bool
is_approval(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name), end = strlen(ending);
    return len > end && len <= TPM2_APPROVAL_NAME_MAX && entry->d_name[0] != '.' &&
           !strcmp(entry->d_name + len - end, ending);
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct tpm2_approvals_entry *)a)->name,
                  ((const struct tpm2_approvals_entry *)b)->name);
}

/* A pipe of that name must not hold up a start. */
static enum attest_rc
read_text(const char *path, struct buf *text)
{
    struct stat st;
    char bytes[TPM2_APPROVAL_MAX + 1];
    AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return ATTEST_E_IO;
    ssize_t n = read(fd, bytes, sizeof(bytes));
    if (n < 0 || (size_t)n == sizeof(bytes))
        return ATTEST_E_IO;
    buf_append(text, bytes, (size_t)n);
    return buf_rc(text);
}

static void
read_one(const char *dir, const char *name, struct tpm2_approvals_entry *ret)
{
    char path[PATH_MAX + TPM2_APPROVAL_NAME_MAX + 2];
    AUTO(buf) struct buf text;
    buf_init(&text, TPM2_APPROVAL_MAX);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    ret->readable =
        !read_text(path, &text) && !tpm2_approval_read(buf_view(&text), &ret->approval, NULL);
}

enum attest_rc
tpm2_approvals_read(const char *sealed_path, struct tpm2_approvals **ret, struct attest_error *err)
{
    char dir[PATH_MAX];
    enum attest_rc rc = dir_of(sealed_path, dir, err);
    if (rc)
        return rc;
    AUTO(mem) struct tpm2_approvals *all = calloc(1, sizeof(*all));
    if (!all)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    DIR *open_dir = opendir(dir);
    if (!open_dir && errno != ENOENT)
        return error_errno(err, ATTEST_E_IO, errno, "%s", dir);
    for (struct dirent *entry; !rc && open_dir && (entry = readdir(open_dir));) {
        if (!is_approval(entry))
            continue;
        if (all->n == TPM2_APPROVALS_MAX)
            rc = error_set(err, ATTEST_E_LIMIT, "%s: more than %d approvals; remove old ones", dir,
                           TPM2_APPROVALS_MAX);
        else
            read_one(dir, entry->d_name, &all->list[all->n++]);
    }
    if (open_dir)
        closedir(open_dir);
    if (rc)
        return rc;
    qsort(all->list, all->n, sizeof(all->list[0]), by_name);
    *ret = STEAL(all);
    return ATTEST_OK;
}

const struct tpm2_approval *
tpm2_approvals_judge(struct tpm2_approvals *all, const struct tpm2_policy *policy,
                     const uint8_t tpm_name[TPM2_NAME_LEN], uint64_t shown,
                     const tpm2_pcr_values now)
{
    const struct tpm2_approval *best = NULL;
    for (size_t i = 0; i < all->n; i++) {
        struct tpm2_approvals_entry *e = &all->list[i];
        e->verdict = e->readable ? tpm2_approval_judge(&e->approval, policy, tpm_name, shown, now)
                                 : TPM2_APPROVAL_UNREADABLE;
        if (e->verdict == TPM2_APPROVAL_FITS && (!best || e->approval.serial > best->serial))
            best = &e->approval;
    }
    return best;
}

static enum attest_rc
sync_path(const char *path, struct attest_error *err)
{
    AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 || fsync(fd) != 0 ? error_errno(err, ATTEST_E_IO, errno, "%s", path) : ATTEST_OK;
}

enum attest_rc
tpm2_approvals_sync(const char *sealed_path, const struct tpm2_approvals *all,
                    struct attest_error *err)
{
    char dir[PATH_MAX], path[PATH_MAX + TPM2_APPROVAL_NAME_MAX + 2];
    enum attest_rc rc = dir_of(sealed_path, dir, err);
    for (size_t i = 0; !rc && i < all->n; i++) {
        if (!all->list[i].readable)
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, all->list[i].name);
        rc = sync_path(path, err);
    }
    if (!rc)
        rc = sync_path(dir, err);
    return rc ? rc : file_sync_dir_of(dir, err);
}

enum attest_rc
tpm2_approvals_mkdir(const char *sealed_path, struct attest_error *err)
{
    char dir[PATH_MAX];
    enum attest_rc rc = dir_of(sealed_path, dir, err);
    return rc ? rc : file_mkdirs(dir, 0700, err);
}
