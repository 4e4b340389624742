/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/clock.h"
#include "hsm/pkcs11_impl.h"

/* The connection to the token: how it is made, lost, and made again. */

#define POLL_MS 5000
/* After this many attempts the module is initialised anew: some look for tokens only then. */
#define ATTEMPTS_BEFORE_RESTART 2

/* ---- keys that signed ---- */

static bool
ref_eq(const struct key_ref *a, const struct key_ref *b)
{
    return !memcmp(a->id, b->id, sizeof(a->id)) && pubkey_eq(&a->public_key, &b->public_key);
}

void
p11_known_add(struct p11_keystore *ks, const struct key_ref *key)
{
    pthread_mutex_lock(&ks->lock);
    bool seen = false;
    for (unsigned i = 0; i < ks->n_known; i++)
        seen = seen || ref_eq(&ks->known[i], key);
    if (!seen && ks->n_known < P11_KNOWN)
        ks->known[ks->n_known++] = *key;
    pthread_mutex_unlock(&ks->lock);
}

void
p11_known_drop(struct p11_keystore *ks, const struct key_ref *key)
{
    pthread_mutex_lock(&ks->lock);
    for (unsigned i = 0; i < ks->n_known; i++) {
        if (ref_eq(&ks->known[i], key)) {
            ks->known[i] = ks->known[--ks->n_known];
            break;
        }
    }
    pthread_mutex_unlock(&ks->lock);
}

bool
p11_known_has(struct p11_keystore *ks, const struct key_ref *key)
{
    bool has = false;
    pthread_mutex_lock(&ks->lock);
    for (unsigned i = 0; i < ks->n_known; i++)
        has = has || ref_eq(&ks->known[i], key);
    pthread_mutex_unlock(&ks->lock);
    return has;
}

/* ---- connecting ---- */

static enum attest_rc
call_error(const struct p11_conn *conn, CK_RV rv, struct attest_error *err)
{
    return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "%s: %s", conn->call, P11_RV_TEXT(rv));
}

static enum attest_rc
initialize(struct p11_keystore *ks, bool again, unsigned lost, struct attest_error *err)
{
    /* Never under a call that hangs: it would find its module gone. */
    if (again && lost == 0 && (ks->must_initialize || ks->attempts >= ATTEMPTS_BEFORE_RESTART))
        p11_module_finalize(&ks->module, &ks->control);
    if (ks->module.initialized && !ks->must_initialize)
        return ATTEST_OK;
    CK_RV rv = p11_module_initialize(&ks->module, &ks->control);
    if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED && again)
        ks->module.initialized = true; /* by our first call: no one else did meanwhile */
    else if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED)
        return error_set(err, ATTEST_E_CONFIG, "the PKCS#11 module is in use in this process");
    else if (rv != CKR_OK)
        return call_error(&ks->control, rv, err);
    ks->must_initialize = false;
    return ATTEST_OK;
}

/* A locked PIN, or one wrong PIN away from it, is left for a person to deal with. */
static enum attest_rc
check_pin_flags(const CK_TOKEN_INFO *info, struct attest_error *err)
{
    static const struct {
        CK_FLAGS flag;
        const char *text;
    } refused[] = {
        {CKF_USER_PIN_LOCKED, "the user PIN is locked"},
        {CKF_USER_PIN_FINAL_TRY, "one more wrong PIN would lock the token; log in by hand first"},
        {CKF_USER_PIN_TO_BE_CHANGED, "the user PIN must be changed first: attestctl hsm pin"},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (info->flags & refused[i].flag)
            return error_set(err, ATTEST_E_PIN, "%s", refused[i].text);
    }
    return ATTEST_OK;
}

static enum attest_rc
login(struct p11_keystore *ks, const CK_TOKEN_INFO *info, struct attest_error *err)
{
    bool pad = info->flags & CKF_PROTECTED_AUTHENTICATION_PATH;
    ks->login_needed = info->flags & CKF_LOGIN_REQUIRED;
    if (!ks->login_needed)
        return ATTEST_OK;
    enum attest_rc rc = check_pin_flags(info, err);
    if (rc)
        return rc;
    if (!ks->pin.p && !pad)
        return error_set(err, ATTEST_E_PIN, "the token asks for a PIN and none is configured");
    CK_RV rv = P11_CALL(&ks->control, C_Login, ks->control.session, (CK_USER_TYPE)CKU_USER,
                        ks->pin.p, ks->pin.len);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
        return ATTEST_OK;
    if (p11_fate(rv) == P11_FATE_PIN)
        return error_set(err, ATTEST_E_PIN, "C_Login: %s; the PIN is not tried again",
                         P11_RV_TEXT(rv));
    return call_error(&ks->control, rv, err);
}

