/* SPDX-License-Identifier: MIT */
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

struct secret
secret_new(size_t len)
{
    struct secret s = {sodium_malloc(len), len};
    if (!s.p)
        abort();
    return s;
}

struct secret
secret_copy(const void *p, size_t len)
{
    struct secret s = secret_new(len);
    memcpy(s.p, p, len);
    return s;
}

void
secret_free(struct secret *s)
{
    if (!s)
        return;
    sodium_free(s->p);
    *s = (struct secret){0};
}

void
secret_wipe(void *p, size_t len)
{
    sodium_memzero(p, len);
}

bool
secret_eq(const void *a, size_t a_len, const void *b, size_t b_len)
{
    return a_len == b_len && sodium_memcmp(a, b, a_len) == 0;
}

static enum attest_rc
read_all(int fd, const char *path, struct secret *s, struct attest_error *err)
{
    size_t n = 0;
    while (n < s->len) {
        ssize_t got = read(fd, s->p + n, s->len - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, ATTEST_E_IO, errno, "%s", path);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    if (n > 0 && n < s->len && s->p[n - 1] == '\n')
        n--;
    if (n > s->len - 2)
        return error_set(err, ATTEST_E_LIMIT, "%s: longer than %zu bytes", path, s->len - 2);
    if (n == 0)
        return error_set(err, ATTEST_E_CONFIG, "%s: empty", path);
    s->len = n;
    return ATTEST_OK;
}

enum attest_rc
secret_read_file(const char *path, size_t len_max, struct secret *ret, struct attest_error *err)
{
    AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? ATTEST_E_NOT_FOUND : ATTEST_E_IO, errno, "%s",
                           path);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ATTEST_E_CONFIG, "%s: not a regular file", path);
    if (st.st_mode & 0007)
        return error_set(err, ATTEST_E_CONFIG, "%s: open to everyone; run: chmod o= %s", path,
                         path);
    /* Room for a newline and for one byte that shows that there is more. */
    AUTO(secret) struct secret s = secret_new(len_max + 2);
    enum attest_rc rc = read_all(fd, path, &s, err);
    if (rc)
        return rc;
    *ret = secret_copy(s.p, s.len);
    return ATTEST_OK;
}
