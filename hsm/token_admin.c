/* SPDX-License-Identifier: MIT */
#include "hsm/token_admin.h"

#include <libp11.h> /* brings openssl/err.h, where its errors go */
#include <string.h>

#include "hsm/token_admin_impl.h"

#define LABEL_MAX 32 /* CK_TOKEN_INFO */

/* A module as libp11 sees it. */
struct visit {
    PKCS11_CTX *ctx;
    PKCS11_SLOT *slots;
    unsigned n;
    bool loaded;
};

static void
visit_auto(struct visit *v)
{
    if (v->slots)
        PKCS11_release_all_slots(v->ctx, v->slots, v->n);
    if (v->loaded)
        PKCS11_CTX_unload(v->ctx);
    if (v->ctx)
        PKCS11_CTX_free(v->ctx);
    *v = (struct visit){0};
}

/* The first error of OpenSSL's queue: libp11 puts there what the module returned. */
static enum attest_rc
p11_failed(struct attest_error *err, const char *what)
{
    unsigned long e = ERR_peek_error();
    bool of_module = e && ERR_GET_LIB(e) == ERR_get_CKR_code();
    CK_RV rv = of_module ? (CK_RV)ERR_GET_REASON(e) : CKR_OK;
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    ERR_clear_error();
    if (of_module)
        return error_set(err,
                         p11_fate(rv) == P11_FATE_PIN ? ATTEST_E_PIN : ATTEST_E_KEY_OUT_OF_REACH,
                         "%s: %s", what, P11_RV_TEXT(rv));
    return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "%s: %s", what, reason ? reason : "failed");
}

static enum attest_rc
visit_begin(struct visit *v, const char *module, struct attest_error *err)
{
    ERR_clear_error();
    if (module[0] != '/')
        return error_set(err, ATTEST_E_CONFIG, "module: the path must be absolute");
    if (access(module, R_OK) != 0)
        return error_set(err, ATTEST_E_CONFIG, "module %s: cannot be read", module);
    v->ctx = PKCS11_CTX_new();
    if (!v->ctx)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    if (PKCS11_CTX_load(v->ctx, module) != 0) {
        p11_failed(NULL, "");
        return error_set(err, ATTEST_E_CONFIG, "module %s: cannot be loaded or initialised",
                         module);
    }
    v->loaded = true;
    if (PKCS11_enumerate_slots(v->ctx, &v->slots, &v->n) != 0)
        return p11_failed(err, "listing the slots");
    return ATTEST_OK;
}

static void
copy_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
    for (char *p = out; *p; p++) {
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    }
}

static void
fill_slot(struct token_slot *ret, PKCS11_SLOT *slot)
{
    *ret = (struct token_slot){.slot_id = PKCS11_get_slotid_from_slot(slot)};
    copy_text(ret->description, sizeof(ret->description), slot->description);
    const PKCS11_TOKEN *token = slot->token;
    if (!token)
        return;
    ret->present = true;
    copy_text(ret->label, sizeof(ret->label), token->label);
    copy_text(ret->manufacturer, sizeof(ret->manufacturer), token->manufacturer);
    copy_text(ret->model, sizeof(ret->model), token->model);
    copy_text(ret->serial, sizeof(ret->serial), token->serialnr);
    ret->initialized = token->initialized;
    ret->pin_set = token->userPinSet;
    ret->pin_locked = token->userPinLocked;
}

enum attest_rc
token_admin_slots(const char *module, struct token_slot **ret, size_t *n, struct attest_error *err)
{
    AUTO(visit) struct visit v = {0};
    enum attest_rc rc = visit_begin(&v, token_module_path(module, NULL), err);
    if (rc)
        return rc;
    struct token_slot *slots = calloc(v.n + 1, sizeof(*slots));
    if (!slots)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    for (unsigned i = 0; i < v.n; i++)
        fill_slot(&slots[i], &v.slots[i]);
    *ret = slots;
    *n = v.n;
    return ATTEST_OK;
}

/* libp11 takes PINs as C strings; this one stays in guarded memory. */
static enum attest_rc
pin_text(const struct secret *pin, const char *what, struct secret *ret, struct attest_error *err)
{
    if (pin->len == 0 || memchr(pin->p, '\0', pin->len))
        return error_set(err, ATTEST_E_PIN, "%s: empty, or holds a NUL byte", what);
    *ret = secret_new(pin->len + 1);
    memcpy(ret->p, pin->p, pin->len);
    ret->p[pin->len] = '\0';
    return ATTEST_OK;
}

static PKCS11_SLOT *
slot_by_id(const struct visit *v, unsigned long slot_id)
{
    for (unsigned i = 0; i < v->n; i++) {
        if (v->slots[i].token && PKCS11_get_slotid_from_slot(&v->slots[i]) == slot_id)
            return &v->slots[i];
    }
    return NULL;
}

