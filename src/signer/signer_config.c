/* SPDX-License-Identifier: MIT */
#include "signer/signer_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "signer/rollover_policy.h"
#include "token/subject.h"

static const char *const ec_params_names[] = {"oid", "name", NULL};
static const char *const typ_names[] = {"JWT", "agent-attestation+jwt", NULL};
static const char *const alg_names[] = {"EdDSA", "Ed25519", NULL};

#define AT(member) offsetof(struct signer_config, member)

#define PERIOD_MAX_S (INT64_C(10) * 366 * 86400)
#define ROLLOVER(name_, member, min_, fallback_, help_)                                            \
    {                                                                                              \
        "rollover." name_, CONFIG_INT, AT(member), .fallback = (fallback_), .min = (min_),         \
                                                   .max = PERIOD_MAX_S, .help = (help_)            \
    }

static const struct config_key keys[] = {
    {"issuer", CONFIG_STRING, AT(issuer), .required = true,
     .help = "URL of the issuer: the iss of every token"},
    {"keystore", CONFIG_STRING, AT(keystore), .required = true,
     .help = "where the keys live: pkcs11:token=attestd (RFC 7512), or tpm2: and a TCTI"},
    {"sealed_keys", CONFIG_STRING, AT(sealed_keys),
     .help = "with tpm2: the file of sealed keys; without it sealed.keys in state_dir"},
    {"pcrs", CONFIG_STRING, AT(pcrs),
     .help = "with a TPM: the PCRs that keys or PIN are sealed to: sha256:0,2,7,11"},
    {"approver", CONFIG_STRING, AT(approver),
     .help = "with a TPM: PEM file of the P-256 key that may approve other values of the PCRs"},
    {"sealed_id", CONFIG_STRING, AT(sealed_id),
     .help = "with tpm2: what attestctl hsm seal printed: no other file of sealed keys is taken"},
    {"ek_ca", CONFIG_STRING, AT(ek_ca),
     .help = "with a TPM: PEM file of the CA that the TPM's EK certificate has to be of"},
    {"owner_auth.file", CONFIG_STRING, AT(owner_auth_file),
     .help = "with a TPM: file that holds the password of the TPM's owner hierarchy"},
    {"module", CONFIG_STRING, AT(module),
     .help = "path of the PKCS#11 module; without it the URI's module-path, else SoftHSM"},
    {"pin.file", CONFIG_STRING, AT(pin_file),
     .help = "file that holds the token's PIN, not readable by others"},
    {"pin.credential", CONFIG_STRING, AT(pin_credential), .fallback = "pin",
     .help = "name of the credential that holds the PIN, where pin.file is not set"},
    {"pin.prompt", CONFIG_BOOL, AT(pin_prompt), .fallback = "false",
     .help = "ask for the PIN at the terminal at start"},
    {"pin.tpm2", CONFIG_STRING, AT(pin_tpm2),
     .help = "file in which a TPM has sealed the PIN (attestctl hsm seal-pin)"},
    {"pin.tcti", CONFIG_STRING, AT(pin_tcti), .fallback = "device:/dev/tpmrm0",
     .help = "the way to that TPM"},
    {"state_dir", CONFIG_STRING, AT(state_dir), .fallback = "/var/lib/attest-signer",
     .help = "directory of the key records (records.db) and the issuance log (log/)"},
    {"signer_socket", CONFIG_STRING, AT(signer_socket),
     .fallback = "/run/attest-signer/signer.sock", .help = "UNIX socket for attestd"},
    {"admin_socket", CONFIG_STRING, AT(admin_socket),
     .fallback = "/run/attest-signer/signer-admin.sock", .help = "UNIX socket for attestctl"},
    {"signer_group", CONFIG_STRING, AT(signer_group),
     .help = "group of signer_socket; its members may connect"},
    {"admin_group", CONFIG_STRING, AT(admin_group),
     .help = "group of admin_socket; its members may connect"},
    {"signer_users", CONFIG_LIST, AT(signer_users),
     .help = "users, by name or number, that signer_socket serves; without it, the signer's own"},
    {"admin_users", CONFIG_LIST, AT(admin_users),
     .help = "users, by name or number, that admin_socket serves; without it, the signer's own"},
    {"development", CONFIG_BOOL, AT(development), .fallback = "false",
     .help = "allow one user on both sockets and an http issuer on a loopback address"},
    {"workers", CONFIG_INT, AT(workers), .fallback = "4", .min = 1, .max = 64,
     .help = "sessions that sign in parallel"},
    {"queue_max", CONFIG_INT, AT(queue_max), .fallback = "1024", .min = 1, .max = 65536,
     .help = "requests under way at most; beyond that the answer is E_BUSY"},
    {"request_timeout_ms", CONFIG_INT, AT(request_timeout_ms), .fallback = "5000", .min = 10,
     .max = 600000, .help = "milliseconds until a request is answered with E_TIMEOUT"},
    {"call_timeout_ms", CONFIG_INT, AT(call_timeout_ms), .fallback = "10000", .min = 10,
     .max = 600000, .help = "milliseconds until a call into the module is taken to hang"},
    {"ec_params", CONFIG_ENUM, AT(ec_params), .fallback = "oid", .choices = ec_params_names,
     .help = "form of CKA_EC_PARAMS to try first when a key is made: oid or name"},
    {"trust_domain", CONFIG_STRING, AT(trust_domain),
     .help = "SPIFFE trust domain of every sub; without it, the issuer's host"},
    {"subject_names", CONFIG_MAP, AT(subject_names),
     .help = "model versions and workloads that are no path segment, and the segment for each"},
    {"token_typ", CONFIG_ENUM, AT(token_typ), .fallback = "JWT", .choices = typ_names,
     .help = "typ of the tokens: JWT or agent-attestation+jwt"},
    {"token_alg", CONFIG_ENUM, AT(token_alg), .fallback = "EdDSA", .choices = alg_names,
     .help = "alg of the tokens and of the published keys: EdDSA or Ed25519 (RFC 9864)"},
    {"resident", CONFIG_LIST, AT(resident),
     .help = "with tpm2: root, log, token: purposes whose new keys stay in the TPM (P-256, ES256)"},
    {"lifetime_default_s", CONFIG_INT, AT(lifetime_default_s), .fallback = "300", .min = 1,
     .max = 900, .help = "seconds that a token lives when the request does not say"},
    {"lifetime_max_s", CONFIG_INT, AT(lifetime_max_s), .fallback = "900", .min = 1, .max = 900,
     .help = "seconds that a token may live at most"},
    {"jwks_max_age_s", CONFIG_INT, AT(jwks_max_age_s), .fallback = "300", .min = 1, .max = 86400,
     .help = "seconds that others may keep the key set"},
    {"keyset_dir", CONFIG_STRING, AT(keyset_dir),
     .help = "directory for jwks.json and jwks.jwt, for a web server to serve"},
    {"signed_keyset_lifetime_s", CONFIG_INT, AT(signed_keyset_lifetime_s), .fallback = "3600",
     .min = 2, .max = 3600,
     .help = "seconds that the signed key set is good, at most as long as caches may keep one"},
    ROLLOVER("active_period_s", active_period_s, 1, "2592000",
             "seconds that a token key signs before the next takes over"),
    ROLLOVER("jitter_s", jitter_s, 0, "86400",
             "seconds that a rotation comes early at most, different for each key"),
    ROLLOVER("publish_lead_s", publish_lead_s, 0, "86400",
             "seconds that a key is in the key set before it may sign"),
    ROLLOVER("retire_lag_s", retire_lag_s, 0, "3600",
             "seconds that a key stays in the key set after it signed last"),
    ROLLOVER("destroy_grace_s", destroy_grace_s, 0, "604800",
             "seconds from leaving the key set to being destroyed on the token"),
    ROLLOVER("overdue_grace_s", overdue_grace_s, 0, "604800",
             "seconds that a rotation may be late before no more tokens are made"),
    ROLLOVER("verifier_cache_max_s", verifier_cache_max_s, 0, "3600",
             "seconds beyond jwks_max_age_s that a verifier may keep a key set"),
    ROLLOVER("propagation_s", propagation_s, 0, "60",
             "seconds until every copy of the key set, a CDN's too, has a change"),
    ROLLOVER("skew_s", skew_s, 0, "30", "seconds that any two clocks may differ"),
    ROLLOVER("clock_jump_max_s", clock_jump_max_s, 1, "60",
             "seconds that the clock may jump before key life and minting stop"),
    ROLLOVER("root_lead_s", root_lead_s, 1, "604800",
             "seconds that the next root key is announced before it signs"),
    {"log_segment_bytes", CONFIG_INT, AT(log_segment_bytes), .fallback = "67108864", .min = 65536,
     .max = INT64_C(1) << 40, .help = "bytes after which the issuance log begins a new file"},
    {"checkpoint_records", CONFIG_INT, AT(checkpoint_records), .fallback = "1000", .min = 1,
     .max = 20000, .help = "records after which the log key signs a checkpoint"},
    {"checkpoint_interval_s", CONFIG_INT, AT(checkpoint_interval_s), .fallback = "10", .min = 1,
     .max = 3600, .help = "seconds after which it does, when something was recorded"},
    {"stop_s", CONFIG_INT, AT(stop_s), .fallback = "10", .min = 0, .max = 600,
     .help = "seconds to finish what was accepted when told to stop"},
    {"log_level", CONFIG_ENUM, AT(log_level), .fallback = "info", .choices = log_level_names,
     .help = "least important event that is logged: error, warning, info or debug"},
};

