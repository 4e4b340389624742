/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "hsm/p11_key.h"
#include "hsm/token_admin_impl.h"

/* What a token says and does, asked through Cryptoki itself: libp11 0.4.12 knows no Ed25519. */

struct visit {
    struct p11_module module;
    struct p11_conn conn;
};

static void
visit_auto(struct visit *v)
{
    if (v->module.f)
        p11_module_finalize(&v->module, &v->conn);
}

static enum attest_rc
call_failed(const struct p11_conn *conn, CK_RV rv, struct attest_error *err)
{
    bool pin = p11_fate(rv) == P11_FATE_PIN;
    return error_set(err, pin ? ATTEST_E_PIN : ATTEST_E_KEY_OUT_OF_REACH, "%s: %s", conn->call,
                     P11_RV_TEXT(rv));
}

static enum attest_rc
visit_initialize(struct visit *v, struct attest_error *err)
{
    v->conn = (struct p11_conn){.f = v->module.f};
    CK_RV rv = p11_module_initialize(&v->module, &v->conn);
    return rv == CKR_OK ? ATTEST_OK : call_failed(&v->conn, rv, err);
}

static enum attest_rc
visit_begin(struct visit *v, const char *path, struct attest_error *err)
{
    enum attest_rc rc = p11_module_load(&v->module, path, err);
    return rc ? rc : visit_initialize(v, err);
}

const char *
token_module_path(const char *module, const struct p11_uri *uri)
{
    if (!module && uri)
        module = p11_uri_module_path(uri);
    return module ? module : P11_SOFTHSM_MODULE;
}

enum attest_rc
token_slot_of(const char *module, const char *text, unsigned long *slot_id,
              struct attest_error *err)
{
    AUTO(p11_uri) struct p11_uri *uri = NULL;
    AUTO(visit) struct visit v = {0};
    CK_TOKEN_INFO info;
    CK_RV rv;
    enum attest_rc rc = p11_uri_parse(text, &uri, err);
    if (!rc)
        rc = visit_begin(&v, token_module_path(module, uri), err);
    if (!rc)
        rc = p11_find_slot(&v.conn, uri, slot_id, &info, &rv, err);
    return rc;
}

enum attest_rc
token_pin_fits(const char *module, unsigned long slot_id, size_t so_len, size_t pin_len,
               struct attest_error *err)
{
    AUTO(visit) struct visit v = {0};
    CK_TOKEN_INFO info;
    enum attest_rc rc = visit_begin(&v, token_module_path(module, NULL), err);
    if (rc)
        return rc;
    CK_RV rv = P11_CALL(&v.conn, C_GetTokenInfo, slot_id, &info);
    if (rv != CKR_OK)
        return call_failed(&v.conn, rv, err);
    size_t lens[] = {so_len, pin_len};
    static const char *const names[] = {"security officer's PIN", "user PIN"};
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        if (lens[i] < info.ulMinPinLen || (info.ulMaxPinLen && lens[i] > info.ulMaxPinLen))
            return error_set(err, ATTEST_E_PIN, "%s: the token takes %lu to %lu bytes", names[i],
                             info.ulMinPinLen, info.ulMaxPinLen);
    }
    return ATTEST_OK;
}

/* Blank-padded bytes as trimmed printable text; out has len + 1 bytes. */
static void
copy_padded(char *out, const unsigned char *p, size_t len)
{
    while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\0'))
        len--;
    for (size_t i = 0; i < len; i++)
        out[i] = p[i] >= 0x20 && p[i] <= 0x7e ? (char)p[i] : '?';
    out[len] = '\0';
}

