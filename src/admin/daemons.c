/* SPDX-License-Identifier: MIT */
#include "admin/daemons.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "issuer/issuer_config.h"

static enum attest_rc
check_issuer(const void *config, struct attest_error *err)
{
    return issuer_config_check(config, err);
}

static enum attest_rc
check_signer(const void *config, struct attest_error *err)
{
    return signer_config_check(config, err);
}

const struct daemon daemons[] = {
    {"attestd", &issuer_config_schema, sizeof(struct issuer_config), check_issuer,
     PKGSYSCONFDIR "/attestd.yaml"},
    {"attest-signer", &signer_config_schema, sizeof(struct signer_config), check_signer,
     PKGSYSCONFDIR "/attest-signer.yaml"},
};

const size_t n_daemons = ARRAY_LEN(daemons);

const struct daemon *
daemon_named(const char *name)
{
    for (size_t i = 0; i < n_daemons; i++) {
        if (strcmp(daemons[i].name, name) == 0)
            return &daemons[i];
    }
    return NULL;
}

/* Whether text has this key, or the mapping that it is in, at the left margin of a line. */
static bool
has_key(struct slice text, const char *name)
{
    size_t len = strcspn(name, ".");
    const char *end = text.p + text.len;
    for (const char *line = text.p; line && line < end;) {
        if ((size_t)(end - line) > len && memcmp(line, name, len) == 0 && line[len] == ':')
            return true;
        line = memchr(line, '\n', (size_t)(end - line));
        line = line ? line + 1 : NULL;
    }
    return false;
}

static unsigned
keys_found(const struct config_schema *schema, struct slice text)
{
    unsigned n = 0;
    for (size_t i = 0; i < schema->n_keys; i++)
        n += has_key(text, schema->keys[i].name);
    return n;
}

const struct daemon *
daemon_guess(const char *path, struct slice text)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    for (size_t i = 0; i < n_daemons; i++) {
        if (strncmp(file, daemons[i].name, strlen(daemons[i].name)) == 0)
            return &daemons[i];
    }
    const struct daemon *best = NULL;
    unsigned most = 0;
    for (size_t i = 0; i < n_daemons; i++) {
        unsigned n = keys_found(daemons[i].schema, text);
        if (n == most)
            best = NULL;
        if (n > most) {
            best = &daemons[i];
            most = n;
        }
    }
    return best;
}

enum attest_rc
daemon_config(const struct daemon *d, struct slice text, void **ret, struct attest_error *err)
{
    void *config = calloc(1, d->config_size);
    if (!config)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    enum attest_rc rc = config_parse(d->schema, text, (const char *const *)environ, config, err);
    if (rc == ATTEST_OK)
        rc = d->check(config, err);
    if (rc) {
        daemon_config_free(d, config);
        return rc;
    }
    *ret = config;
    return ATTEST_OK;
}

void
daemon_config_free(const struct daemon *d, void *config)
{
    if (!config)
        return;
    config_done(d->schema, config);
    free(config);
}

enum attest_rc
signer_settings(const char *path, struct signer_config *ret, struct attest_error *err)
{
    const struct daemon *d = daemon_named("attest-signer");
    *ret = (struct signer_config){0};
    if (!path && access(d->usual_path, R_OK) < 0)
        return ATTEST_OK;
    return config_load(d->schema, path ? path : d->usual_path, (const char *const *)environ, ret,
                       err);
}

void
signer_settings_done(struct signer_config *config)
{
    config_done(&signer_config_schema, config);
}
