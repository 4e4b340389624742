/* SPDX-License-Identifier: MIT */
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

struct secret
secret_try_new(size_t len)
{
    return (struct secret){sodium_malloc(len), len};
}

struct secret
secret_new(size_t len)
{
    struct secret s = secret_try_new(len);
    if (!s.p)
        abort();
    return s;
}

bool
secret_lockable(size_t len)
{
    struct secret s = secret_new(len);
    bool locked = sodium_mlock(s.p, s.len) == 0;
    secret_free(&s);
    return locked;
}

struct secret
secret_copy(const void *p, size_t len)
{
    struct secret s = secret_new(len);
    memcpy(s.p, p, len);
    return s;
}

struct secret
secret_try_copy(const void *p, size_t len)
{
    struct secret s = secret_try_new(len);
    if (s.p)
        memcpy(s.p, p, len);
    return s;
}

#ifdef M_PERTURB
/* Small pieces go back past that. Those that hold copies of secrets are OpenSSL's. */
static void
openssl_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    if (p)
        secret_wipe(p, malloc_usable_size(p));
    free(p);
}

static void *
openssl_malloc(size_t len, const char *file, int line)
{
    (void)file, (void)line;
    return len ? malloc(len) : NULL;
}

static void *
openssl_realloc(void *p, size_t len, const char *file, int line)
{
    size_t had = p ? malloc_usable_size(p) : 0;
    void *moved = openssl_malloc(len, file, line);
    if (moved && had)
        memcpy(moved, p, had < len ? had : len);
    if (moved || len == 0)
        openssl_free(p, file, line);
    return moved;
}

void
secret_wipe_freed(void)
{
    mallopt(M_PERTURB, 0xa5);
    (void)CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free);
}
#else
void
secret_wipe_freed(void)
{
}
#endif

#ifdef __x86_64__
#define XMM                                                                                        \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

/* A compiler that was not told of AVX-512 neither knows nor uses the upper sixteen. */
#ifdef __AVX512F__
#define UPPER                                                                                      \
    "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",      \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31"
#else
#define UPPER "memory"
#endif

static void
clear_upper(void)
{
    __asm__ volatile("vpxorq %%zmm16, %%zmm16, %%zmm16\n\tvpxorq %%zmm17, %%zmm17, %%zmm17\n\t"
                     "vpxorq %%zmm18, %%zmm18, %%zmm18\n\tvpxorq %%zmm19, %%zmm19, %%zmm19\n\t"
                     "vpxorq %%zmm20, %%zmm20, %%zmm20\n\tvpxorq %%zmm21, %%zmm21, %%zmm21\n\t"
                     "vpxorq %%zmm22, %%zmm22, %%zmm22\n\tvpxorq %%zmm23, %%zmm23, %%zmm23\n\t"
                     "vpxorq %%zmm24, %%zmm24, %%zmm24\n\tvpxorq %%zmm25, %%zmm25, %%zmm25\n\t"
                     "vpxorq %%zmm26, %%zmm26, %%zmm26\n\tvpxorq %%zmm27, %%zmm27, %%zmm27\n\t"
                     "vpxorq %%zmm28, %%zmm28, %%zmm28\n\tvpxorq %%zmm29, %%zmm29, %%zmm29\n\t"
                     "vpxorq %%zmm30, %%zmm30, %%zmm30\n\tvpxorq %%zmm31, %%zmm31, %%zmm31\n\t" ::
                         : UPPER);
}

static void
clear_xmm(void)
{
    __asm__ volatile("pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\t"
                     "pxor %%xmm2, %%xmm2\n\tpxor %%xmm3, %%xmm3\n\t"
                     "pxor %%xmm4, %%xmm4\n\tpxor %%xmm5, %%xmm5\n\t"
                     "pxor %%xmm6, %%xmm6\n\tpxor %%xmm7, %%xmm7\n\t"
                     "pxor %%xmm8, %%xmm8\n\tpxor %%xmm9, %%xmm9\n\t"
                     "pxor %%xmm10, %%xmm10\n\tpxor %%xmm11, %%xmm11\n\t"
                     "pxor %%xmm12, %%xmm12\n\tpxor %%xmm13, %%xmm13\n\t"
                     "pxor %%xmm14, %%xmm14\n\tpxor %%xmm15, %%xmm15\n\t" ::
                         : XMM);
}

void
secret_clear_registers(void)
{
    if (__builtin_cpu_supports("avx512f"))
        clear_upper();
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroall" ::: XMM);
    else
        clear_xmm();
}
#elif defined(__aarch64__)
void
secret_clear_registers(void)
{
    __asm__ volatile("movi v0.2d, #0\n\tmovi v1.2d, #0\n\t"
                     "movi v2.2d, #0\n\tmovi v3.2d, #0\n\t"
                     "movi v4.2d, #0\n\tmovi v5.2d, #0\n\t"
                     "movi v6.2d, #0\n\tmovi v7.2d, #0\n\t"
                     "movi v16.2d, #0\n\tmovi v17.2d, #0\n\t"
                     "movi v18.2d, #0\n\tmovi v19.2d, #0\n\t"
                     "movi v20.2d, #0\n\tmovi v21.2d, #0\n\t"
                     "movi v22.2d, #0\n\tmovi v23.2d, #0\n\t"
                     "movi v24.2d, #0\n\tmovi v25.2d, #0\n\t"
                     "movi v26.2d, #0\n\tmovi v27.2d, #0\n\t"
                     "movi v28.2d, #0\n\tmovi v29.2d, #0\n\t"
                     "movi v30.2d, #0\n\tmovi v31.2d, #0\n\t" ::
                         : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18",
                           "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28",
                           "v29", "v30", "v31");
}
#else
void
secret_clear_registers(void)
{
}
#endif

void
secret_free(struct secret *s)
{
    if (!s)
        return;
    if (s->p)
        secret_clear_registers();
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
    AUTO(secret) struct secret s = secret_try_new(len_max + 2);
    enum attest_rc rc = s.p ? read_all(fd, path, &s, err) : ATTEST_E_NOMEM;
    if (rc == ATTEST_OK)
        *ret = secret_try_copy(s.p, s.len);
    if (rc == ATTEST_E_NOMEM || (rc == ATTEST_OK && !ret->p))
        return error_set(err, ATTEST_E_NOMEM, "%s: no guarded memory", path);
    return rc;
}
