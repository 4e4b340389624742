/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_file.h"

#include <stdlib.h>
#include <string.h>

enum { FLAG_AUTH = 1, FLAG_APPROVED = 2, FLAG_EK = 4 }; /* of the policy */

static const char magic[16] = "attestd-tpm2/1\n";
#define MAGIC_NAME_LEN 13 /* "attestd-tpm2/": any version of it */

enum { WITH_AK = 1, WITH_PIN = 2 };

struct tpm2_file *
tpm2_file_new(void)
{
    struct tpm2_file *file = calloc(1, sizeof(*file));
    if (!file)
        return NULL;
    file->keys = calloc(TPM2_KEYS_MAX, sizeof(*file->keys));
    if (file->keys)
        return file;
    free(file);
    return NULL;
}

void
tpm2_file_free(struct tpm2_file *file)
{
    if (file)
        free(file->keys);
    free(file);
}

size_t
tpm2_file_find(const struct tpm2_file *file, const uint8_t id[KEYSTORE_ID_LEN])
{
    size_t i = 0;
    while (i < file->n_keys && memcmp(file->keys[i].ref.id, id, KEYSTORE_ID_LEN) != 0)
        i++;
    return i;
}

bool
tpm2_purpose_ok(const char *purpose)
{
    size_t letters = strspn(purpose, "abcdefghijklmnopqrstuvwxyz");
    return letters >= 1 && letters <= TPM2_PURPOSE_MAX && !purpose[letters];
}

static bool
printable(const char *text, size_t least, size_t most)
{
    size_t len = strnlen(text, most + 1);
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    }
    return len >= least && len <= most;
}

bool
tpm2_lease_ok(const struct keystore_lease *lease)
{
    return printable(lease->instance, 1, sizeof(lease->instance) - 1) &&
           printable(lease->host, 0, sizeof(lease->host) - 1) && lease->since_s >= 1;
}

/* ---- reading ---- */

/* What was asked for beyond the end is zeros, and `bad` stays set: one look at the end is enough.
 */
struct cursor {
    const uint8_t *p;
    size_t left;
    bool bad;
};

static void
take(struct cursor *c, void *out, size_t len)
{
    if (c->bad || len > c->left) {
        c->bad = true;
        memset(out, 0, len);
        return;
    }
    memcpy(out, c->p, len);
    c->p += len;
    c->left -= len;
}

static uint64_t
take_number(struct cursor *c, size_t len)
{
    uint8_t bytes[8];
    uint64_t n = 0;
    take(c, bytes, len);
    for (size_t i = 0; i < len; i++)
        n = n << 8 | bytes[i];
    return n;
}

static bool
take_flag(struct cursor *c)
{
    uint64_t n = take_number(c, 1);
    if (n > 1)
        c->bad = true;
    return n == 1;
}

/* Into out, which has room for `most` bytes and a NUL when it is text. */
static size_t
take_run(struct cursor *c, size_t len_len, size_t most, void *out)
{
    size_t len = take_number(c, len_len);
    if (len > most) {
        c->bad = true;
        return 0;
    }
    take(c, out, len);
    return c->bad ? 0 : len;
}

static void
take_text(struct cursor *c, size_t most, char *out)
{
    size_t len = take_run(c, 1, most, out);
    out[len] = 0;
    if (strlen(out) != len)
        c->bad = true;
}

static void
take_policy(struct cursor *c, const uint8_t *tpm_name, uint64_t flags, struct tpm2_policy *policy)
{
    policy->auth = flags & FLAG_AUTH;
    policy->approved = flags & FLAG_APPROVED;
    policy->pcrs = (uint32_t)take_number(c, 4);
    if (flags > (FLAG_AUTH | FLAG_APPROVED | FLAG_EK) || policy->pcrs >> TPM2_PCR_COUNT ||
        (!policy->pcrs && (policy->approved || !policy->auth)))
        c->bad = true;
    for (unsigned i = 0; i < TPM2_PCR_COUNT && !c->bad; i++) {
        if (policy->pcrs >> i & 1)
            take(c, policy->values[i], SHA256_LEN);
    }
    if (!policy->approved)
        return;
    struct tpm2_approver *a = &policy->approver;
    take(c, a->point, sizeof(a->point));
    a->counter = (uint32_t)take_number(c, 4);
    a->serial = take_number(c, 8);
    take(c, a->line, sizeof(a->line));
    if (a->counter < TPM2_NV_FIRST || a->counter > TPM2_NV_LAST || a->serial == 0)
        c->bad = true;
    tpm2_approval_ref(tpm_name, a->counter, a->line, a->ref);
}