const struct config_schema signer_config_schema = {
    .program = "attest-signer",
    .env_prefix = "ATTEST_SIGNER_",
    .keys = keys,
    .n_keys = ARRAY_LEN(keys),
};

char *
signer_config_sealed_path(const struct signer_config *config)
{
    static const char name[] = "/sealed.keys";
    if (config->sealed_keys)
        return strdup(config->sealed_keys);
    size_t len = strlen(config->state_dir);
    char *path = malloc(len + sizeof(name));
    if (!path)
        return NULL;
    memcpy(path, config->state_dir, len);
    memcpy(path + len, name, sizeof(name));
    return path;
}

char *
signer_config_pin_uri(const struct signer_config *config)
{
    char *uri = NULL;
    return asprintf(&uri, "tpm2:%s", config->pin_tcti) < 0 ? NULL : uri;
}

bool
signer_config_sealed_id(const struct signer_config *config, uint8_t id[SHA256_LEN])
{
    return strlen(config->sealed_id) == 2 * SHA256_LEN &&
           hex_decode(id, SHA256_LEN, slice_cstr(config->sealed_id));
}

bool
signer_config_pin_optional(const struct signer_config *config)
{
    return !strncmp(config->keystore, "tpm2:", 5);
}

static enum attest_rc
check_names(const struct config_list *names, struct attest_error *err)
{
    for (size_t i = 1; i < names->n; i += 2) {
        if (!subject_segment_ok(slice_cstr(names->items[i])))
            return error_set(err, ATTEST_E_CONFIG,
                             "subject_names: '%s' is no path segment ([A-Za-z0-9._-])",
                             names->items[i]);
    }
    return ATTEST_OK;
}

