/* SPDX-License-Identifier: MIT */
#include "issuer/tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/pkcs11.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/secret.h"
#include "issuer/watch.h"

enum { CHAIN_MAX = 8, FILE_MAX = 256 * 1024 };

/* One certificate chain with its key. GnuTLS borrows it during a handshake. */
struct pair {
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned n;
    gnutls_privkey_t key;
    int64_t retired_ms; /* 0: in use */
    struct pair *older;
};

static struct {
    pthread_mutex_t lock;
    struct pair *newest;
    char *certificate_path, *key_path;
} tls = {.lock = PTHREAD_MUTEX_INITIALIZER};

const char *const tls_priorities = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-AES-128-CBC:"
                                   "-AES-256-CBC:-AES-128-CCM:-AES-256-CCM:%SERVER_PRECEDENCE";

static void
pair_free(struct pair *pair)
{
    if (!pair)
        return;
    for (unsigned i = 0; i < pair->n; i++)
        gnutls_pcert_deinit(&pair->chain[i]);
    if (pair->key)
        gnutls_privkey_deinit(pair->key);
    free(pair);
}
DEFINE_AUTO(pair, struct pair *, pair_free);

static enum attest_rc
read_chain(struct pair *pair, const char *path, struct attest_error *err)
{
    AUTO(buf) struct buf text;
    buf_init(&text, FILE_MAX);
    enum attest_rc rc = file_read(path, FILE_MAX - 1, &text, err);
    if (rc)
        return rc;
    gnutls_datum_t pem = {(unsigned char *)text.p, (unsigned)text.len};
    unsigned n = CHAIN_MAX;
    int e = gnutls_pcert_list_import_x509_raw(pair->chain, &n, &pem, GNUTLS_X509_FMT_PEM, 0);
    if (e < 0)
        return error_set(err, ATTEST_E_CONFIG, "tls.certificate: %s", gnutls_strerror(e));
    pair->n = n;
    return ATTEST_OK;
}

static enum attest_rc
read_key(struct pair *pair, const char *path, struct attest_error *err)
{
    AUTO(secret) struct secret text = {0};
    enum attest_rc rc = secret_read_file(path, FILE_MAX, &text, err);
    if (rc)
        return rc;
    gnutls_datum_t pem = {text.p, (unsigned)text.len};
    int e = gnutls_privkey_init(&pair->key);
    if (e == 0)
        e = gnutls_privkey_import_x509_raw(pair->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (e < 0)
        return error_set(err, ATTEST_E_CONFIG, "tls.key: %s", gnutls_strerror(e));
    return ATTEST_OK;
}

/* Whether they belong together. */
static enum attest_rc
check_pair(const struct pair *pair, struct attest_error *err)
{
    uint8_t of_key[64], of_certificate[64];
    size_t key_len = sizeof(of_key), certificate_len = sizeof(of_certificate);
    gnutls_pubkey_t key = NULL;
    bool same = gnutls_pubkey_init(&key) == 0 &&
                gnutls_pubkey_import_privkey(key, pair->key, 0, 0) == 0 &&
                gnutls_pubkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, of_key, &key_len) == 0 &&
                gnutls_pubkey_get_key_id(pair->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256,
                                         of_certificate, &certificate_len) == 0 &&
                key_len == certificate_len && memcmp(of_key, of_certificate, key_len) == 0;
    if (key)
        gnutls_pubkey_deinit(key);
    if (!same)
        return error_set(err, ATTEST_E_CONFIG, "tls.key does not belong to tls.certificate");
    return ATTEST_OK;
}

static enum attest_rc
load(struct pair **ret, struct attest_error *err)
{
    AUTO(pair) struct pair *pair = calloc(1, sizeof(*pair));
    if (!pair)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the certificate");
    enum attest_rc rc;
    if ((rc = read_chain(pair, tls.certificate_path, err)) ||
        (rc = read_key(pair, tls.key_path, err)) || (rc = check_pair(pair, err)))
        return rc;
    *ret = STEAL(pair);
    return ATTEST_OK;
}

enum attest_rc
tls_init(const char *certificate_path, const char *key_path, struct attest_error *err)
{
    /* Before anything could ask for it: no module of the system's list, none at all. */
    if (gnutls_pkcs11_init(GNUTLS_PKCS11_FLAG_MANUAL, NULL) < 0)
        return error_set(err, ATTEST_E_INTERNAL, "GnuTLS does not start without PKCS#11");
    tls.certificate_path = strdup(certificate_path);
    tls.key_path = strdup(key_path);
    if (!tls.certificate_path || !tls.key_path)
        return error_set(err, ATTEST_E_NOMEM, "no memory for the certificate");
    return load(&tls.newest, err);
}

/* Drops what no handshake can still use. */
static void
drop_retired(int64_t before_ms)
{
    for (struct pair **at = &tls.newest->older; *at;) {
        struct pair *old = *at;
        if (old->retired_ms > before_ms) {
            at = &old->older;
            continue;
        }
        *at = old->older;
        pair_free(old);
    }
}

enum attest_rc
tls_reload(int64_t grace_ms, struct attest_error *err)
{
    struct pair *pair = NULL;
    enum attest_rc rc = load(&pair, err);
    if (rc)
        return rc;
    int64_t now_ms = clock_mono_ms();
    pthread_mutex_lock(&tls.lock);
    tls.newest->retired_ms = now_ms;
    pair->older = tls.newest;
    tls.newest = pair;
    drop_retired(now_ms - grace_ms);
    pthread_mutex_unlock(&tls.lock);
    return ATTEST_OK;
}

void
tls_done(void)
{
    while (tls.newest) {
        struct pair *older = tls.newest->older;
        pair_free(tls.newest);
        tls.newest = older;
    }
    free(tls.certificate_path);
    free(tls.key_path);
    tls.certificate_path = tls.key_path = NULL;
}

static int
give_pair(gnutls_session_t session, const gnutls_datum_t *authorities, int n_authorities,
          const gnutls_pk_algorithm_t *algorithms, int n_algorithms, gnutls_pcert_st **chain,
          unsigned *chain_len, gnutls_privkey_t *key)
{
    (void)session;
    (void)authorities;
    (void)n_authorities;
    (void)algorithms;
    (void)n_algorithms;
    pthread_mutex_lock(&tls.lock);
    *chain = tls.newest->chain;
    *chain_len = tls.newest->n;
    *key = tls.newest->key;
    pthread_mutex_unlock(&tls.lock);
    return 0;
}

void *const tls_cert_callback = (void *)give_pair;

/* In front of GnuTLS's own, for issuer/watch.h; with no place for a number it does the same. */
__attribute__((visibility("default"))) ssize_t
gnutls_record_recv(gnutls_session_t session, void *data, size_t len)
{
    ssize_t n = gnutls_record_recv_seq(session, data, len, NULL);
    if (n > 0)
        watch_bytes(gnutls_transport_get_int(session), data, (size_t)n, true);
    return n;
}
