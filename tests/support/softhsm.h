/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_SOFTHSM_H
#define TESTS_SUPPORT_SOFTHSM_H

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A SoftHSM of the test's own: its configuration and tokens live in a directory made by mkdtemp(),
 * and SOFTHSM2_CONF of this process names it.
 */
#define SOFTHSM_LABEL "attestd test"
#define SOFTHSM_SO_PIN "so-87654321"
#define SOFTHSM_PIN "user-12345678"

struct softhsm {
    const char *module;
    char dir[128], tokens[160];
};

static inline const char *
softhsm_module(void)
{
    static const char *const places[] = {
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so",
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (access(places[i], R_OK) == 0)
            return places[i];
    }
    return NULL;
}

/* False when there is no SoftHSM here: exit 77. */
static inline bool
softhsm_start(struct softhsm *s)
{
    char conf[192];
    s->module = softhsm_module();
    if (!s->module)
        return false;
    const char *tmp = getenv("TMPDIR");
    snprintf(s->dir, sizeof(s->dir), "%s/softhsm-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(s->dir))
        abort();
    snprintf(s->tokens, sizeof(s->tokens), "%s/tokens", s->dir);
    snprintf(conf, sizeof(conf), "%s/softhsm2.conf", s->dir);
    FILE *f = fopen(conf, "w");
    if (!f || mkdir(s->tokens, 0700) != 0)
        abort();
    fprintf(f, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n",
            s->tokens);
    fclose(f);
    setenv("SOFTHSM2_CONF", conf, 1);
    return true;
}

static inline int
softhsm_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void
softhsm_stop(const struct softhsm *s)
{
    nftw(s->dir, softhsm_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
