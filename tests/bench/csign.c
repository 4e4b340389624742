/* SPDX-License-Identifier: MIT */

/*
 * csign: how often a PKCS#11 module signs when nothing else is asked of it, and what memory it
 * takes. The ceiling beside which minting is printed.
 *
 *     csign --module FILE --token LABEL --pin-file FILE [--threads N] [--seconds S] [--count N]
 *
 * Signs for S seconds, or N times if that is sooner. Prints one line of JSON, with the resident
 * memory before the module was loaded and after the last signature. Exit status 0, 2 wrong use, 3
 * not done.
 */
#include <dlfcn.h>
#include <getopt.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/ed25519.h"
#include "base/secret.h"

#ifndef CKM_EDDSA
#define CKM_EDDSA 0x1057UL
#endif
#define THREADS_MAX 64
#define MESSAGE_LEN 900 /* about a token's header and payload */
#define SECONDS_MAX 3600

struct plan {
    unsigned threads;
    double seconds;
    int64_t count;
    long before_kib;
};

struct signer {
    pthread_t thread;
    CK_FUNCTION_LIST *f;
    CK_SLOT_ID slot;
    int64_t until_us;
    _Atomic int64_t *left; /* signatures still to be made, of all threads */
    uint64_t signatures;
    CK_RV failed;
};

static int
not_done(const char *what, CK_RV rv)
{
    fprintf(stderr, "csign: %s: 0x%lx\n", what, rv);
    return 3;
}

static long
resident_kib(void)
{
    AUTO(file) FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    long kib = -1;
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    return kib;
}

static CK_FUNCTION_LIST *
load_module(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    CK_FUNCTION_LIST *f = NULL;
    if (module)
        *(void **)&get = dlsym(module, "C_GetFunctionList");
    if (!get || get(&f) != CKR_OK) {
        const char *why = dlerror();
        fprintf(stderr, "csign: %s: %s\n", path, why ? why : "not a PKCS#11 module");
        return NULL;
    }
    return f;
}

static CK_RV
find_slot(CK_FUNCTION_LIST *f, const char *label, CK_SLOT_ID *ret)
{
    CK_SLOT_ID slots[64];
    CK_ULONG n = ARRAY_LEN(slots);
    CK_RV rv = f->C_GetSlotList(CK_TRUE, slots, &n);
    size_t len = strlen(label);
    for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++) {
        CK_TOKEN_INFO info;
        if (f->C_GetTokenInfo(slots[i], &info) != CKR_OK || len > sizeof(info.label) ||
            memcmp(info.label, label, len) != 0)
            continue;
        if (len < sizeof(info.label) && info.label[len] != ' ')
            continue;
        *ret = slots[i];
        return CKR_OK;
    }
    return rv == CKR_OK ? CKR_TOKEN_NOT_PRESENT : rv;
}

/* Any Ed25519 private key will do: all take as long. */
static CK_RV
find_key(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *ret)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE want[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_SIGN, &yes, sizeof(yes)}};
    CK_ULONG n = 0;
    CK_RV rv = f->C_FindObjectsInit(session, want, ARRAY_LEN(want));
    if (rv != CKR_OK)
        return rv;
    rv = f->C_FindObjects(session, ret, 1, &n);
    f->C_FindObjectsFinal(session);
    return rv == CKR_OK && n == 0 ? CKR_KEY_HANDLE_INVALID : rv;
}

static CK_RV
sign_until(struct signer *s, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_MECHANISM eddsa = {CKM_EDDSA, NULL, 0};
    CK_BYTE message[MESSAGE_LEN] = {0};
    while (clock_mono_us() < s->until_us && atomic_fetch_sub(s->left, 1) > 0) {
        CK_BYTE sig[128];
        CK_ULONG sig_len = sizeof(sig);
        message[s->signatures % sizeof(message)]++;
        CK_RV rv = s->f->C_SignInit(session, &eddsa, key);
        if (rv == CKR_OK)
            rv = s->f->C_Sign(session, message, sizeof(message), sig, &sig_len);
        if (rv != CKR_OK)
            return rv;
        s->signatures++;
    }
    return CKR_OK;
}