static void
take_lease(struct cursor *c, struct tpm2_file *file)
{
    file->leased = take_flag(c);
    if (!file->leased)
        return;
    take_text(c, sizeof(file->lease.instance) - 1, file->lease.instance);
    take_text(c, sizeof(file->lease.host) - 1, file->lease.host);
    uint64_t since_s = take_number(c, 8);
    file->lease.since_s = since_s <= INT64_MAX ? (int64_t)since_s : 0;
    if (!tpm2_lease_ok(&file->lease))
        c->bad = true;
}

static void
take_sealed(struct cursor *c, struct tpm2_sealed *sealed)
{
    sealed->public_len = take_run(c, 2, TPM2_SEALED_MAX, sealed->public_part);
    sealed->private_len = take_run(c, 2, TPM2_SEALED_MAX, sealed->private_part);
}

static void
take_extras(struct cursor *c, struct tpm2_file *file)
{
    uint64_t which = take_number(c, 1);
    if (which & ~(uint64_t)(WITH_AK | WITH_PIN))
        c->bad = true;
    file->has_ak = which & WITH_AK;
    if (file->has_ak)
        take_sealed(c, &file->ak);
    if (!(which & WITH_PIN))
        return;
    file->pin_box_len = take_run(c, 2, sizeof(file->pin_box), file->pin_box);
    if (file->pin_box_len <= TPM2_SEAL_LEN)
        c->bad = true;
}

static void
take_key(struct cursor *c, struct tpm2_file *file)
{
    struct tpm2_file_key *key = &file->keys[file->n_keys];
    take(c, key->ref.id, sizeof(key->ref.id));
    key->ref.public_key.type = take_flag(c) ? PUBKEY_P256 : PUBKEY_ED25519;
    take(c, key->ref.public_key.bytes, pubkey_len(key->ref.public_key.type));
    take_text(c, TPM2_PURPOSE_MAX, key->purpose);
    take_text(c, TPM2_LABEL_MAX, key->label);
    if (tpm2_file_key_sealed(key))
        take(c, key->box, sizeof(key->box));
    else
        take_sealed(c, &key->kept);
    if (!tpm2_purpose_ok(key->purpose) || tpm2_file_find(file, key->ref.id) < file->n_keys)
        c->bad = true;
    file->n_keys++;
}

enum attest_rc
tpm2_file_read(struct slice bytes, struct tpm2_file **ret, struct attest_error *err)
{
    struct cursor c = {(const uint8_t *)bytes.p, bytes.len, bytes.len > TPM2_FILE_MAX};
    AUTO(tpm2_file) struct tpm2_file *file = tpm2_file_new();
    if (!file)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    char start[sizeof(magic)];
    take(&c, start, sizeof(start));
    if (c.bad || memcmp(start, magic, MAGIC_NAME_LEN) != 0)
        return error_set(err, ATTEST_E_CORRUPT, "not a file of sealed keys");
    if (memcmp(start, magic, sizeof(magic)) != 0)
        return error_set(err, ATTEST_E_UNSUPPORTED, "sealed keys in a version not known here");
    file->serial = take_number(&c, 8);
    take(&c, file->primary_name, sizeof(file->primary_name));
    file->counter = (uint32_t)take_number(&c, 4);
    uint64_t flags = take_number(&c, 1);
    take_policy(&c, file->primary_name, flags, &file->policy);
    file->ek_checked = flags & FLAG_EK;
    if (file->ek_checked)
        take(&c, file->ek_certificate, sizeof(file->ek_certificate));
    take_sealed(&c, &file->sealed);
    take(&c, file->authority_box, sizeof(file->authority_box));
    take_lease(&c, file);
    size_t n = take_number(&c, 2);
    if (file->serial == 0 || file->counter < TPM2_NV_FIRST || file->counter > TPM2_NV_LAST ||
        n > TPM2_KEYS_MAX)
        c.bad = true;
    while (file->n_keys < n && !c.bad)
        take_key(&c, file);
    take_extras(&c, file);
    take(&c, file->seal, sizeof(file->seal));
    if (c.bad || c.left > 0)
        return error_set(err, ATTEST_E_CORRUPT, "the file of sealed keys is damaged or cut short");
    *ret = STEAL(file);
    return ATTEST_OK;
}