static enum attest_rc
check_trust_domain(const struct signer_config *config, struct attest_error *err)
{
    struct slice host = {NULL, 0};
    if (config->trust_domain) {
        if (trust_domain_ok(slice_cstr(config->trust_domain)))
            return ATTEST_OK;
        return error_set(err, ATTEST_E_CONFIG, "trust_domain: 1 to 255 of [a-z0-9._-] expected");
    }
    if (issuer_trust_domain(slice_cstr(config->issuer), &host) && trust_domain_ok(host))
        return ATTEST_OK;
    return error_set(err, ATTEST_E_CONFIG,
                     "trust_domain: has to be set, the issuer's host is not fit to be one");
}

bool
signer_config_resident(const struct signer_config *config, const char *purpose)
{
    for (size_t i = 0; i < config->resident.n; i++) {
        if (!strcmp(config->resident.items[i], purpose))
            return true;
    }
    return false;
}

static enum attest_rc
check_resident(const struct signer_config *config, struct attest_error *err)
{
    static const char *const purposes[] = {"root", "log", "token"};
    size_t n_known = 0;
    for (size_t i = 0; i < ARRAY_LEN(purposes); i++)
        n_known += signer_config_resident(config, purposes[i]);
    if (n_known != config->resident.n)
        return error_set(err, ATTEST_E_CONFIG, "resident: root, log and token, each at most once");
    if (n_known && strncmp(config->keystore, "tpm2:", 5) != 0)
        return error_set(err, ATTEST_E_CONFIG,
                         "resident: for a TPM; every key of a PKCS#11 token stays in it");
    return ATTEST_OK;
}