static void *
run_signer(void *arg)
{
    struct signer *s = arg;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    s->failed = s->f->C_OpenSession(s->slot, CKF_SERIAL_SESSION, NULL, NULL, &session);
    if (s->failed != CKR_OK)
        return NULL;
    s->failed = find_key(s->f, session, &key);
    if (s->failed == CKR_OK)
        s->failed = sign_until(s, session, key);
    s->f->C_CloseSession(session);
    return NULL;
}

static int64_t
process_cpu_us(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * (int64_t)1000000 + r.ru_utime.tv_usec +
           r.ru_stime.tv_usec;
}

static int
measure(CK_FUNCTION_LIST *f, CK_SLOT_ID slot, const struct plan *plan)
{
    _Atomic int64_t left = plan->count;
    static struct signer signers[THREADS_MAX];
    int64_t start_us = clock_mono_us();
    int64_t cpu_us = process_cpu_us();
    uint64_t n = 0;
    CK_RV failed = CKR_OK;
    unsigned started = 0;
    for (; started < plan->threads; started++) {
        struct signer *s = &signers[started];
        *s = (struct signer){.f = f,
                             .slot = slot,
                             .until_us = start_us + (int64_t)(plan->seconds * 1e6),
                             .left = &left};
        if (pthread_create(&s->thread, NULL, run_signer, s) != 0)
            break;
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(signers[i].thread, NULL);
        n += signers[i].signatures;
        if (signers[i].failed != CKR_OK)
            failed = signers[i].failed;
    }
    if (failed != CKR_OK || n == 0)
        return not_done("signing", failed);
    double took_us = (double)(clock_mono_us() - start_us);
    printf("{\"threads\":%u,\"signatures\":%llu,\"per_s\":%.1f,\"cpu_us\":%.1f,"
           "\"before_kib\":%ld,\"after_kib\":%ld}\n",
           started, (unsigned long long)n, (double)n * 1e6 / took_us,
           (double)(process_cpu_us() - cpu_us) / (double)n, plan->before_kib, resident_kib());
    return 0;
}

static int
run(CK_FUNCTION_LIST *f, const char *token, const char *pin_file, const struct plan *plan)
{
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
    AUTO(secret) struct secret pin = {NULL, 0};
    struct attest_error err;
    if (secret_read_file(pin_file, 256, &pin, &err) != ATTEST_OK) {
        fprintf(stderr, "csign: %s\n", err.text);
        return 3;
    }
    CK_RV rv = find_slot(f, token, &slot);
    if (rv != CKR_OK)
        return not_done("no such token", rv);
    rv = f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session);
    if (rv == CKR_OK)
        rv = f->C_Login(session, CKU_USER, pin.p, pin.len);
    if (rv != CKR_OK)
        return not_done("login", rv);
    return measure(f, slot, plan);
}

static int
wrong_use(void)
{
    fputs("usage: csign --module FILE --token LABEL --pin-file FILE [--threads N] [--seconds S] "
          "[--count N]\n",
          stderr);
    return 2;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"module", required_argument, NULL, 'm'},
        {"token", required_argument, NULL, 't'},
        {"pin-file", required_argument, NULL, 'p'},
        {"threads", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'},
        {"count", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    const char *text['t' + 1] = {['n'] = "1", ['s'] = "5", ['c'] = "1000000000"};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == '?')
            return wrong_use();
        text[o] = optarg;
    }
    struct plan plan = {.threads = (unsigned)strtoul(text['n'], NULL, 10),
                        .seconds = strtod(text['s'], NULL),
                        .count = strtoll(text['c'], NULL, 10)};
    if (!text['m'] || !text['t'] || !text['p'] || plan.threads < 1 || plan.threads > THREADS_MAX ||
        plan.seconds <= 0 || plan.seconds > SECONDS_MAX || plan.count < 1)
        return wrong_use();

    struct attest_error err;
    if (crypto_init(&err) != ATTEST_OK)
        return 3;
    plan.before_kib = resident_kib();
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_FUNCTION_LIST *f = load_module(text['m']);
    if (!f)
        return 3;
    CK_RV rv = f->C_Initialize(&args);
    if (rv != CKR_OK)
        return not_done("C_Initialize", rv);
    int status = run(f, text['t'], text['p'], &plan);
    f->C_Finalize(NULL);
    return status;
}
