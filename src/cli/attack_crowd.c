/* SPDX-License-Identifier: MIT */
#include "cli/attack_crowd.h"

#include <pthread.h>

struct runner {
    pthread_mutex_t *gate;
    const struct scene *scene;
    const char *token;
    enum attest_rc rc;
    pthread_t thread;
};

static void *
run(void *ctx)
{
    struct runner *r = ctx;
    pthread_mutex_lock(r->gate);
    pthread_mutex_unlock(r->gate);
    r->rc = scene_check(r->scene, r->token, NULL);
    return NULL;
}

struct crowd
crowd_show(const struct scene *s, const char *token)
{
    struct runner runner[CROWD];
    struct crowd crowd = {0};
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&gate);
    for (; crowd.shown < CROWD; crowd.shown++) {
        struct runner *r = &runner[crowd.shown];
        *r = (struct runner){.gate = &gate, .scene = s, .token = token};
        if (pthread_create(&r->thread, NULL, run, r) != 0)
            break;
    }
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < crowd.shown; i++) {
        pthread_join(runner[i].thread, NULL);
        crowd.accepted += runner[i].rc == ATTEST_OK;
        crowd.replayed += runner[i].rc == ATTEST_E_REPLAY;
    }
    pthread_mutex_destroy(&gate);
    return crowd;
}
