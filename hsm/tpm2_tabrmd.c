/* SPDX-License-Identifier: MIT */
#include "hsm/tpm2_tabrmd.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

typedef int (*iteration_fn)(void *context, int may_block);

bool
tpm2_tabrmd_is(const char *tcti)
{
    return strstr(tcti, "tabrmd") != NULL;
}

static void *
tidy_main(void *glib)
{
    iteration_fn iterate = (iteration_fn)dlsym(glib, "g_main_context_iteration");
    while (iterate && iterate(NULL, 0))
        ;
    return NULL;
}

/*
 * In a thread of its own with all signals blocked: of a D-Bus that has gone GLib wants the program
 * to end, and raises SIGTERM in the thread that it tells so. That signal ends with the thread.
 */
void
tpm2_tabrmd_tidy(void)
{
    pthread_t thread;
    sigset_t all, before;
    /* Not linked: it is there when that TCTI brought it. */
    void *glib = dlopen("libglib-2.0.so.0", RTLD_NOW | RTLD_NOLOAD);
    if (!glib)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, NULL, tidy_main, glib) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started)
        pthread_join(thread, NULL);
    dlclose(glib);
}
