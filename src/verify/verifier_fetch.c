/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "verify/verifier.h"

/* A verifier that fetches its keys: stepped by its owner's loop, or by a thread. */

static bool
fetches(const struct attest_verifier *v)
{
    return v->resolver && v->pid == getpid();
}

int
attest_verifier_fd(const struct attest_verifier *verifier)
{
    return fetches(verifier) ? resolver_fd(verifier->resolver) : -1;
}

int
attest_verifier_timeout_ms(struct attest_verifier *verifier)
{
    return fetches(verifier) ? resolver_timeout_ms(verifier->resolver) : -1;
}

enum attest_rc
attest_verifier_step(struct attest_verifier *verifier)
{
    if (verifier->pid != getpid())
        return ATTEST_E_FORKED;
    verifier_use(verifier);
    if (verifier->resolver)
        resolver_step(verifier->resolver);
    return ATTEST_OK;
}

static enum attest_rc
fetch_again(struct attest_verifier *v, const char *issuer, bool clear, struct attest_error *err)
{
    if (v->pid != getpid())
        return error_set(err, ATTEST_E_FORKED, "verifier: made before fork()");
    if (!v->resolver)
        return error_set(err, ATTEST_E_ARGUMENT, "verifier: its keys are not fetched");
    return resolver_invalidate(v->resolver, issuer, clear, err);
}

enum attest_rc
attest_verifier_invalidate(struct attest_verifier *verifier, const char *issuer,
                           struct attest_error *err)
{
    return fetch_again(verifier, issuer, false, err);
}

enum attest_rc
attest_verifier_clear(struct attest_verifier *verifier, const char *issuer,
                      struct attest_error *err)
{
    return fetch_again(verifier, issuer, true, err);
}

/* ---- the thread ---- */

static void *
run(void *ctx)
{
    struct attest_verifier *v = ctx;
    atomic_store(&v->runner, gettid());
    struct pollfd fds[] = {{.fd = resolver_fd(v->resolver), .events = POLLIN},
                           {.fd = v->stop_fd, .events = POLLIN}};
    while (!(fds[1].revents & POLLIN)) {
        resolver_step(v->resolver);
        poll(fds, 2, resolver_timeout_ms(v->resolver));
    }
    return NULL;
}

static enum attest_rc
start(struct attest_verifier *v, struct attest_error *err)
{
    v->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (v->stop_fd < 0)
        return error_errno(err, ATTEST_E_NOMEM, errno, "eventfd");
    /* The signals of the program are its own threads' business. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&v->thread, NULL, run, v);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        return ATTEST_OK;
    close(v->stop_fd);
    v->stop_fd = -1;
    return error_errno(err, ATTEST_E_NOMEM, failed, "pthread_create");
}

enum attest_rc
attest_verifier_start_thread(struct attest_verifier *verifier, struct attest_error *err)
{
    if (verifier->pid != getpid())
        return error_set(err, ATTEST_E_FORKED, "verifier: made before fork()");
    if (!verifier->resolver || atomic_exchange(&verifier->threaded, true))
        return error_set(err, ATTEST_E_ARGUMENT, "verifier: its keys are not fetched, or %s",
                         "by a thread already");
    verifier_use(verifier);
    enum attest_rc rc = start(verifier, err);
    if (rc != ATTEST_OK)
        atomic_store(&verifier->threaded, false);
    return rc;
}

bool
verifier_is_own_thread(const struct attest_verifier *verifier)
{
    return atomic_load(&verifier->runner) == gettid();
}

void
verifier_stop_thread(struct attest_verifier *verifier)
{
    if (!verifier->threaded)
        return;
    const uint64_t one = 1;
    ssize_t n = write(verifier->stop_fd, &one, sizeof(one));
    (void)n;
    pthread_join(verifier->thread, NULL);
    close(verifier->stop_fd);
    atomic_store(&verifier->runner, 0);
    verifier->threaded = false;
}
