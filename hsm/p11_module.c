/* SPDX-License-Identifier: MIT */
#include "hsm/p11_module.h"

#include <dlfcn.h>
#include <string.h>

#include "base/clock.h"

#define SLOTS_MAX 1024

int64_t
p11_now_ms(void)
{
    return clock_mono_ms();
}

enum attest_rc
p11_module_load(struct p11_module *m, const char *path, struct attest_error *err)
{
    if (path[0] != '/')
        return error_set(err, ATTEST_E_CONFIG, "module: the path must be absolute");
    void *dl = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!dl)
        return error_set(err, ATTEST_E_CONFIG, "module: %s", dlerror());
    CK_C_GetFunctionList get = NULL;
    /* POSIX's way round a cast that ISO C leaves undefined. */
    *(void **)&get = dlsym(dl, "C_GetFunctionList");
    CK_FUNCTION_LIST *f = NULL;
    bool ok = get && get(&f) == CKR_OK && f;
    dlclose(dl); /* gives back the handle; the code stays */
    if (!ok)
        return error_set(err, ATTEST_E_CONFIG, "module %s: not a PKCS#11 module", path);
    if (f->version.major < 2)
        return error_set(err, ATTEST_E_CONFIG, "module %s: Cryptoki %u is too old", path,
                         f->version.major);
    *m = (struct p11_module){.f = f};
    return ATTEST_OK;
}

CK_RV
p11_module_initialize(struct p11_module *m, struct p11_conn *conn)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_RV rv = P11_CALL(conn, C_Initialize, &args);
    m->initialized = rv == CKR_OK;
    return rv;
}

void
p11_module_finalize(struct p11_module *m, struct p11_conn *conn)
{
    if (!m->initialized)
        return;
    m->initialized = false;
    P11_CALL(conn, C_Finalize, NULL);
}

static const struct {
    CK_RV rv;
    const char *name;
    enum p11_fate fate;
} results[] = {
#define ROW(name, fate)                                                                            \
    {                                                                                              \
        CKR_##name, "CKR_" #name, P11_FATE_##fate                                                  \
    }
    ROW(OK, REQUEST),
    ROW(HOST_MEMORY, TOKEN),
    ROW(SLOT_ID_INVALID, TOKEN),
    ROW(GENERAL_ERROR, SESSION),
    ROW(FUNCTION_FAILED, SESSION),
    ROW(ARGUMENTS_BAD, REQUEST),
    ROW(NEED_TO_CREATE_THREADS, MODULE),
    ROW(CANT_LOCK, MODULE),
    ROW(ATTRIBUTE_READ_ONLY, REQUEST),
    ROW(ATTRIBUTE_SENSITIVE, REQUEST),
    ROW(ATTRIBUTE_TYPE_INVALID, REQUEST),
    ROW(ATTRIBUTE_VALUE_INVALID, REQUEST),
    ROW(DATA_INVALID, REQUEST),
    ROW(DATA_LEN_RANGE, REQUEST),
    ROW(DEVICE_ERROR, TOKEN),
    ROW(DEVICE_MEMORY, TOKEN),
    ROW(DEVICE_REMOVED, TOKEN),
    ROW(FUNCTION_CANCELED, SESSION),
    ROW(FUNCTION_NOT_SUPPORTED, REQUEST),
    ROW(KEY_HANDLE_INVALID, KEY),
    ROW(KEY_TYPE_INCONSISTENT, KEY),
    ROW(KEY_FUNCTION_NOT_PERMITTED, KEY),
    ROW(MECHANISM_INVALID, TOKEN),
    ROW(MECHANISM_PARAM_INVALID, REQUEST),
    ROW(OBJECT_HANDLE_INVALID, KEY),
    ROW(OPERATION_ACTIVE, SESSION),
    ROW(OPERATION_NOT_INITIALIZED, SESSION),
    ROW(PIN_INCORRECT, PIN),
    ROW(PIN_INVALID, PIN),
    ROW(PIN_LEN_RANGE, PIN),
    ROW(PIN_EXPIRED, PIN),
    ROW(PIN_LOCKED, PIN),
    ROW(SESSION_CLOSED, SESSION),
    ROW(SESSION_COUNT, TOKEN),
    ROW(SESSION_HANDLE_INVALID, SESSION),
    ROW(SESSION_PARALLEL_NOT_SUPPORTED, TOKEN),
    ROW(SESSION_READ_ONLY, REQUEST),
    ROW(SESSION_EXISTS, REQUEST),
    ROW(SIGNATURE_INVALID, REQUEST),
    ROW(SIGNATURE_LEN_RANGE, REQUEST),
    ROW(TEMPLATE_INCOMPLETE, REQUEST),
    ROW(TEMPLATE_INCONSISTENT, REQUEST),
    ROW(TOKEN_NOT_PRESENT, TOKEN),
    ROW(TOKEN_NOT_RECOGNIZED, TOKEN),
    ROW(TOKEN_WRITE_PROTECTED, REQUEST),
    ROW(USER_ALREADY_LOGGED_IN, REQUEST),
    ROW(USER_NOT_LOGGED_IN, SESSION),
    ROW(USER_PIN_NOT_INITIALIZED, PIN),
    ROW(USER_TYPE_INVALID, PIN),
    ROW(USER_ANOTHER_ALREADY_LOGGED_IN, TOKEN),
    ROW(USER_TOO_MANY_TYPES, TOKEN),
    ROW(RANDOM_NO_RNG, REQUEST),
    ROW(DOMAIN_PARAMS_INVALID, REQUEST),
    ROW(BUFFER_TOO_SMALL, REQUEST),
    ROW(CRYPTOKI_NOT_INITIALIZED, MODULE),
    ROW(CRYPTOKI_ALREADY_INITIALIZED, MODULE),
    ROW(MUTEX_BAD, MODULE),
    ROW(MUTEX_NOT_LOCKED, MODULE),
    ROW(FUNCTION_REJECTED, TOKEN),
#undef ROW
    /* Cryptoki 3.0; p11-kit 0.24 does not name it. */
    {0x140, "CKR_CURVE_NOT_SUPPORTED", P11_FATE_REQUEST},
};

