/* SPDX-License-Identifier: MIT */
#include <sodium.h>
#include <stdio.h>

#include "hsm/tpm2_store.h"

/*
 * sealed_secrets TCTI FILE [PIN-FILE]: what a file of sealed keys hides, for find_secrets, one a
 * line. For tests, on keys that are worth nothing.
 */

static void
print_secret(const char *name, const uint8_t *p, size_t len)
{
    printf("%s ", name);
    for (size_t i = 0; i < len; i++)
        printf("%02x", p[i]);
    putchar('\n');
}

int
main(int argc, char **argv)
{
    struct attest_error err = {0};
    AUTO(secret) struct secret pin = {0};
    if (argc < 3 || crypto_init(&err) || (argc > 3 && secret_read_file(argv[3], 255, &pin, &err))) {
        fprintf(stderr, "sealed_secrets: TCTI FILE [PIN-FILE] %s\n", err.text);
        return 2;
    }
    const struct tpm2_store_config config = {
        .link = {.tcti = argv[1]}, .path = argv[2], .pin = &pin};
    struct tpm2_store store;
    if (tpm2_store_open(&store, &config, &err)) {
        fprintf(stderr, "sealed_secrets: %s\n", err.text);
        return 1;
    }
    print_secret("wrapping-key", store.wrapping.p, store.wrapping.len);
    print_secret("authority", store.authority.p, store.authority.len);
    uint8_t auth[TPM2_AUTH_VALUE_LEN];
    if (tpm2_auth_value(&store.authority, TPM2_AUTH_AK, auth))
        print_secret("attestation-key-auth", auth, sizeof(auth));
    for (size_t i = 0; i < store.file->n_keys; i++) {
        char name[TPM2_PURPOSE_MAX + 32], label[8 + 2 * KEYSTORE_ID_LEN] = "key:";
        hex_encode(label + strlen(label), store.file->keys[i].ref.id, KEYSTORE_ID_LEN);
        if (!tpm2_file_key_sealed(&store.file->keys[i])) { /* the TPM has it, we what opens it */
            snprintf(name, sizeof(name), "auth-%zu-%s", i, store.file->keys[i].purpose);
            if (tpm2_auth_value(&store.authority, label, auth))
                print_secret(name, auth, sizeof(auth));
            continue;
        }
        snprintf(name, sizeof(name), "seed-%zu-%s", i, store.file->keys[i].purpose);
        const uint8_t *seed = store.pairs.p + i * ED25519_PAIR_LEN;
        print_secret(name, seed, ED25519_SEED_LEN);
        /* Who has the scalar signs as well as who has the seed (RFC 8032 section 5.1.5); its first
           and last bytes are changed. The other half makes the nonces. */
        uint8_t both[crypto_hash_sha512_BYTES];
        crypto_hash_sha512(both, seed, ED25519_SEED_LEN);
        print_secret("derived-scalar", both + 1, 30);
        print_secret("derived-nonces", both + 32, 32);
    }
    tpm2_store_close(&store);
    return 0;
}
