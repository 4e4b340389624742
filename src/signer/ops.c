/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "signer/signer_impl.h"

enum { STACK_SIZE = 512 * 1024 };

struct ops {
    struct signer *signer;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct op *first, **last;
    bool stop;
};

/* ---- the thread ---- */

static void *
ops_thread(void *arg)
{
    struct ops *ops = arg;
    pthread_mutex_lock(&ops->lock);
    for (;;) {
        while (!ops->first && !ops->stop)
            pthread_cond_wait(&ops->more, &ops->lock);
        struct op *op = ops->first;
        if (!op)
            break;
        ops->first = op->next;
        if (!ops->first)
            ops->last = &ops->first;
        pthread_mutex_unlock(&ops->lock);
        op->run(ops->signer, op);
        signer_back_op(ops->signer, op);
        pthread_mutex_lock(&ops->lock);
    }
    pthread_mutex_unlock(&ops->lock);
    return NULL;
}

enum attest_rc
ops_start(struct signer *s, struct ops **ret, struct attest_error *err)
{
    struct ops *ops = calloc(1, sizeof(*ops));
    if (!ops)
        return error_set(err, ATTEST_E_NOMEM, "no memory for a thread");
    ops->signer = s;
    ops->last = &ops->first;
    pthread_mutex_init(&ops->lock, NULL);
    pthread_cond_init(&ops->more, NULL);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    int e = pthread_create(&ops->thread, &attr, ops_thread, ops);
    pthread_attr_destroy(&attr);
    if (e) {
        free(ops);
        return error_errno(err, ATTEST_E_INTERNAL, e, "starting a thread");
    }
    *ret = ops;
    return ATTEST_OK;
}

void
ops_stop(struct ops *ops)
{
    if (!ops)
        return;
    pthread_mutex_lock(&ops->lock);
    ops->stop = true;
    pthread_cond_signal(&ops->more);
    pthread_mutex_unlock(&ops->lock);
    pthread_join(ops->thread, NULL);
    pthread_cond_destroy(&ops->more);
    pthread_mutex_destroy(&ops->lock);
    free(ops);
}

void
ops_push(struct ops *ops, struct op *op)
{
    op->next = NULL;
    pthread_mutex_lock(&ops->lock);
    *ops->last = op;
    ops->last = &op->next;
    pthread_cond_signal(&ops->more);
    pthread_mutex_unlock(&ops->lock);
}

/* ---- what it does ---- */

static enum attest_rc
record(struct signer *s, const struct buf *body, struct attest_error *err)
{
    enum attest_rc rc = buf_rc(body);
    if (!rc)
        rc = issuance_log_append_wait(s->log, buf_view(body));
    return rc ? error_set(err, rc, "%s", attest_strerror(rc)) : ATTEST_OK;
}

/* From the database and not from the loop's list: two requests may be under way. */
static enum attest_rc
new_times(struct signer *s, struct key_record *key, struct attest_error *err)
{
    struct key_list list = {0};
    enum attest_rc rc = key_records_load(s->records, &list.keys, &list.n, err);
    if (!rc)
        key->times = key_list_new_times(&list, key->purpose, clock_wall_s());
    key_list_done(&list);
    return rc;
}

/* No key may come into use without a record of it, so that is written before the key's own. */
void
op_generate(struct signer *s, struct op *op)
{
    struct key_record *key = &op->key;
    AUTO(buf) struct buf body;
    buf_init(&body, 1024);
    struct issuance_log_status log;
    issuance_log_status(s->log, &log);
    if (!log.ok) { /* rather no key than one that is on the token for nothing */
        op->rc = error_set(&op->err, ATTEST_E_LOG, "%s", log.why);
        return;
    }
    uint8_t id[KEYSTORE_ID_LEN];
    random_bytes(id, sizeof(id));
    op->rc = keystore_generate(s->keystore, id, key->label, &key->ref, &op->err);
    if (op->rc)
        return;
    op->rc = new_times(s, key, &op->err);
    jwk_thumbprint(key->kid, key->ref.public_key);
    buf_printf(&body,
               "\"op\":\"key.generate\",\"kid\":\"%s\",\"purpose\":\"%s\",\"label\":", key->kid,
               key_purpose_name(key->purpose));
    json_put_string(&body, slice_cstr(key->label));
    buf_printf(&body, ",\"caller\":\"uid:%u\"", (unsigned)op->uid);
    if (!op->rc)
        op->rc = record(s, &body, &op->err);
    if (!op->rc)
        op->rc = key_records_insert(s->records, key, &op->err);
    if (op->rc)
        log_event(LOG_LEVEL_ERROR, "key_without_record",
                  "kid=%s why=%s next=\"the key is on the token and is used for nothing\"",
                  key->kid, LOG_QUOTED(slice_cstr(op->err.text)));
}