static enum attest_rc
choose_slot(const struct visit *v, const struct token_init *init, PKCS11_SLOT **ret,
            struct attest_error *err)
{
    PKCS11_SLOT *slot = init->any_slot ? NULL : slot_by_id(v, init->slot_id);
    for (unsigned i = 0; init->any_slot && !slot && i < v->n; i++) {
        if (v->slots[i].token && !v->slots[i].token->initialized)
            slot = &v->slots[i];
    }
    if (!slot)
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH,
                         init->any_slot ? "no slot holds an uninitialised token"
                                        : "no token in that slot");
    if (slot->token->initialized && !init->erase)
        return error_set(err, ATTEST_E_EXISTS,
                         "the token in that slot is initialised already; erasing it destroys its "
                         "keys");
    for (unsigned i = 0; i < v->n; i++) {
        const PKCS11_TOKEN *token = v->slots[i].token;
        if (token && &v->slots[i] != slot && token->initialized && token->label &&
            !strcmp(token->label, init->label))
            return error_set(err, ATTEST_E_EXISTS, "another token is labelled '%s' already",
                             init->label);
    }
    *ret = slot;
    return ATTEST_OK;
}

static enum attest_rc
init_slot(PKCS11_SLOT *slot, const char *label, const struct secret *so_pin,
          const struct secret *pin, struct attest_error *err)
{
    const char *so = (const char *)so_pin->p;
    /* libp11 hands the label to C_InitToken as it is, which reads 32 bytes whatever it holds. */
    char padded[LABEL_MAX + 1];
    snprintf(padded, sizeof(padded), "%-*s", LABEL_MAX, label);
    if (PKCS11_init_token(slot->token, so, padded) != 0)
        return p11_failed(err, "initialising the token (security officer's PIN)");
    if (PKCS11_open_session(slot, 1) != 0 || PKCS11_login(slot, 1, so) != 0)
        return p11_failed(err, "logging in as security officer");
    if (PKCS11_init_pin(slot->token, (const char *)pin->p) != 0)
        return p11_failed(err, "the token is initialised, but its user PIN could not be set");
    PKCS11_logout(slot);
    return ATTEST_OK;
}

/* Modules may move a token to another slot when it is initialised, so it is looked for again. */
static enum attest_rc
find_label(const char *module, const char *label, struct token_slot *ret, struct attest_error *err)
{
    AUTO(visit) struct visit v = {0};
    enum attest_rc rc = visit_begin(&v, module, err);
    for (unsigned i = 0; !rc && i < v.n; i++) {
        const PKCS11_TOKEN *token = v.slots[i].token;
        if (token && token->initialized && token->label && !strcmp(token->label, label)) {
            fill_slot(ret, &v.slots[i]);
            return ATTEST_OK;
        }
    }
    return rc ? rc
              : error_set(err, ATTEST_E_KEY_OUT_OF_REACH,
                          "the token was initialised and is not there any more");
}

enum attest_rc
token_admin_init(const char *module, const struct token_init *init, struct token_slot *ret,
                 struct attest_error *err)
{
    AUTO(secret) struct secret so_pin = {0};
    AUTO(secret) struct secret pin = {0};
    module = token_module_path(module, NULL);
    size_t label_len = strlen(init->label);
    if (label_len < 1 || label_len > LABEL_MAX)
        return error_set(err, ATTEST_E_CONFIG, "label: 1 to %d bytes", LABEL_MAX);
    enum attest_rc rc = pin_text(init->so_pin, "security officer's PIN", &so_pin, err);
    if (!rc)
        rc = pin_text(init->pin, "user PIN", &pin, err);
    unsigned long slot_id = 0;
    for (int pass = 0; !rc && pass < 2; pass++) {
        AUTO(visit) struct visit v = {0};
        PKCS11_SLOT *slot = NULL;
        rc = visit_begin(&v, module, err);
        if (!rc)
            rc = choose_slot(&v, init, &slot, err);
        if (!rc && pass == 0)
            slot_id = PKCS11_get_slotid_from_slot(slot);
        else if (!rc)
            rc = init_slot(slot, init->label, &so_pin, &pin, err);
        visit_auto(&v);
        /* Asked before anything is changed: a token with half of its PINs is of no use. */
        if (!rc && pass == 0)
            rc = token_pin_fits(module, slot_id, init->so_pin->len, init->pin->len, err);
    }
    return rc ? rc : find_label(module, init->label, ret, err);
}

enum attest_rc
token_admin_pin(const char *module, const char *uri_text, bool so, const struct secret *old_pin,
                const struct secret *new_pin, struct attest_error *err)
{
    AUTO(p11_uri) struct p11_uri *uri = NULL;
    AUTO(secret) struct secret old_text = {0};
    AUTO(secret) struct secret new_text = {0};
    AUTO(visit) struct visit v = {0};
    unsigned long slot_id = 0;
    enum attest_rc rc = p11_uri_parse(uri_text, &uri, err);
    if (!rc)
        rc = pin_text(old_pin, "old PIN", &old_text, err);
    if (!rc)
        rc = pin_text(new_pin, "new PIN", &new_text, err);
    if (rc)
        return rc;
    const char *path = token_module_path(module, uri);
    rc = token_slot_of(path, uri_text, &slot_id, err);
    if (!rc)
        rc = visit_begin(&v, path, err);
    if (rc)
        return rc;
    PKCS11_SLOT *slot = slot_by_id(&v, slot_id);
    if (!slot)
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "the token is not there any more");
    if (PKCS11_open_session(slot, 1) != 0 || PKCS11_login(slot, so, (const char *)old_text.p) != 0)
        return p11_failed(err, "old PIN");
    if (PKCS11_change_pin(slot, (const char *)old_text.p, (const char *)new_text.p) != 0)
        return p11_failed(err, "new PIN");
    PKCS11_logout(slot);
    return ATTEST_OK;
}