static CK_RV
open_session(struct p11_conn *conn, CK_SLOT_ID slot, bool writing)
{
    CK_FLAGS flags = CKF_SERIAL_SESSION | (writing ? CKF_RW_SESSION : 0);
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_RV rv = P11_CALL(conn, C_OpenSession, slot, flags, NULL, NULL, &session);
    conn->session = rv == CKR_OK ? session : CK_INVALID_HANDLE;
    return rv;
}

static enum attest_rc
open_workers(struct p11_keystore *ks, unsigned epoch, struct attest_error *err)
{
    for (unsigned i = 0; i < ks->config.workers; i++) {
        struct p11_worker *w = &ks->workers[i];
        if (pool_worker_lost(ks->base.pool, i))
            continue; /* still inside a call; it refreshes itself should it come back */
        /* Opened by this thread, so this thread's beat must cover it. */
        struct p11_conn conn = {.f = ks->module.f, .beat = ks->control.beat};
        CK_RV rv = open_session(&conn, ks->slot, false);
        if (rv == CKR_SESSION_COUNT)
            return error_set(err, ATTEST_E_CONFIG,
                             "the token allows %u signing sessions; set "
                             "workers to that",
                             i);
        if (rv != CKR_OK)
            return call_error(&conn, rv, err);
        w->conn.session = conn.session;
        w->epoch = epoch;
        w->n_cached = 0;
    }
    return ATTEST_OK;
}

/*
 * A token that came back without any key that signed before is not yet the one that went. Keys
 * missing while others are there were destroyed by someone, and are forgotten.
 */
static enum attest_rc
find_known(struct p11_keystore *ks, struct attest_error *err)
{
    struct key_ref known[P11_KNOWN];
    bool found[P11_KNOWN] = {false};
    bool any = false;
    pthread_mutex_lock(&ks->lock);
    unsigned n = ks->n_known;
    memcpy(known, ks->known, n * sizeof(known[0]));
    pthread_mutex_unlock(&ks->lock);
    for (unsigned i = 0; i < n; i++) {
        struct p11_pair pair;
        CK_RV rv = p11_key_find(&ks->control, &known[i], &pair);
        if (rv != CKR_OK)
            return call_error(&ks->control, rv, err);
        found[i] = pair.private_key != CK_INVALID_HANDLE;
        any = any || found[i];
    }
    if (n > 0 && !any)
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH,
                         "the token is there, but none of the keys that signed before");
    for (unsigned i = 0; i < n; i++) {
        if (!found[i])
            p11_known_drop(ks, &known[i]);
    }
    return ATTEST_OK;
}

static enum attest_rc
connect_paused(struct p11_keystore *ks, bool again, unsigned lost, struct attest_error *err)
{
    CK_TOKEN_INFO info;
    CK_RV rv;
    enum attest_rc rc = ATTEST_OK;
    for (int tries = 0; tries < 2; tries++) {
        rc = initialize(ks, again, lost, err);
        if (rc)
            return rc;
        rc = p11_find_slot(&ks->control, ks->uri, &ks->slot, &info, &rv, err);
        ks->must_initialize = rv == CKR_CRYPTOKI_NOT_INITIALIZED;
        if (!ks->must_initialize)
            break;
    }
    if (rc)
        return rc;
    if (again)
        P11_CALL(&ks->control, C_CloseAllSessions, ks->slot);
    rv = open_session(&ks->control, ks->slot, !(info.flags & CKF_WRITE_PROTECTED));
    if (rv != CKR_OK)
        return call_error(&ks->control, rv, err);
    unsigned epoch = atomic_load(&ks->epoch) + 1;
    rc = login(ks, &info, err);
    if (!rc)
        rc = open_workers(ks, epoch, err);
    if (!rc)
        rc = find_known(ks, err);
    if (rc)
        return rc;
    atomic_store(&ks->epoch, epoch);
    pthread_mutex_lock(&ks->lock);
    p11_describe(&info, ks->description, sizeof(ks->description));
    pthread_mutex_unlock(&ks->lock);
    ks->poll_due_ms = clock_mono_ms() + POLL_MS;
    return ATTEST_OK;
}