static void
fill_slot(struct token_slot *ret, CK_SLOT_ID slot, const CK_SLOT_INFO *slot_info,
          const CK_TOKEN_INFO *info)
{
    *ret = (struct token_slot){.slot_id = slot, .present = true};
    copy_padded(ret->description, slot_info->slotDescription, sizeof(slot_info->slotDescription));
    copy_padded(ret->label, info->label, sizeof(info->label));
    copy_padded(ret->manufacturer, info->manufacturerID, sizeof(info->manufacturerID));
    copy_padded(ret->model, info->model, sizeof(info->model));
    copy_padded(ret->serial, info->serialNumber, sizeof(info->serialNumber));
    ret->initialized = info->flags & CKF_TOKEN_INITIALIZED;
    ret->pin_set = info->flags & CKF_USER_PIN_INITIALIZED;
    ret->pin_locked = info->flags & CKF_USER_PIN_LOCKED;
}

static bool
mechanism_does(struct p11_conn *conn, CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_FLAGS what)
{
    CK_MECHANISM_INFO info;
    return P11_CALL(conn, C_GetMechanismInfo, slot, type, &info) == CKR_OK && (info.flags & what);
}

enum attest_rc
token_admin_info(const char *module, const char *text, struct token_info *ret,
                 struct attest_error *err)
{
    AUTO(p11_uri) struct p11_uri *uri = NULL;
    AUTO(visit) struct visit v = {0};
    CK_SLOT_ID slot;
    CK_SLOT_INFO slot_info;
    CK_TOKEN_INFO info;
    CK_INFO lib;
    CK_RV rv;
    enum attest_rc rc = p11_uri_parse(text, &uri, err);
    if (!rc)
        rc = visit_begin(&v, token_module_path(module, uri), err);
    if (!rc)
        rc = p11_find_slot(&v.conn, uri, &slot, &info, &rv, err);
    if (rc)
        return rc;
    rv = P11_CALL(&v.conn, C_GetInfo, &lib);
    if (rv == CKR_OK)
        rv = P11_CALL(&v.conn, C_GetSlotInfo, slot, &slot_info);
    if (rv != CKR_OK)
        return call_failed(&v.conn, rv, err);
    *ret = (struct token_info){
        .cryptoki_major = lib.cryptokiVersion.major,
        .cryptoki_minor = lib.cryptokiVersion.minor,
        .module_major = lib.libraryVersion.major,
        .module_minor = lib.libraryVersion.minor,
        .sessions_max =
            info.ulMaxSessionCount == CK_UNAVAILABLE_INFORMATION ? 0 : info.ulMaxSessionCount,
        .pin_len_min = info.ulMinPinLen,
        .pin_len_max = info.ulMaxPinLen,
        .login_required = info.flags & CKF_LOGIN_REQUIRED,
        .write_protected = info.flags & CKF_WRITE_PROTECTED,
        .pin_final_try = info.flags & CKF_USER_PIN_FINAL_TRY,
        .has_rng = info.flags & CKF_RNG,
        .generates_ed25519 =
            mechanism_does(&v.conn, slot, CKM_EC_EDWARDS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR),
        .signs_ed25519 = mechanism_does(&v.conn, slot, CKM_EDDSA, CKF_SIGN),
    };
    copy_padded(ret->module_description, lib.libraryDescription, sizeof(lib.libraryDescription));
    copy_padded(ret->module_manufacturer, lib.manufacturerID, sizeof(lib.manufacturerID));
    fill_slot(&ret->slot, slot, &slot_info, &info);
    return ATTEST_OK;
}

/* ---- check: the signer's work in steps ---- */

struct check_run {
    const struct token_check *check;
    struct p11_uri *uri;
    struct visit visit;
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    struct key_ref ref;
    struct p11_pair pair;
    uint8_t sig[ED25519_SIG_LEN];
};

static const char check_message[] = "attestctl hsm check";

static enum attest_rc
result(struct check_run *r, CK_RV rv, struct attest_error *err)
{
    return rv == CKR_OK ? ATTEST_OK : call_failed(&r->visit.conn, rv, err);
}

static enum attest_rc
step_load(struct check_run *r, struct attest_error *err)
{
    enum attest_rc rc = p11_uri_parse(r->check->uri, &r->uri, err);
    if (rc)
        return rc;
    return p11_module_load(&r->visit.module, token_module_path(r->check->module, r->uri), err);
}