static void
write_checkpoint_input(struct signer *s, const struct key_record *key,
                       const struct chainlog_head *head, int64_t now_s, struct buf *out)
{
    char hex[2 * SHA256_LEN + 1];
    hex_encode(hex, head->hash, SHA256_LEN);
    AUTO(buf) struct buf payload;
    buf_init(&payload, 4096);
    buf_str(&payload, "{\"iss\":");
    json_put_string(&payload, s->limits.issuer);
    buf_printf(&payload, ",\"iat\":%lld,\"seq\":%llu,\"head\":\"%s\"}", (long long)now_s,
               (unsigned long long)head->seq, hex);
    jws_write_signing_input(out, key->alg, "attest-checkpoint+jwt", slice_cstr(key->kid),
                            buf_view(&payload));
}

static enum attest_rc
checkpoint(struct signer *s, struct op *op, const struct chainlog_head *head)
{
    uint8_t sig[ED25519_SIG_LEN];
    AUTO(buf) struct buf jws, body;
    buf_init(&jws, 4096);
    buf_init(&body, 8192);
    write_checkpoint_input(s, &op->key, head, clock_wall_s(), &jws);
    enum attest_rc rc =
        keystore_sign_wait(s->keystore, &op->key.ref, buf_view(&jws),
                           clock_mono_ms() + s->config->request_timeout_ms, sig, &op->err);
    if (rc)
        return rc;
    jws_write_signature(&jws, sig);
    buf_str(&body, "\"op\":\"checkpoint\",\"checkpoint\":\"");
    buf_slice(&body, buf_view(&jws));
    buf_char(&body, '"');
    return record(s, &body, &op->err);
}

void
op_checkpoint(struct signer *s, struct op *op)
{
    struct issuance_log_status at;
    issuance_log_status(s->log, &at);
    op->rc = op->key.kid[0] ? checkpoint(s, op, &at.head) : ATTEST_OK;
    if (op->rc)
        return;
    issuance_log_status(s->log, &at);
    op->rc = key_records_set_head(s->records, &at.head, &op->err);
}

static enum attest_rc
record_config(struct signer *s, struct attest_error *err)
{
    AUTO(buf) struct buf dump, body;
    uint8_t hash[SHA256_LEN], known[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    buf_init(&dump, 1 << 20);
    buf_init(&body, 1024);
    enum attest_rc rc = config_dump(&signer_config_schema, s->config, true, &dump);
    if (rc)
        return error_set(err, rc, "configuration: %s", attest_strerror(rc));
    sha256(hash, dump.p, dump.len);
    if ((rc = key_records_config(s->records, known, err)) || memcmp(hash, known, SHA256_LEN) == 0)
        return rc;
    hex_encode(hex, hash, SHA256_LEN);
    buf_printf(&body, "\"op\":\"config\",\"sha256\":\"%s\"", hex);
    if ((rc = record(s, &body, err)))
        return rc;
    return key_records_set_config(s->records, hash, err);
}

void
op_start_record(struct signer *s, struct op *op)
{
    AUTO(buf) struct buf body;
    buf_init(&body, 4096);
    buf_printf(&body,
               "\"op\":\"start\",\"version\":\"%s\",\"development\":%s,\"iss\":", PACKAGE_VERSION,
               s->config->development ? "true" : "false");
    json_put_string(&body, s->limits.issuer);
    op->rc = record(s, &body, &op->err);
    if (!op->rc)
        op->rc = record_config(s, &op->err);
    struct issuance_log_status at;
    issuance_log_status(s->log, &at);
    if (!op->rc)
        op->rc = key_records_set_head(s->records, &at.head, &op->err);
}
