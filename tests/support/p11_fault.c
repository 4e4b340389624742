/* SPDX-License-Identifier: MIT */
#include "tests/support/p11_fault.h"

#include <sodium.h>
#include <string.h>

/* The Cryptoki calls; p11_fault.h says what they can be told to do. */

#define SLOT 17UL
#define SESSIONS_MAX 256
#define TEMPLATE_MAX 8

struct session {
    CK_SESSION_HANDLE handle; /* 0: free */
    CK_FLAGS flags;
    bool finding;
    CK_ATTRIBUTE template[TEMPLATE_MAX];
    uint8_t values[TEMPLATE_MAX][FAULT_TEXT_MAX];
    CK_ULONG n_template;
    CK_OBJECT_HANDLE find_next, sign_key;
};

/* Held for bookkeeping only: never while a rule sleeps, never while a signature is computed. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool initialized, logged_in;
static struct session sessions[SESSIONS_MAX];
static CK_SESSION_HANDLE next_handle = 1;

static void
close_session(struct session *s)
{
    fault_objects_end_session(s->handle);
    memset(s, 0, sizeof(*s));
}

static void
close_all(void)
{
    for (unsigned i = 0; i < SESSIONS_MAX; i++) {
        if (sessions[i].handle)
            close_session(&sessions[i]);
    }
    logged_in = false;
}

static struct session *
session_of(CK_SESSION_HANDLE handle)
{
    for (unsigned i = 0; handle && i < SESSIONS_MAX; i++) {
        if (sessions[i].handle == handle)
            return &sessions[i];
    }
    return NULL;
}

static void
apply_drops(const struct fault_settings *set)
{
    struct fault_drops d = fault_drops_take();
    if (d.sessions || d.module || set->absent)
        close_all();
    if (d.sessions)
        fault_objects_shuffle();
    if (d.login)
        logged_in = false;
    if (d.objects)
        fault_objects_clear(true);
    if (d.module)
        initialized = false;
}

/*
 * The start of every call: the rules, then the lock, which the caller gives up with leave(). When
 * the answer is there already, *rv tells it and the lock is held all the same.
 */
static struct fault_verdict
enter(enum fault_call call, struct fault_settings *set, CK_RV *rv)
{
    struct fault_verdict v = fault_enter(call);
    fault_settings_get(set);
    pthread_mutex_lock(&lock);
    apply_drops(set);
    *rv = v.rv;
    if (v.rv == CKR_OK && !initialized && call != FAULT_C_Initialize)
        *rv = CKR_CRYPTOKI_NOT_INITIALIZED;
    return v;
}

static CK_RV
leave(CK_RV rv)
{
    pthread_mutex_unlock(&lock);
    return rv;
}

#define ENTER(name)                                                                                \
    struct fault_settings set;                                                                     \
    CK_RV rv;                                                                                      \
    struct fault_verdict verdict = enter(FAULT_##name, &set, &rv);                                 \
    (void)verdict;                                                                                 \
    if (rv != CKR_OK)                                                                              \
    return leave(rv)

#define ENTER_SESSION(name, handle)                                                                \
    ENTER(name);                                                                                   \
    struct session *s = session_of(handle);                                                        \
    if (!s)                                                                                        \
    return leave(CKR_SESSION_HANDLE_INVALID)

static void
pad(unsigned char *out, size_t size, const char *text, char with)
{
    memset(out, with, size);
    memcpy(out, text, strlen(text) < size ? strlen(text) : size);
}

/* ---- general ---- */

static CK_RV
fault_C_Initialize(void *args)
{
    (void)args;
    if (sodium_init() < 0)
        return CKR_GENERAL_ERROR;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fault_rules_init);
    ENTER(C_Initialize);
    if (initialized)
        return leave(CKR_CRYPTOKI_ALREADY_INITIALIZED);
    initialized = true;
    fault_objects_load();
    return leave(CKR_OK);
}

static CK_RV
fault_C_Finalize(void *reserved)
{
    (void)reserved;
    ENTER(C_Finalize);
    close_all();
    initialized = false;
    return leave(CKR_OK);
}