/* Who wrote them counts on a TPM that nothing asks. */
static enum attest_rc
check_tpm2(const struct signer_config *config, struct attest_error *err)
{
    bool sealed = signer_config_pin_optional(config);
    if (config->pin_tpm2 && sealed)
        return error_set(err, ATTEST_E_CONFIG,
                         "pin.tpm2: for a PKCS#11 token; keys sealed by a TPM have a policy of "
                         "their own");
    const struct {
        const char *name, *value;
        bool pin; /* means something for pin.tpm2, too */
    } uses[] = {
        {"pcrs", config->pcrs, true},
        {"approver", config->approver, true},
        {"ek_ca", config->ek_ca, true},
        {"owner_auth.file", config->owner_auth_file, true},
        {"sealed_id", config->sealed_id, false},
        {"sealed_keys", config->sealed_keys, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
        if (uses[i].value && !sealed && !(uses[i].pin && config->pin_tpm2))
            return error_set(err, ATTEST_E_CONFIG, "%s: there is no keystore tpm2:%s", uses[i].name,
                             uses[i].pin ? " and no pin.tpm2" : "");
    }
    uint8_t id[SHA256_LEN];
    if (config->sealed_id && !signer_config_sealed_id(config, id))
        return error_set(err, ATTEST_E_CONFIG, "sealed_id: %d hex digits expected", 2 * SHA256_LEN);
    return check_resident(config, err);
}

enum attest_rc
signer_config_check(const struct signer_config *config, struct attest_error *err)
{
    enum attest_rc rc = issuer_check(slice_cstr(config->issuer), config->development, err);
    if (rc || (rc = check_trust_domain(config, err)) ||
        (rc = check_names(&config->subject_names, err)))
        return rc;
    if ((config->pin_file != NULL) + config->pin_prompt + (config->pin_tpm2 != NULL) > 1)
        return error_set(err, ATTEST_E_CONFIG, "pin: one of file, prompt and tpm2");
    if ((rc = check_tpm2(config, err)))
        return rc;
    if (config->lifetime_default_s > config->lifetime_max_s)
        return error_set(err, ATTEST_E_CONFIG, "lifetime_default_s: more than lifetime_max_s");
    struct rollover_policy policy;
    struct attest_error why = {0};
    rollover_policy_from(config, &policy);
    if (rollover_policy_check(&policy, &why))
        return error_set(err, ATTEST_E_CONFIG, "rollover: %s", why.text);
    int64_t caches_s =
        policy.jwks_max_age_s + policy.verifier_cache_max_s + policy.propagation_s + policy.skew_s;
    if (config->root_lead_s < caches_s)
        return error_set(err, ATTEST_E_CONFIG,
                         "rollover: root_lead_s %lld < %lld, which caches need to learn of it",
                         (long long)config->root_lead_s, (long long)caches_s);
    return ATTEST_OK;
}
