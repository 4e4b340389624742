/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_P11_FAULT_H
#define TESTS_SUPPORT_P11_FAULT_H

#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/*
 * A PKCS#11 module of our own that does what it is told, badly on demand: one slot, one token,
 * software Ed25519 (libsodium), several sessions in parallel. Only for tests and benches: seeds lie
 * in plain files.
 *
 * Environment, read at load:
 *   P11_FAULT_CONTROL  a file of rules, read again whenever it changes; replace it by rename, so
 *                      that a reader never sees half of it
 *   P11_FAULT_RULES    the same text, ';' for new lines, in force when there is no control file
 *   P11_FAULT_DIR      a directory that keeps token objects; without it they die with the process
 *   P11_FAULT_LOG      a file that gets one line "C_Name" a call
 *
 * A rule is a line; '#' starts a comment. CALL is a Cryptoki name or '*'. WHEN counts that call
 * since the rules were read: "3" the third only, "3+" from the third on, "-3" the first three,
 * nothing: always.
 *
 *   CALL return CKR [WHEN]    CKR_DEVICE_REMOVED or a number; the call does nothing else
 *   CALL sleep MS [WHEN]      waits without CPU, holding no lock, then does it; 0.25 is allowed
 *   CALL hang [WHEN]          waits until the rules change, then goes on with what they say now
 *   C_Sign take MS [WHEN]     does it first, then waits until the call has taken so long in all
 *   C_Sign wrong [WHEN]       signs, and flips a bit of the result
 *   C_Sign short [WHEN]       returns 63 bytes
 *
 *   set ec_params oid|name|any        the only form taken by C_GenerateKeyPair (any)
 *   set ec_point raw|octets|bits      CKA_EC_POINT with 32, 34 or 35 bytes (octets)
 *   set public_objects yes|no         no: the private object alone has CKA_EC_POINT (yes)
 *   set sensitive, set extractable yes|no     what new private keys get, whatever was asked
 *   set token present|absent          absent: no slot holds one, and its sessions are gone
 *   set label TEXT, set pin TEXT      "attestd fault", "12345678"
 *   set pad blank|nul                 what fills the label (blank)
 *   set sessions_max N                0: no limit (0)
 *   set pin_final_try, set pin_locked, set login_required, set write_protected yes|no
 *
 *   drop sessions             once, when read: every session is gone, and object handles come to
 *                             name other objects than before
 *   drop login                once: nobody is logged in
 *   drop module               once: as if C_Finalize had been called
 *   drop objects              once: every object is gone
 *
 * Example, eight sessions of 4 ms: P11_FAULT_RULES="C_Sign take 4".
 */

#define FAULT_CALLS(X)                                                                             \
    X(C_Initialize)                                                                                \
    X(C_Finalize)                                                                                  \
    X(C_GetInfo)                                                                                   \
    X(C_GetSlotList)                                                                               \
    X(C_GetSlotInfo)                                                                               \
    X(C_GetTokenInfo)                                                                              \
    X(C_GetMechanismList)                                                                          \
    X(C_GetMechanismInfo)                                                                          \
    X(C_OpenSession)                                                                               \
    X(C_CloseSession)                                                                              \
    X(C_CloseAllSessions)                                                                          \
    X(C_GetSessionInfo)                                                                            \
    X(C_Login)                                                                                     \
    X(C_Logout)                                                                                    \
    X(C_CreateObject)                                                                              \
    X(C_DestroyObject)                                                                             \
    X(C_GetAttributeValue)                                                                         \
    X(C_FindObjectsInit)                                                                           \
    X(C_FindObjects)                                                                               \
    X(C_FindObjectsFinal)                                                                          \
    X(C_SignInit)                                                                                  \
    X(C_Sign)                                                                                      \
    X(C_GenerateKeyPair)

enum fault_call {
#define FAULT_ENUM(name) FAULT_##name,
    FAULT_CALLS(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_CALLS_N,
};

/* What `set` changes. */
struct fault_settings {
    bool params_oid, params_name; /* forms taken */
    int point_len;                /* 32, 34, 35 */
    bool public_objects, sensitive, extractable, force_sensitive, force_extractable;
    bool absent, nul_padded, pin_final_try, pin_locked, no_login, write_protected;
    unsigned long sessions_max;
    char label[33], pin[64];
};

/* What `drop` asks for, handed out once. */
struct fault_drops {
    bool sessions, login, module, objects;
};

/* What a call has to do besides its work. */
struct fault_verdict {
    CK_RV rv; /* not CKR_OK: return it at once */
    bool wrong, shortened;
    struct timespec start;
    int64_t take_ns; /* for fault_end() */
};

/*
 * p11_fault_rules.c; thread-safe. fault_enter() sleeps and hangs as the rules say; fault_end(), at
 * the end of a call that succeeded, waits for what it is said to take.
 */
void fault_rules_init(void);
struct fault_verdict fault_enter(enum fault_call call);
void fault_end(struct fault_verdict *v);
void fault_settings_get(struct fault_settings *ret);
struct fault_drops fault_drops_take(void);

/*
 * p11_fault_objects.c; the caller holds its lock. A pair has two handles: 2n + 1 and 2n + 2. Data
 * objects follow behind (p11_fault_data.c).
 */
#define FAULT_PAIRS_MAX 256
#define FAULT_TEXT_MAX 64
#define FAULT_DATA_MAX 8
#define FAULT_DATA_LEN_MAX 512

struct fault_pair {
    bool used, on_token, sensitive, extractable;
    uint8_t secret[64], public_key[32]; /* secret: seed and public key, as libsodium has it */
    uint8_t id[FAULT_TEXT_MAX], label[FAULT_TEXT_MAX];
    size_t id_len, label_len;
    bool params_name;
    bool private_gone, public_gone; /* destroyed one by one */
    CK_SESSION_HANDLE session;      /* of a session object */
};

void fault_objects_load(void);
void fault_objects_clear(bool also_stored);
CK_RV fault_objects_generate(const struct fault_settings *set, CK_SESSION_HANDLE session,
                             const CK_ATTRIBUTE *public_template, CK_ULONG n_public,
                             const CK_ATTRIBUTE *private_template, CK_ULONG n_private,
                             CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key);
CK_RV fault_objects_destroy(CK_OBJECT_HANDLE object);

/* p11_fault_data.c: private token objects of CKO_DATA, for p11_fault_objects.c alone but create. */
#define FAULT_DATA_FIRST (2 * FAULT_PAIRS_MAX + 1)
void fault_data_load(const char *dir);
void fault_data_clear(bool also_stored);
CK_RV fault_data_create(const CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret);
CK_RV fault_data_destroy(CK_OBJECT_HANDLE object);
CK_RV fault_data_attributes(CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG n);
bool fault_data_match(CK_OBJECT_HANDLE object, const CK_ATTRIBUTE *template, CK_ULONG n);

void fault_objects_end_session(CK_SESSION_HANDLE session);
/* Moves every pair to another handle. */
void fault_objects_shuffle(void);
/* The seed and public key of a private object, or NULL. */
const struct fault_pair *fault_objects_private(CK_OBJECT_HANDLE object);
CK_RV fault_objects_attributes(const struct fault_settings *set, bool logged_in,
                               CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG n);
/* The first object from *handle on that matches; moves *handle behind it, 0 when there is none. */
CK_OBJECT_HANDLE fault_objects_next(const struct fault_settings *set, bool logged_in,
                                    const CK_ATTRIBUTE *template, CK_ULONG n,
                                    CK_OBJECT_HANDLE *handle);

#endif