enum attest_rc
p11_connect(struct p11_keystore *ks, bool again, struct attest_error *err)
{
    unsigned lost = pool_pause(ks->base.pool);
    enum attest_rc rc = connect_paused(ks, again, lost, err);
    pool_resume(ks->base.pool);
    return rc;
}

void
p11_disconnect(struct p11_keystore *ks)
{
    /* Nothing more is told, and p11_tend() must not connect again behind our back. */
    pthread_mutex_lock(&ks->lock);
    ks->opened = false;
    ks->state = KEYSTORE_LOST;
    pthread_mutex_unlock(&ks->lock);
    if (pool_pause(ks->base.pool) == 0) {
        if (ks->module.initialized)
            P11_CALL(&ks->control, C_CloseAllSessions, ks->slot);
        p11_module_finalize(&ks->module, &ks->control);
    }
    pool_resume(ks->base.pool);
}

CK_RV
p11_worker_refresh(struct p11_keystore *ks, struct p11_worker *w)
{
    unsigned epoch = atomic_load(&ks->epoch);
    w->n_cached = 0;
    if (w->conn.session != CK_INVALID_HANDLE)
        P11_CALL(&w->conn, C_CloseSession, w->conn.session);
    CK_RV rv = open_session(&w->conn, ks->slot, false);
    CK_SESSION_INFO info;
    if (rv == CKR_OK)
        rv = P11_CALL(&w->conn, C_GetSessionInfo, w->conn.session, &info);
    if (rv != CKR_OK)
        return rv;
    /* Logging in is the control thread's: one place that counts how often a PIN is tried. */
    if (ks->login_needed && info.state != CKS_RO_USER_FUNCTIONS)
        return CKR_USER_NOT_LOGGED_IN;
    w->epoch = epoch;
    return CKR_OK;
}

/* ---- state ---- */

enum keystore_state
p11_state(struct p11_keystore *ks)
{
    pthread_mutex_lock(&ks->lock);
    enum keystore_state state = ks->state;
    pthread_mutex_unlock(&ks->lock);
    return state;
}

/* Tells each change in order and without a lock; whoever is telling tells what comes meanwhile. */
static void
notify(struct p11_keystore *ks)
{
    pthread_mutex_lock(&ks->lock);
    if (!ks->notifying && ks->opened) {
        ks->notifying = true;
        while (ks->state != ks->reported) {
            char why[sizeof(ks->why)];
            enum keystore_state state = ks->reported = ks->state;
            memcpy(why, ks->why, sizeof(why));
            pthread_mutex_unlock(&ks->lock);
            if (ks->config.on_state)
                ks->config.on_state(ks->config.ctx, state, why);
            pthread_mutex_lock(&ks->lock);
        }
        ks->notifying = false;
    }
    pthread_mutex_unlock(&ks->lock);
}

int64_t
p11_backoff_ms(unsigned attempts, uint32_t random)
{
    int64_t ms = P11_RETRY_FIRST_MS;
    for (unsigned i = 1; i < attempts && ms < P11_RETRY_MOST_MS; i++)
        ms *= 2;
    if (ms > P11_RETRY_MOST_MS)
        ms = P11_RETRY_MOST_MS;
    return ms / 2 + (int64_t)(random % (uint32_t)(ms + 1));
}

/* Lock held. One more attempt has failed: when the next is due. */
static void
count_attempt(struct p11_keystore *ks)
{
    uint32_t random;
    random_bytes(&random, sizeof(random));
    ks->attempts++;
    ks->retry_due_ms = clock_mono_ms() + p11_backoff_ms(ks->attempts, random);
}

