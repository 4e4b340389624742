/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_KEYSTORE_FAULT_H
#define TESTS_SUPPORT_KEYSTORE_FAULT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hsm/pkcs11_impl.h"
#include "tests/support/tempdir.h"

/* The keystore against a module that fails as it is told: tests/support/p11_fault.h. */

#define MODULE BUILD_DIR "/tests/support/.libs/p11_fault.so"
#define URI "pkcs11:token=attestd%20fault"
#define PATIENCE_MS 20000 /* for what must happen, however slow the machine */
#define HANGS_MS 3000     /* far more than a call takes that does not hang */

static char dir[TEMPDIR_SIZE];
static const char message[] = "a message to sign";
static const struct slice msg = {message, sizeof(message)};

/* What on_state was told, as a string of first letters: r, o, P, L. */
static struct told {
    _Atomic int n;
    char letters[64];
    char why[160];
    struct keystore *_Atomic of;
} told;

static inline void
path_in_dir(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", dir, name);
}

static inline void
rules(const char *text)
{
    char path[300], temporary[310];
    path_in_dir(path, sizeof(path), "control");
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    FILE *f = fopen(temporary, "w");
    assert_non_null(f);
    fprintf(f, "%s\n", text);
    fclose(f);
    assert_int_equal(rename(temporary, path), 0);
}

/* How often the module was called so since its log was last emptied. */
static inline unsigned
calls(const char *name)
{
    char path[300], line[64];
    unsigned n = 0;
    path_in_dir(path, sizeof(path), "log");
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        n += !strcmp(line, name);
    }
    if (f)
        fclose(f);
    return n;
}

static inline void
forget_calls(void)
{
    char path[300];
    path_in_dir(path, sizeof(path), "log");
    assert_int_equal(truncate(path, 0), 0);
}

static inline void
on_state(void *ctx, enum keystore_state state, const char *why)
{
    (void)ctx;
    static const char letters[] = {'r', 'o', 'P', 'L'};
    int n = atomic_load(&told.n);
    if (n < (int)sizeof(told.letters) - 1)
        told.letters[n] = letters[state];
    snprintf(told.why, sizeof(told.why), "%s", why);
    if (told.of) {
        struct keystore_stats s; /* no lock is held: this must not block */
        keystore_stats(told.of, &s);
    }
    atomic_store(&told.n, n + 1);
}

struct options {
    unsigned workers, queue_max, call_timeout_ms;
    bool name_first;
    const char *pin;
};

static inline enum attest_rc
open_with(struct options o, struct keystore **ks, struct attest_error *err)
{
    const char *pin_text = o.pin ? o.pin : "12345678";
    AUTO(secret) struct secret pin = secret_copy(pin_text, strlen(pin_text));
    struct keystore_config config = {
        .uri = URI,
        .module_path = MODULE,
        .pin = &pin,
        .workers = o.workers ? o.workers : 2,
        .queue_max = o.queue_max ? o.queue_max : 64,
        .call_timeout_ms = o.call_timeout_ms ? o.call_timeout_ms : PATIENCE_MS,
        .ec_params_name_first = o.name_first,
        .on_state = on_state,
    };
    memset(&told, 0, sizeof(told));
    return keystore_open(&config, ks, err);
}

static inline struct keystore *
open_ks(struct options o)
{
    struct keystore *ks = NULL;
    struct attest_error err = {0};
    if (open_with(o, &ks, &err))
        fail_msg("open: %s", err.text);
    told.of = ks;
    return ks;
}

/* Before each test: nothing on the token, whatever the one before left. */
static inline int
fresh(void **state)
{
    (void)state;
    rules("drop module\ndrop objects");
    keystore_close(open_ks((struct options){0}));
    return 0;
}

static inline const uint8_t *
some_id(void)
{
    static uint8_t id[KEYSTORE_ID_LEN];
    random_bytes(id, sizeof(id));
    return id;
}

static inline struct key_ref
generate(struct keystore *ks)
{
    struct key_ref key;
    struct attest_error err = {0};
    if (keystore_generate(ks, some_id(), "token", "a key", &key, &err))
        fail_msg("generate: %s", err.text);
    return key;
}

static inline enum attest_rc
sign(struct keystore *ks, const struct key_ref *key)
{
    uint8_t sig[ED25519_SIG_LEN];
    enum attest_rc rc =
        keystore_sign_wait(ks, key, msg, clock_mono_ms() + 2 * PATIENCE_MS, sig, NULL);
    if (!rc)
        assert_true(pubkey_verify(&key->public_key, msg, sig));
    return rc;
}

static inline struct keystore_stats
stats(struct keystore *ks)
{
    struct keystore_stats s;
    keystore_stats(ks, &s);
    return s;
}

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        int64_t until_ = clock_mono_ms() + PATIENCE_MS;                                            \
        while (!(condition)) {                                                                     \
            if (clock_mono_ms() > until_)                                                          \
                fail_msg("waited in vain for: %s", #condition);                                    \
            usleep(2000);                                                                          \
        }                                                                                          \
    } while (0)

/* The module is told where its files are before it is loaded. */
static inline int
start_dir(void)
{
    struct attest_error err;
    char path[300];
    if (crypto_init(&err) || tempdir_make(dir) != 0)
        return -1;
    path_in_dir(path, sizeof(path), "control");
    setenv("P11_FAULT_CONTROL", path, 1);
    path_in_dir(path, sizeof(path), "log");
    setenv("P11_FAULT_LOG", path, 1);
    path_in_dir(path, sizeof(path), "objects");
    mkdir(path, 0700);
    setenv("P11_FAULT_DIR", path, 1);
    return 0;
}

#endif