static CK_RV
fault_C_GetInfo(CK_INFO *info)
{
    ENTER(C_GetInfo);
    *info = (CK_INFO){.cryptokiVersion = {2, 40}, .libraryVersion = {0, 1}};
    pad(info->manufacturerID, sizeof(info->manufacturerID), "attestd tests", ' ');
    pad(info->libraryDescription, sizeof(info->libraryDescription), "fault module", ' ');
    return leave(CKR_OK);
}

static CK_RV
fault_C_GetSlotList(unsigned char present, CK_SLOT_ID *list, CK_ULONG *count)
{
    ENTER(C_GetSlotList);
    CK_ULONG n = present && set.absent ? 0 : 1;
    if (list && *count < n)
        return leave(CKR_BUFFER_TOO_SMALL);
    if (list && n)
        list[0] = SLOT;
    *count = n;
    return leave(CKR_OK);
}

static CK_RV
fault_C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    ENTER(C_GetSlotInfo);
    if (slot != SLOT)
        return leave(CKR_SLOT_ID_INVALID);
    *info = (CK_SLOT_INFO){.flags = CKF_REMOVABLE_DEVICE | (set.absent ? 0 : CKF_TOKEN_PRESENT)};
    pad(info->slotDescription, sizeof(info->slotDescription), "fault slot", ' ');
    pad(info->manufacturerID, sizeof(info->manufacturerID), "attestd tests", ' ');
    return leave(CKR_OK);
}

static CK_RV
fault_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    ENTER(C_GetTokenInfo);
    if (slot != SLOT)
        return leave(CKR_SLOT_ID_INVALID);
    if (set.absent)
        return leave(CKR_TOKEN_NOT_PRESENT);
    *info = (CK_TOKEN_INFO){
        .flags = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED | CKF_RNG |
                 (set.no_login ? 0 : CKF_LOGIN_REQUIRED) |
                 (set.pin_final_try ? CKF_USER_PIN_FINAL_TRY : 0) |
                 (set.pin_locked ? CKF_USER_PIN_LOCKED : 0) |
                 (set.write_protected ? CKF_WRITE_PROTECTED : 0),
        .ulMaxSessionCount = set.sessions_max,
        .ulMinPinLen = 4,
        .ulMaxPinLen = 63,
    };
    pad(info->label, sizeof(info->label), set.label, set.nul_padded ? '\0' : ' ');
    pad(info->manufacturerID, sizeof(info->manufacturerID), "attestd tests", ' ');
    pad(info->model, sizeof(info->model), "fault", ' ');
    pad(info->serialNumber, sizeof(info->serialNumber), "0001", ' ');
    return leave(CKR_OK);
}

static CK_RV
fault_C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    ENTER(C_GetMechanismList);
    if (slot != SLOT)
        return leave(CKR_SLOT_ID_INVALID);
    if (list && *count < 2)
        return leave(CKR_BUFFER_TOO_SMALL);
    if (list) {
        list[0] = CKM_EC_EDWARDS_KEY_PAIR_GEN;
        list[1] = CKM_EDDSA;
    }
    *count = 2;
    return leave(CKR_OK);
}

static CK_RV
fault_C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    ENTER(C_GetMechanismInfo);
    if (slot != SLOT)
        return leave(CKR_SLOT_ID_INVALID);
    if (type != CKM_EC_EDWARDS_KEY_PAIR_GEN && type != CKM_EDDSA)
        return leave(CKR_MECHANISM_INVALID);
    *info = (CK_MECHANISM_INFO){255, 255, type == CKM_EDDSA ? CKF_SIGN : CKF_GENERATE_KEY_PAIR};
    return leave(CKR_OK);
}

/* ---- sessions ---- */

static CK_RV
fault_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                    CK_SESSION_HANDLE *handle)
{
    (void)application;
    (void)notify;
    ENTER(C_OpenSession);
    if (slot != SLOT)
        return leave(CKR_SLOT_ID_INVALID);
    if (set.absent)
        return leave(CKR_TOKEN_NOT_PRESENT);
    unsigned open = 0;
    struct session *s = NULL;
    for (unsigned i = 0; i < SESSIONS_MAX; i++) {
        open += sessions[i].handle != 0;
        if (!s && !sessions[i].handle)
            s = &sessions[i];
    }
    if (!s || (set.sessions_max && open >= set.sessions_max))
        return leave(CKR_SESSION_COUNT);
    if (set.write_protected && (flags & CKF_RW_SESSION))
        return leave(CKR_TOKEN_WRITE_PROTECTED);
    s->handle = next_handle++;
    s->flags = flags;
    *handle = s->handle;
    return leave(CKR_OK);
}

