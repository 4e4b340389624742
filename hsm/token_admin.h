/* SPDX-License-Identifier: MIT */
#ifndef HSM_TOKEN_ADMIN_H
#define HSM_TOKEN_ADMIN_H

#include "base/bytes.h"
#include "base/secret.h"

/*
 * Setting tokens up, for attestctl. Blocking, one call at a time in a process, and never while a
 * keystore is open in it: each call initialises the module and finalises it again. PINs are
 * borrowed. module is the path of a PKCS#11 module; NULL means the one that the URI names, else
 * SoftHSM's usual place.
 *
 * Errors of all: ATTEST_E_CONFIG (module, URI, or several tokens match), ATTEST_E_KEY_OUT_OF_REACH
 * (no such token, or the module failed), ATTEST_E_PIN (a PIN was refused; the text says which).
 */

struct token_slot {
    unsigned long slot_id;
    char description[65]; /* of the slot; all texts are trimmed printable ASCII */
    bool present;         /* whether there is a token in it; the rest is empty without */
    char label[33], manufacturer[33], model[17], serial[17];
    bool initialized, pin_set, pin_locked;
};

/* Every slot of the module. free() *ret. */
enum attest_rc token_admin_slots(const char *module, struct token_slot **ret, size_t *n,
                                 struct attest_error *err);

struct token_init {
    const char *label;           /* 1 to 32 bytes */
    const struct secret *so_pin; /* of the security officer: resets the user's PIN */
    const struct secret *pin;    /* of the user: what the signer logs in with */
    bool any_slot;               /* the first slot with an uninitialised token… */
    unsigned long slot_id;       /* …or this one */
    bool erase;                  /* initialise even a token that already is: destroys its keys */
};

/*
 * Initialises a token and its user PIN. ATTEST_E_EXISTS when the token is initialised already and
 * erase is false, or when another token has this label. *ret shows the result.
 */
enum attest_rc token_admin_init(const char *module, const struct token_init *init,
                                struct token_slot *ret, struct attest_error *err);

/* Changes the user PIN, or with so that of the security officer. */
enum attest_rc token_admin_pin(const char *module, const char *uri, bool so,
                               const struct secret *old_pin, const struct secret *new_pin,
                               struct attest_error *err);

struct token_info {
    struct token_slot slot;
    char module_description[33], module_manufacturer[33];
    unsigned cryptoki_major, cryptoki_minor, module_major, module_minor;
    unsigned long sessions_max; /* 0: no limit or not told */
    unsigned long pin_len_min, pin_len_max;
    bool login_required, write_protected, pin_final_try, has_rng;
    bool generates_ed25519, signs_ed25519; /* CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EDDSA */
};

enum attest_rc token_admin_info(const char *module, const char *uri, struct token_info *ret,
                                struct attest_error *err);

/*
 * Does what the signer does, with a session key that vanishes: load, initialize, token, session,
 * login, generate, sign, verify, destroy. report is called for each step with its result and a
 * sentence, until one fails; that is the result. The PIN is tried once.
 */
typedef void token_check_report(void *ctx, const char *step, enum attest_rc rc, const char *text);
struct token_check {
    const char *module, *uri;
    const struct secret *pin; /* NULL: none */
    bool ec_params_name_first;
    token_check_report *report;
    void *ctx;
};
enum attest_rc token_admin_check(const struct token_check *check, struct attest_error *err);

#endif