/* Leaves READY for good or for now. Lock not held. */
static void
leave_ready(struct p11_keystore *ks, enum keystore_state state, const char *why)
{
    pthread_mutex_lock(&ks->lock);
    struct pool_job *refused = NULL;
    if (ks->state != KEYSTORE_LOST) {
        ks->state = state;
        snprintf(ks->why, sizeof(ks->why), "%s", why);
        refused = pool_close_gate(ks->base.pool);
    }
    pthread_mutex_unlock(&ks->lock);
    pool_refuse(ks->base.pool, refused);
    notify(ks);
}

void
p11_out_of_reach(struct p11_keystore *ks, unsigned epoch, const char *call, CK_RV rv)
{
    struct pool_job *refused = NULL;
    pthread_mutex_lock(&ks->lock);
    bool mine = ks->state == KEYSTORE_READY && epoch == atomic_load(&ks->epoch);
    if (mine) {
        ks->state = KEYSTORE_OUT_OF_REACH;
        snprintf(ks->why, sizeof(ks->why), "%s: %s", call ? call : "token",
                 rv == CKR_OK ? "a key that signed before is gone" : P11_RV_TEXT(rv));
        /* A connection that never signed anything is no success: do not start at once again. */
        if (atomic_load(&ks->proven)) {
            ks->attempts = 0;
            ks->retry_due_ms = clock_mono_ms();
        } else {
            count_attempt(ks);
        }
        refused = pool_close_gate(ks->base.pool);
    }
    pthread_mutex_unlock(&ks->lock);
    if (!mine)
        return;
    pool_refuse(ks->base.pool, refused);
    notify(ks);
    pool_wake_control(ks->base.pool);
}

void
p11_dead(void *ctx, const char *why)
{
    leave_ready(ctx, KEYSTORE_LOST, why);
}

static void
reconnect(struct p11_keystore *ks)
{
    struct attest_error err = {0};
    enum attest_rc rc = p11_connect(ks, true, &err);
    if (rc == ATTEST_E_PIN) {
        secret_free(&ks->pin);
        leave_ready(ks, KEYSTORE_PIN_REFUSED, err.text);
        return;
    }
    pthread_mutex_lock(&ks->lock);
    if (rc) {
        count_attempt(ks);
    } else if (ks->state == KEYSTORE_OUT_OF_REACH) {
        atomic_store(&ks->proven, false);
        atomic_fetch_add(&ks->reconnects, 1);
        ks->state = KEYSTORE_READY;
        snprintf(ks->why, sizeof(ks->why), "connected again");
        pool_open_gate(ks->base.pool);
    }
    pthread_mutex_unlock(&ks->lock);
    notify(ks);
}

/* Notices a lost token before a request does, and keeps an idle session from expiring. */
static void
poll_token(struct p11_keystore *ks)
{
    CK_SESSION_INFO info;
    ks->poll_due_ms = clock_mono_ms() + POLL_MS;
    CK_RV rv = P11_CALL(&ks->control, C_GetSessionInfo, ks->control.session, &info);
    if (rv == CKR_OK && ks->login_needed && info.state != CKS_RW_USER_FUNCTIONS &&
        info.state != CKS_RO_USER_FUNCTIONS)
        rv = CKR_USER_NOT_LOGGED_IN;
    if (rv != CKR_OK) {
        ks->must_initialize = rv == CKR_CRYPTOKI_NOT_INITIALIZED;
        p11_out_of_reach(ks, atomic_load(&ks->epoch), "C_GetSessionInfo", rv);
    }
}

int64_t
p11_tend(void *ctx)
{
    struct p11_keystore *ks = ctx;
    if (p11_state(ks) == KEYSTORE_READY && clock_mono_ms() >= ks->poll_due_ms)
        poll_token(ks);
    pthread_mutex_lock(&ks->lock);
    bool due = ks->state == KEYSTORE_OUT_OF_REACH && clock_mono_ms() >= ks->retry_due_ms;
    pthread_mutex_unlock(&ks->lock);
    if (due)
        reconnect(ks);
    pthread_mutex_lock(&ks->lock);
    int64_t next_ms = ks->state == KEYSTORE_READY          ? ks->poll_due_ms
                      : ks->state == KEYSTORE_OUT_OF_REACH ? ks->retry_due_ms
                                                           : INT64_MAX;
    pthread_mutex_unlock(&ks->lock);
    return next_ms;
}