static CK_RV
fault_C_CloseSession(CK_SESSION_HANDLE handle)
{
    ENTER_SESSION(C_CloseSession, handle);
    close_session(s);
    return leave(CKR_OK);
}

static CK_RV
fault_C_CloseAllSessions(CK_SLOT_ID slot)
{
    ENTER(C_CloseAllSessions);
    if (slot != SLOT)
        return leave(CKR_SLOT_ID_INVALID);
    close_all();
    return leave(CKR_OK);
}

static CK_RV
fault_C_GetSessionInfo(CK_SESSION_HANDLE handle, CK_SESSION_INFO *info)
{
    ENTER_SESSION(C_GetSessionInfo, handle);
    bool rw = s->flags & CKF_RW_SESSION;
    *info = (CK_SESSION_INFO){.slotID = SLOT, .flags = s->flags};
    if (logged_in)
        info->state = rw ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS;
    else
        info->state = rw ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION;
    return leave(CKR_OK);
}

static CK_RV
fault_C_Login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, unsigned char *pin, CK_ULONG len)
{
    ENTER_SESSION(C_Login, handle);
    if (user != CKU_USER)
        return leave(CKR_USER_TYPE_INVALID);
    if (logged_in)
        return leave(CKR_USER_ALREADY_LOGGED_IN);
    if (set.pin_locked)
        return leave(CKR_PIN_LOCKED);
    if (len != strlen(set.pin) || memcmp(pin, set.pin, len) != 0)
        return leave(CKR_PIN_INCORRECT);
    logged_in = true;
    return leave(CKR_OK);
}

static CK_RV
fault_C_Logout(CK_SESSION_HANDLE handle)
{
    ENTER_SESSION(C_Logout, handle);
    if (!logged_in)
        return leave(CKR_USER_NOT_LOGGED_IN);
    logged_in = false;
    return leave(CKR_OK);
}

/* ---- objects ---- */

static bool
may_use_private(const struct fault_settings *set)
{
    return logged_in || set->no_login;
}

static CK_RV
fault_C_GenerateKeyPair(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_t,
                        CK_ULONG n_public, CK_ATTRIBUTE *private_t, CK_ULONG n_private,
                        CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    ENTER_SESSION(C_GenerateKeyPair, handle);
    if (mechanism->mechanism != CKM_EC_EDWARDS_KEY_PAIR_GEN)
        return leave(CKR_MECHANISM_INVALID);
    if (!may_use_private(&set))
        return leave(CKR_USER_NOT_LOGGED_IN);
    if (!(s->flags & CKF_RW_SESSION))
        return leave(CKR_SESSION_READ_ONLY);
    return leave(fault_objects_generate(&set, handle, public_t, n_public, private_t, n_private,
                                        public_key, private_key));
}

static CK_RV
fault_C_CreateObject(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
    ENTER_SESSION(C_CreateObject, handle);
    if (!may_use_private(&set))
        return leave(CKR_USER_NOT_LOGGED_IN);
    if (!(s->flags & CKF_RW_SESSION))
        return leave(CKR_SESSION_READ_ONLY);
    return leave(fault_data_create(t, n, ret));
}

static CK_RV
fault_C_DestroyObject(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object)
{
    ENTER_SESSION(C_DestroyObject, handle);
    if (!(s->flags & CKF_RW_SESSION))
        return leave(CKR_SESSION_READ_ONLY);
    return leave(fault_objects_destroy(object));
}

static CK_RV
fault_C_GetAttributeValue(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t,
                          CK_ULONG n)
{
    ENTER_SESSION(C_GetAttributeValue, handle);
    return leave(fault_objects_attributes(&set, may_use_private(&set), object, t, n));
}

