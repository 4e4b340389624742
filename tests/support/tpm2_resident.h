/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_TPM2_RESIDENT_H
#define TESTS_SUPPORT_TPM2_RESIDENT_H

#include "base/clock.h"
#include "hsm/keystore.h"
#include "hsm/tpm2_store.h"
#include "tests/support/swtpm_esys.h"

/* A keystore on a TPM, for keys that stay in it. The policy is PCRs alone, so that a power cut
   counts for nothing. */

#define PATIENCE_MS 60000

static struct swtpm tpm;
static char uri[600], path[192];
static struct keystore_config config;

static inline struct keystore *
open_ks(void)
{
    struct keystore *ks = NULL;
    struct attest_error err = {0};
    if (keystore_open(&config, &ks, &err))
        fail_msg("open: %s", err.text);
    return ks;
}

static inline int
fresh(void **state)
{
    (void)state;
    struct attest_error err = {0};
    unlink(path);
    config = (struct keystore_config){.uri = uri,
                                      .sealed_path = path,
                                      .pcrs = "sha256:0,7",
                                      .workers = 3,
                                      .queue_max = 256,
                                      .call_timeout_ms = PATIENCE_MS};
    if (tpm.pid == 0)
        assert_true(swtpm_on(&tpm));
    if (keystore_create(&config, &err))
        fail_msg("create: %s", err.text);
    return 0;
}

/* Nothing is left in the TPM, and what nobody may know has not crossed the bus. */
static inline int
clean(void **state)
{
    (void)state;
    const struct tpm2_store_config plain = {.link = {.tcti = tpm.plain}, .path = path};
    struct tpm2_store store;
    assert_int_equal(tpm2_store_open(&store, &plain, NULL), ATTEST_OK);
    swtpm_secrets_of(&tpm, &store);
    for (size_t i = 0; i < store.file->n_keys; i++) {
        uint8_t auth[TPM2_AUTH_VALUE_LEN];
        char name[64] = "key:";
        hex_encode(name + 4, store.file->keys[i].ref.id, KEYSTORE_ID_LEN);
        assert_true(tpm2_auth_value(&store.authority, name, auth));
        if (!tpm2_file_key_sealed(&store.file->keys[i]))
            swtpm_secret(&tpm, "authorization", auth, sizeof(auth));
    }
    tpm2_store_close(&store);
    assert_int_equal(swtpm_loaded(&tpm), 0);
    return 0;
}

static inline struct key_ref
generate(struct keystore *ks, const char *purpose, bool resident)
{
    struct key_ref key;
    struct attest_error err = {0};
    uint8_t id[KEYSTORE_ID_LEN];
    random_bytes(id, sizeof(id));
    if (resident ? keystore_generate_resident(ks, id, purpose, "attestd test", &key, &err)
                 : keystore_generate(ks, id, purpose, "attestd test", &key, &err))
        fail_msg("generate: %s", err.text);
    assert_memory_equal(key.id, id, sizeof(id));
    assert_int_equal(key.public_key.type, resident ? PUBKEY_P256 : PUBKEY_ED25519);
    assert_true(pubkey_ok(&key.public_key));
    return key;
}

static inline enum attest_rc
sign(struct keystore *ks, const struct key_ref *key, const char *text)
{
    uint8_t sig[PUBKEY_SIG_LEN];
    enum attest_rc rc =
        keystore_sign_wait(ks, key, slice_cstr(text), clock_mono_ms() + PATIENCE_MS, sig, NULL);
    if (!rc)
        assert_true(pubkey_verify(&key->public_key, slice_cstr(text), sig));
    return rc;
}

static inline bool
start_tpm(void)
{
    if (crypto_init(NULL) || !swtpm_start(&tpm)) {
        fprintf(stderr, "no swtpm here: apt-get install swtpm\n");
        return false;
    }
    snprintf(uri, sizeof(uri), "tpm2:%s", tpm.tcti);
    snprintf(path, sizeof(path), "%s/sealed.keys", tpm.dir);
    return true;
}

#endif