static enum attest_rc
step_initialize(struct check_run *r, struct attest_error *err)
{
    return visit_initialize(&r->visit, err);
}

static enum attest_rc
step_token(struct check_run *r, struct attest_error *err)
{
    CK_RV rv;
    return p11_find_slot(&r->visit.conn, r->uri, &r->slot, &r->info, &rv, err);
}

static enum attest_rc
step_session(struct check_run *r, struct attest_error *err)
{
    struct p11_conn *conn = &r->visit.conn;
    return result(r,
                  P11_CALL(conn, C_OpenSession, r->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                           NULL, &conn->session),
                  err);
}

static enum attest_rc
step_login(struct check_run *r, struct attest_error *err)
{
    struct p11_conn *conn = &r->visit.conn;
    const struct secret none = {0};
    const struct secret *pin = r->check->pin ? r->check->pin : &none;
    if (!(r->info.flags & CKF_LOGIN_REQUIRED))
        return ATTEST_OK;
    if (!pin->p && !(r->info.flags & CKF_PROTECTED_AUTHENTICATION_PATH))
        return error_set(err, ATTEST_E_PIN, "the token asks for a PIN and none was given");
    return result(
        r, P11_CALL(conn, C_Login, conn->session, (CK_USER_TYPE)CKU_USER, pin->p, pin->len), err);
}

static enum attest_rc
step_generate(struct check_run *r, struct attest_error *err)
{
    uint8_t id[KEYSTORE_ID_LEN];
    random_bytes(id, sizeof(id));
    struct p11_key_request request = {id, "attestctl hsm check", r->check->ec_params_name_first,
                                      false};
    CK_RV rv;
    return p11_key_generate(&r->visit.conn, &request, &r->ref, &r->pair, &rv, err);
}

static enum attest_rc
step_sign(struct check_run *r, struct attest_error *err)
{
    return result(r,
                  p11_key_sign(&r->visit.conn, r->pair.private_key, check_message,
                               sizeof(check_message), r->sig),
                  err);
}

static enum attest_rc
step_verify(struct check_run *r, struct attest_error *err)
{
    const struct slice message = {check_message, sizeof(check_message)};
    if (!pubkey_verify(&r->ref.public_key, message, r->sig))
        return error_set(err, ATTEST_E_SIGNATURE, "the token's signature does not verify");
    return ATTEST_OK;
}

static enum attest_rc
step_destroy(struct check_run *r, struct attest_error *err)
{
    return result(r, p11_key_destroy(&r->visit.conn, &r->pair), err);
}

static const struct {
    const char *name;
    enum attest_rc (*run)(struct check_run *r, struct attest_error *err);
    const char *done;
} steps[] = {
    {"load", step_load, "the module is a PKCS#11 module"},
    {"initialize", step_initialize, "the module initialises with operating system locking"},
    {"token", step_token, "one token matches the URI"},
    {"session", step_session, "a session was opened"},
    {"login", step_login, "the PIN was accepted"},
    {"generate", step_generate, "an Ed25519 session key was made, not extractable, sign only"},
    {"sign", step_sign, "it signed"},
    {"verify", step_verify, "the signature verifies"},
    {"destroy", step_destroy, "the key was destroyed"},
};

enum attest_rc
token_admin_check(const struct token_check *check, struct attest_error *err)
{
    struct check_run r = {.check = check};
    enum attest_rc rc = ATTEST_OK;
    for (size_t i = 0; !rc && i < ARRAY_LEN(steps); i++) {
        struct attest_error why = {0};
        rc = steps[i].run(&r, &why);
        check->report(check->ctx, steps[i].name, rc, rc ? why.text : steps[i].done);
        if (rc)
            error_set(err, rc, "%s: %s", steps[i].name, why.text);
    }
    visit_auto(&r.visit); /* ends the session, and the key with it */
    p11_uri_free(r.uri);
    return rc;
}
