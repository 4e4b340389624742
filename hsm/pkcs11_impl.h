/* SPDX-License-Identifier: MIT */
#ifndef HSM_PKCS11_IMPL_H
#define HSM_PKCS11_IMPL_H

#include <pthread.h>

#include "hsm/keystore_impl.h"
#include "hsm/p11_key.h"

/* Shared by pkcs11.c (operations) and p11_link.c (connection, state). */

#define P11_CACHE 8  /* object handles that a worker remembers */
#define P11_KNOWN 64 /* keys that signed and are looked for again after a loss */

/* One signing session. Its worker's own; p11_link.c writes it while the pool is paused. */
struct p11_worker {
    struct p11_conn conn;
    unsigned epoch;       /* the connection that the session belongs to; 0: none */
    unsigned cache_epoch; /* handles are void when objects were destroyed since */
    _Atomic bool suspect; /* it signed what did not verify: handles may name other keys now */
    unsigned n_cached, next_cached;
    struct {
        struct key_ref key;
        CK_OBJECT_HANDLE handle;
    } cache[P11_CACHE];
};

struct p11_keystore {
    struct keystore base;
    struct keystore_config config; /* without uri, module_path and pin, which are not kept */
    struct p11_uri *uri;
    struct p11_module module;
    struct secret pin;
    struct p11_worker *workers;

    /* The control thread's. */
    struct p11_conn control;
    CK_SLOT_ID slot;
    bool login_needed;
    bool must_initialize; /* the module said so */
    int64_t poll_due_ms;

    _Atomic unsigned epoch;       /* counts connections */
    _Atomic unsigned cache_epoch; /* counts destructions */
    _Atomic bool proven;          /* something was signed since the last reconnection */
    _Atomic uint64_t reconnects;

    pthread_mutex_t lock; /* for the rest; taken before the pool's, never held in a callback */
    enum keystore_state state, reported;
    bool opened, notifying;
    char why[160];
    unsigned attempts;
    int64_t retry_due_ms;
    struct key_ref known[P11_KNOWN];
    unsigned n_known;
    char description[160];
};

/* Control thread. Everything from C_Initialize to a session for each worker. */
enum attest_rc p11_connect(struct p11_keystore *ks, bool again, struct attest_error *err);
/* Control thread, nothing else in the module. */
void p11_disconnect(struct p11_keystore *ks);

/*
 * From any thread: a call of the connection `epoch` failed. Nothing happens when that one is gone
 * already.
 */
void p11_out_of_reach(struct p11_keystore *ks, unsigned epoch, const char *call, CK_RV rv);
/* pool_ops */
int64_t p11_tend(void *ctx);
void p11_dead(void *ctx, const char *why);

/* How long to wait after so many failed attempts: doubling, from half to one and a half of it. */
#define P11_RETRY_FIRST_MS 100
#define P11_RETRY_MOST_MS 30000
int64_t p11_backoff_ms(unsigned attempts, uint32_t random);

/* Opens a session for a worker whose own is gone; the login of the application must still hold. */
CK_RV p11_worker_refresh(struct p11_keystore *ks, struct p11_worker *w);

enum keystore_state p11_state(struct p11_keystore *ks);
void p11_known_add(struct p11_keystore *ks, const struct key_ref *key);
void p11_known_drop(struct p11_keystore *ks, const struct key_ref *key);
bool p11_known_has(struct p11_keystore *ks, const struct key_ref *key);

#endif