static CK_RV
fault_C_FindObjectsInit(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *t, CK_ULONG n)
{
    ENTER_SESSION(C_FindObjectsInit, handle);
    if (s->finding)
        return leave(CKR_OPERATION_ACTIVE);
    if (n > TEMPLATE_MAX)
        return leave(CKR_TEMPLATE_INCONSISTENT);
    for (CK_ULONG i = 0; i < n; i++) {
        if (t[i].ulValueLen > FAULT_TEXT_MAX)
            return leave(CKR_ATTRIBUTE_VALUE_INVALID);
        s->template[i] = (CK_ATTRIBUTE){t[i].type, s->values[i], t[i].ulValueLen};
        memcpy(s->values[i], t[i].pValue, t[i].ulValueLen);
    }
    s->n_template = n;
    s->finding = true;
    s->find_next = 1;
    return leave(CKR_OK);
}

static CK_RV
fault_C_FindObjects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *out, CK_ULONG max, CK_ULONG *n)
{
    ENTER_SESSION(C_FindObjects, handle);
    if (!s->finding)
        return leave(CKR_OPERATION_NOT_INITIALIZED);
    *n = 0;
    while (*n < max) {
        CK_OBJECT_HANDLE found = fault_objects_next(&set, may_use_private(&set), s->template,
                                                    s->n_template, &s->find_next);
        if (!found)
            break;
        out[(*n)++] = found;
    }
    return leave(CKR_OK);
}

static CK_RV
fault_C_FindObjectsFinal(CK_SESSION_HANDLE handle)
{
    ENTER_SESSION(C_FindObjectsFinal, handle);
    if (!s->finding)
        return leave(CKR_OPERATION_NOT_INITIALIZED);
    s->finding = false;
    return leave(CKR_OK);
}

/* ---- signing ---- */

static CK_RV
fault_C_SignInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    ENTER_SESSION(C_SignInit, handle);
    if (mechanism->mechanism != CKM_EDDSA)
        return leave(CKR_MECHANISM_INVALID);
    if (mechanism->pParameter || mechanism->ulParameterLen)
        return leave(CKR_MECHANISM_PARAM_INVALID);
    if (s->sign_key)
        return leave(CKR_OPERATION_ACTIVE);
    if (!may_use_private(&set))
        return leave(CKR_USER_NOT_LOGGED_IN);
    if (!fault_objects_private(key))
        return leave(CKR_KEY_HANDLE_INVALID);
    s->sign_key = key;
    return leave(CKR_OK);
}

static CK_RV
fault_C_Sign(CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG data_len, unsigned char *sig,
             CK_ULONG *sig_len)
{
    struct fault_settings set;
    CK_RV rv;
    struct fault_verdict verdict = enter(FAULT_C_Sign, &set, &rv);
    struct session *s = session_of(handle);
    if (rv == CKR_OK && !s)
        rv = CKR_SESSION_HANDLE_INVALID;
    if (rv == CKR_OK && !s->sign_key)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    if (rv == CKR_OK && (!sig || *sig_len < crypto_sign_BYTES)) {
        *sig_len = crypto_sign_BYTES;
        return leave(sig ? CKR_BUFFER_TOO_SMALL : CKR_OK);
    }
    /* Whatever comes of it, the operation is over. */
    const struct fault_pair *pair = s ? fault_objects_private(s->sign_key) : NULL;
    if (s)
        s->sign_key = CK_INVALID_HANDLE;
    if (rv == CKR_OK && !pair)
        rv = CKR_KEY_HANDLE_INVALID;
    if (rv != CKR_OK)
        return leave(rv);
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    memcpy(secret, pair->secret, sizeof(secret));
    leave(CKR_OK);
    crypto_sign_detached(sig, NULL, data, data_len, secret);
    *sig_len = verdict.shortened ? crypto_sign_BYTES - 1 : crypto_sign_BYTES;
    if (verdict.wrong)
        sig[7] ^= 0x10;
    fault_end(&verdict);
    return CKR_OK;
}

static CK_FUNCTION_LIST functions = {.version = {2, 40},
#define ROW(name) .name = fault_##name,
                                     FAULT_CALLS(ROW)
#undef ROW
};

/* The one symbol that leaves the module. */
__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    functions.C_GetFunctionList = C_GetFunctionList;
    *list = &functions;
    return CKR_OK;
}