/* ---- writing ---- */

static void
put_number(struct buf *out, uint64_t n, size_t len)
{
    while (len-- > 0)
        buf_char(out, (char)(uint8_t)(n >> (8 * len)));
}

static void
put_run(struct buf *out, size_t len_len, const void *p, size_t len)
{
    put_number(out, len, len_len);
    buf_append(out, p, len);
}

static void
put_sealed(struct buf *out, const struct tpm2_sealed *sealed)
{
    put_run(out, 2, sealed->public_part, sealed->public_len);
    put_run(out, 2, sealed->private_part, sealed->private_len);
}

static void
put_lease(struct buf *out, const struct tpm2_file *file)
{
    put_number(out, file->leased, 1);
    if (!file->leased)
        return;
    put_run(out, 1, file->lease.instance, strlen(file->lease.instance));
    put_run(out, 1, file->lease.host, strlen(file->lease.host));
    put_number(out, (uint64_t)file->lease.since_s, 8);
}

void
tpm2_file_write(const struct tpm2_file *file, struct buf *out)
{
    buf_append(out, magic, sizeof(magic));
    put_number(out, file->serial, 8);
    buf_append(out, file->primary_name, sizeof(file->primary_name));
    put_number(out, file->counter, 4);
    put_number(out,
               (file->policy.auth ? FLAG_AUTH : 0) | (file->policy.approved ? FLAG_APPROVED : 0) |
                   (file->ek_checked ? FLAG_EK : 0),
               1);
    put_number(out, file->policy.pcrs, 4);
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        if (file->policy.pcrs >> i & 1)
            buf_append(out, file->policy.values[i], SHA256_LEN);
    }
    if (file->policy.approved) {
        buf_append(out, file->policy.approver.point, sizeof(file->policy.approver.point));
        put_number(out, file->policy.approver.counter, 4);
        put_number(out, file->policy.approver.serial, 8);
        buf_append(out, file->policy.approver.line, sizeof(file->policy.approver.line));
    }
    if (file->ek_checked)
        buf_append(out, file->ek_certificate, sizeof(file->ek_certificate));
    put_sealed(out, &file->sealed);
    buf_append(out, file->authority_box, sizeof(file->authority_box));
    put_lease(out, file);
    put_number(out, file->n_keys, 2);
    for (size_t i = 0; i < file->n_keys; i++) {
        const struct tpm2_file_key *key = &file->keys[i];
        buf_append(out, key->ref.id, sizeof(key->ref.id));
        put_number(out, !tpm2_file_key_sealed(key), 1);
        buf_slice(out, pubkey_bytes(&key->ref.public_key));
        put_run(out, 1, key->purpose, strlen(key->purpose));
        put_run(out, 1, key->label, strlen(key->label));
        if (tpm2_file_key_sealed(key))
            buf_append(out, key->box, sizeof(key->box));
        else
            put_sealed(out, &key->kept);
    }
    put_number(out, (file->has_ak ? WITH_AK : 0U) | (file->pin_box_len ? WITH_PIN : 0U), 1);
    if (file->has_ak)
        put_sealed(out, &file->ak);
    if (file->pin_box_len)
        put_run(out, 2, file->pin_box, file->pin_box_len);
}
