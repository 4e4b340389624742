/* SPDX-License-Identifier: MIT */
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

void
ops_push_urgent(struct ops *ops, struct op *op)
{
    pthread_mutex_lock(&ops->lock);
    op->next = ops->first;
    ops->first = op;
    if (!op->next)
        ops->last = &op->next;
    pthread_cond_signal(&ops->more);
    pthread_mutex_unlock(&ops->lock);
}

enum attest_rc
ops_record(struct signer *s, const struct buf *body, struct attest_error *err)
{
    enum attest_rc rc = buf_rc(body);
    if (!rc)
        rc = issuance_log_append_wait(s->log, buf_view(body), s->config->request_timeout_ms);
    return rc ? error_set(err, rc, "%s", attest_strerror(rc)) : ATTEST_OK;
}
