/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_SIGNER_CONFIG_H
#define SIGNER_SIGNER_CONFIG_H

#include "base/config.h"
#include "base/ed25519.h"

/* attest-signer.yaml, ATTEST_SIGNER_…: the table behind parser, dump, man page and this struct. */
struct signer_config {
    char *issuer; /* URL, the `iss` of every token */
    char *keystore, *module;
    char *sealed_keys;     /* NULL: sealed.keys in state_dir */
    char *pcrs;            /* NULL: whichever the keys are sealed to */
    char *approver;        /* NULL: nobody when they are sealed, else whom the sealed keys name */
    char *sealed_id;       /* NULL: any */
    char *ek_ca;           /* NULL: any. For attestctl hsm seal, seal-pin */
    char *owner_auth_file; /* NULL: the TPM's owner hierarchy has no password */
    char *pin_file, *pin_credential;
    bool pin_prompt;
    char *pin_tpm2, *pin_tcti; /* the file that the PIN is sealed in, and the way to the TPM */
    char *state_dir;
    char *signer_socket, *admin_socket;
    char *signer_group, *admin_group;
    struct config_list signer_users, admin_users;
    bool development;
    int64_t workers, queue_max, request_timeout_ms, call_timeout_ms;
    int ec_params;      /* SIGNER_EC_PARAMS_… */
    char *trust_domain; /* NULL: the issuer's host */
    struct config_list subject_names;
    int token_typ;               /* index in the profile's typ */
    int token_alg;               /* SIGNER_ALG_… */
    struct config_list resident; /* purposes */
    int64_t lifetime_default_s, lifetime_max_s, jwks_max_age_s;
    /* rollover: jwks/rollover.h says what they mean together */
    int64_t active_period_s, jitter_s, publish_lead_s, retire_lag_s, destroy_grace_s;
    int64_t overdue_grace_s, verifier_cache_max_s, propagation_s, skew_s;
    int64_t clock_jump_max_s, root_lead_s;
    char *keyset_dir; /* NULL: none */
    int64_t signed_keyset_lifetime_s;
    int64_t log_segment_bytes, checkpoint_records, checkpoint_interval_s;
    int64_t stop_s;
    int log_level;
};

enum { SIGNER_EC_PARAMS_OID, SIGNER_EC_PARAMS_NAME };
enum { SIGNER_ALG_EDDSA, SIGNER_ALG_ED25519 };

extern const struct config_schema signer_config_schema;

/* Whether new keys of this purpose ("root", "log", "token") are to stay in the TPM. */
bool signer_config_resident(const struct signer_config *config, const char *purpose);

/* Where a TPM keystore has its file; on the heap, NULL when out of memory. */
char *signer_config_sealed_path(const struct signer_config *config);
/* The TPM that has sealed the PIN, as a keystore's URI; on the heap, NULL when out of memory. */
char *signer_config_pin_uri(const struct signer_config *config);
/* The bytes of sealed_id; false when it is not 64 hex digits. */
bool signer_config_sealed_id(const struct signer_config *config, uint8_t id[SHA256_LEN]);
/* Whether the keystore can do without a PIN: a TPM may go by its PCRs alone. */
bool signer_config_pin_optional(const struct signer_config *config);

/*
 * What no single row can say: the issuer's form, a trust domain, one way to the PIN, lifetimes in
 * order, a rollover policy that keeps its promise. Asks nothing of the machine, so that a
 * configuration can be checked anywhere. ATTEST_E_CONFIG with the key's name in err.
 */
enum attest_rc signer_config_check(const struct signer_config *config, struct attest_error *err);

#endif
