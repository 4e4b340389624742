/* SPDX-License-Identifier: MIT */
#ifndef HSM_P11_MODULE_H
#define HSM_P11_MODULE_H

#include <p11-kit/pkcs11.h>

#include "hsm/p11_uri.h"
#include "hsm/pool.h"

#define P11_SOFTHSM_MODULE "/usr/lib/softhsm/libsofthsm2.so" /* where distributions put it */

/*
 * One PKCS#11 module (Cryptoki 2.20 or later), loaded by us and by nobody's configuration.
 *
 * It is opened with dlopen() and not through p11-kit: p11_kit_module_load() holds a lock of the
 * whole process while it initialises, so that one hung C_Initialize would also hang those that only
 * parse a URI, and it passes mutex callbacks of its own. Code is never unmapped, because modules
 * leave threads and thread-specific destructors behind.
 */
struct p11_module {
    CK_FUNCTION_LIST *f;
    bool initialized; /* by us, so C_Finalize is ours too */
};

/* path must be absolute. ATTEST_E_CONFIG names what is wrong with it. */
enum attest_rc p11_module_load(struct p11_module *m, const char *path, struct attest_error *err);

/* A session of one thread: what it calls and where it says that it does. */
struct p11_conn {
    CK_FUNCTION_LIST *f;
    struct pool_beat *beat; /* may be NULL */
    CK_SESSION_HANDLE session;
    const char *call; /* the last one that failed, for messages */
};

/* P11_CALL(conn, C_Sign, conn->session, …): the call with its beat, and its name when it fails. */
#define P11_CALL(conn, fn, ...)                                                                    \
    ({                                                                                             \
        pool_beat_start((conn)->beat, p11_now_ms());                                               \
        CK_RV p11_rv_ = (conn)->f->fn ? (conn)->f->fn(__VA_ARGS__) : CKR_FUNCTION_NOT_SUPPORTED;   \
        pool_beat_stop((conn)->beat);                                                              \
        if (p11_rv_ != CKR_OK)                                                                     \
            (conn)->call = #fn;                                                                    \
        p11_rv_;                                                                                   \
    })
int64_t p11_now_ms(void);

/*
 * C_Initialize with CKF_OS_LOCKING_OK, C_Finalize. A module that is already initialised is
 * used by someone else in this process and CKR_CRYPTOKI_ALREADY_INITIALIZED is an error.
 */
CK_RV p11_module_initialize(struct p11_module *m, struct p11_conn *conn);
void p11_module_finalize(struct p11_module *m, struct p11_conn *conn);

/* What a failed call says about where we stand. */
enum p11_fate {
    P11_FATE_REQUEST, /* this request is at fault, nothing else */
    P11_FATE_KEY,     /* the object handle is stale: find it again */
    P11_FATE_SESSION, /* the session is: open another */
    P11_FATE_TOKEN,   /* the token is: connect again */
    P11_FATE_MODULE,  /* the module has to be initialised again */
    P11_FATE_PIN,     /* the PIN is refused: never again */
};
enum p11_fate p11_fate(CK_RV rv);

/* "CKR_PIN_INCORRECT", "CKR_0x80000123"; into text, which is returned. */
#define P11_RV_TEXT_SIZE 48
const char *p11_rv_text(char text[P11_RV_TEXT_SIZE], CK_RV rv);
#define P11_RV_TEXT(rv) p11_rv_text((char[P11_RV_TEXT_SIZE]){0}, (rv))

/*
 * The one slot whose token matches. ATTEST_E_KEY_OUT_OF_REACH when there is none now,
 * ATTEST_E_CONFIG when there are several. A failed call is left in *rv, CKR_OK otherwise.
 */
enum attest_rc p11_find_slot(struct p11_conn *conn, const struct p11_uri *uri, CK_SLOT_ID *slot,
                             CK_TOKEN_INFO *info, CK_RV *rv, struct attest_error *err);

/* "manufacturer model label=… serial=…" without padding and control characters. */
void p11_describe(const CK_TOKEN_INFO *info, char *out, size_t out_size);

#endif
