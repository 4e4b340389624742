/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_resident.h"

#include <string.h>

#include "base/clock.h"

/* ---- the connection: in the gate ---- */

static void
hang_up(void *ctx)
{
    struct tpm2_resident *r = ctx;
    tpm2_link_close(r->link); /* flushes the key too */
    r->link = NULL;
    r->loaded = ESYS_TR_NONE;
}

static enum attest_rc
connect_tpm(struct tpm2_resident *r, const struct tpm2_watch *watch, struct attest_error *err)
{
    struct tpm2_link_config config = r->config;
    config.gate = NULL; /* in which we are */
    config.primary_name = r->primary_name;
    config.beat = watch->beat;
    config.beat_ctx = watch->ctx;
    if (!r->link)
        return tpm2_link_open(&config, &r->link, err);
    r->link->config.beat = watch->beat;
    r->link->config.beat_ctx = watch->ctx;
    return ATTEST_OK;
}

/* Who closes it later is the thread that changes keys, and watched itself. */
static void
restore_watch(struct tpm2_resident *r)
{
    if (!r->link)
        return;
    r->link->config.beat = r->config.beat;
    r->link->config.beat_ctx = r->config.beat_ctx;
}

static enum attest_rc
load(struct tpm2_resident *r, const struct tpm2_resident_key *key, struct attest_error *err)
{
    struct pubkey public_key;
    if (r->loaded != ESYS_TR_NONE && !memcmp(r->loaded_id, key->ref.id, KEYSTORE_ID_LEN))
        return ATTEST_OK;
    if (!tpm2_key_public(TPM2_KEY_SIGNS, &key->kept, &public_key) ||
        !pubkey_eq(&public_key, &key->ref.public_key))
        return error_set(err, ATTEST_E_CORRUPT, "what is kept as a key of the TPM is none");
    tpm2_link_drop(r->link, &r->loaded); /* a TPM may have room for three objects */
    enum attest_rc rc = tpm2_key_load(r->link, TPM2_KEY_SIGNS, &key->kept, &r->loaded, err);
    if (!rc)
        memcpy(r->loaded_id, key->ref.id, KEYSTORE_ID_LEN);
    return rc;
}

static enum attest_rc
sign_once(struct tpm2_resident *r, const struct tpm2_resident_key *key,
          const struct tpm2_watch *watch, const uint8_t digest[SHA256_LEN],
          uint8_t sig[PUBKEY_SIG_LEN], struct attest_error *err)
{
    enum attest_rc rc = connect_tpm(r, watch, err);
    if (rc || (rc = load(r, key, err)))
        return rc;
    TSS2_RC rv = tpm2_key_give_auth(r->link, r->loaded, key->auth);
    if (rv == TSS2_RC_SUCCESS)
        rv = tpm2_key_sign(r->link, r->loaded, digest, sig);
    tpm2_key_forget_auth(r->link, r->loaded);
    return rv == TSS2_RC_SUCCESS ? ATTEST_OK : tpm2_error(err, "TPM2_Sign", rv);
}

enum attest_rc
tpm2_resident_sign(struct tpm2_resident *r, const struct tpm2_resident_key *key,
                   const struct tpm2_watch *watch, struct slice msg, uint8_t sig[PUBKEY_SIG_LEN],
                   struct attest_error *err)
{
    uint8_t digest[SHA256_LEN];
    sha256(digest, msg.p, msg.len);
    enum attest_rc rc = tpm2_gate_enter(&r->gate, TPM2_GATE_SIGNS, err);
    if (rc)
        return rc;
    bool was_open = r->link != NULL;
    rc = sign_once(r, key, watch, digest, sig, err);
    if (rc)
        hang_up(r);
    if (rc && was_open && (rc = sign_once(r, key, watch, digest, sig, err)))
        hang_up(r);
    restore_watch(r);
    r->used_ms = clock_mono_ms();
    tpm2_gate_leave(&r->gate);
    /* Its own value, which nobody types: not a PIN that a person got wrong. */
    return rc == ATTEST_E_PIN ? ATTEST_E_KEY_OUT_OF_REACH : rc;
}

/* ---- life ---- */

enum attest_rc
tpm2_resident_init(struct tpm2_resident *r, const struct tpm2_link_config *config,
                   struct attest_error *err)
{
    *r = (struct tpm2_resident){.config = *config, .loaded = ESYS_TR_NONE};
    return tpm2_gate_init(&r->gate, hang_up, r, err);
}

void
tpm2_resident_done(struct tpm2_resident *r)
{
    if (!tpm2_gate_try(&r->gate))
        return; /* somebody hangs in the TPM, and may yet come back to all of this */
    hang_up(r);
    tpm2_gate_done(&r->gate);
}

int64_t
tpm2_resident_rest(struct tpm2_resident *r, int64_t now_ms)
{
    if (!tpm2_gate_try(&r->gate))
        return now_ms + TPM2_RESIDENT_IDLE_MS;
    int64_t again_ms = r->used_ms + TPM2_RESIDENT_IDLE_MS;
    if (again_ms <= now_ms)
        hang_up(r);
    bool open = r->link != NULL;
    tpm2_gate_leave(&r->gate);
    return open ? again_ms : INT64_MAX;
}