enum p11_fate
p11_fate(CK_RV rv)
{
    for (size_t i = 0; i < ARRAY_LEN(results); i++) {
        if (results[i].rv == rv)
            return results[i].fate;
    }
    /* What a vendor made up is more likely trouble with the device than with one message. */
    return P11_FATE_TOKEN;
}

const char *
p11_rv_text(char text[P11_RV_TEXT_SIZE], CK_RV rv)
{
    for (size_t i = 0; i < ARRAY_LEN(results); i++) {
        if (results[i].rv == rv) {
            snprintf(text, P11_RV_TEXT_SIZE, "%s", results[i].name);
            return text;
        }
    }
    snprintf(text, P11_RV_TEXT_SIZE, "CKR_0x%lx", rv);
    return text;
}

/* Adds len blank-padded bytes, trimmed; what is not printable becomes '?'. */
static void
append_padded(struct buf *b, const char *before, const unsigned char *p, size_t len)
{
    while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\0'))
        len--;
    if (len == 0)
        return;
    buf_str(b, before);
    for (size_t i = 0; i < len; i++)
        buf_char(b, p[i] >= 0x20 && p[i] <= 0x7e ? (char)p[i] : '?');
}

void
p11_describe(const CK_TOKEN_INFO *info, char *out, size_t out_size)
{
    AUTO(buf) struct buf b = {0};
    buf_init(&b, 512);
    append_padded(&b, "", info->manufacturerID, sizeof(info->manufacturerID));
    append_padded(&b, " ", info->model, sizeof(info->model));
    append_padded(&b, " label=", info->label, sizeof(info->label));
    append_padded(&b, " serial=", info->serialNumber, sizeof(info->serialNumber));
    snprintf(out, out_size, "%.*s", (int)b.len, b.len ? b.p : "");
}

/* Labels are padded with blanks; what libp11 0.4 initialised may be padded with NUL instead. */
static void
pad_with_blanks(unsigned char *p, size_t len)
{
    while (len > 0 && p[len - 1] == '\0')
        p[--len] = ' ';
}

/* CKR_OK with *match told; slots that cannot be read are no match. */
static CK_RV
look_at_slot(struct p11_conn *conn, const struct p11_uri *uri, const CK_INFO *module,
             CK_SLOT_ID slot, CK_TOKEN_INFO *info, bool *match)
{
    CK_SLOT_INFO slot_info;
    *match = false;
    CK_RV rv = P11_CALL(conn, C_GetSlotInfo, slot, &slot_info);
    if (rv == CKR_OK)
        rv = P11_CALL(conn, C_GetTokenInfo, slot, info);
    if (rv == CKR_CRYPTOKI_NOT_INITIALIZED)
        return rv;
    if (rv == CKR_OK)
        pad_with_blanks(info->label, sizeof(info->label));
    *match = rv == CKR_OK && (info->flags & CKF_TOKEN_INITIALIZED) &&
             p11_uri_match(uri, module, slot, &slot_info, info);
    return CKR_OK;
}

static CK_RV
list_slots(struct p11_conn *conn, CK_SLOT_ID **ret, CK_ULONG *n)
{
    /* A NULL list is also what makes modules look for new tokens. */
    CK_RV rv = P11_CALL(conn, C_GetSlotList, CK_TRUE, NULL, n);
    if (rv != CKR_OK)
        return rv;
    if (*n > SLOTS_MAX)
        *n = SLOTS_MAX;
    CK_SLOT_ID *slots = calloc(*n + 1, sizeof(*slots));
    if (!slots)
        return CKR_HOST_MEMORY;
    rv = P11_CALL(conn, C_GetSlotList, CK_TRUE, slots, n);
    if (rv != CKR_OK) {
        free(slots);
        return rv;
    }
    *ret = slots;
    return CKR_OK;
}

enum attest_rc
p11_find_slot(struct p11_conn *conn, const struct p11_uri *uri, CK_SLOT_ID *slot,
              CK_TOKEN_INFO *info, CK_RV *rv, struct attest_error *err)
{
    CK_INFO module;
    AUTO(mem) CK_SLOT_ID *slots = NULL;
    CK_ULONG n = 0;
    unsigned found = 0;
    *rv = P11_CALL(conn, C_GetInfo, &module);
    if (*rv == CKR_OK)
        *rv = list_slots(conn, &slots, &n);
    for (CK_ULONG i = 0; *rv == CKR_OK && i < n; i++) {
        CK_TOKEN_INFO candidate;
        bool match;
        *rv = look_at_slot(conn, uri, &module, slots[i], &candidate, &match);
        if (*rv == CKR_OK && match) {
            *slot = slots[i];
            *info = candidate;
            found++;
        }
    }
    if (*rv != CKR_OK)
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "%s: %s", conn->call, P11_RV_TEXT(*rv));
    if (found == 0)
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH,
                         "no initialised token matches the keystore URI");
    if (found > 1)
        return error_set(err, ATTEST_E_CONFIG,
                         "%u tokens match the keystore URI; add serial= to tell them apart", found);
    return ATTEST_OK;
}
