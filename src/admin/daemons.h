/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_DAEMONS_H
#define ADMIN_DAEMONS_H

#include "base/config.h"
#include "signer/signer_config.h"

#define CONFIG_FILE_MAX (1 << 20) /* bytes */

/* The daemons whose configuration attestctl can read: one row each, the daemons' own tables. */
struct daemon {
    const char *name;
    const struct config_schema *schema;
    size_t config_size;
    enum attest_rc (*check)(const void *config, struct attest_error *err);
    const char *usual_path;
};

extern const struct daemon daemons[];
extern const size_t n_daemons;

/* NULL when there is none of this name. */
const struct daemon *daemon_named(const char *name);
/* Whose file this is, by its name or else by the keys at the left margin of text; NULL: no idea. */
const struct daemon *daemon_guess(const char *path, struct slice text);

/*
 * text read as that daemon would, environment included. *ret is its struct, to be freed with
 * daemon_config_free(). ATTEST_E_CONFIG when the daemon would refuse it, ATTEST_E_NOMEM.
 */
enum attest_rc daemon_config(const struct daemon *d, struct slice text, void **ret,
                             struct attest_error *err);
void daemon_config_free(const struct daemon *d, void *config);

/*
 * attest-signer's settings for commands that look into them: of the file at path, or of the usual
 * one when path is NULL. With path NULL and no such file to read, all is zero and ATTEST_OK.
 * Empty *ret with signer_settings_done().
 */
enum attest_rc signer_settings(const char *path, struct signer_config *ret,
                               struct attest_error *err);
void signer_settings_done(struct signer_config *config);

static inline void
signer_settings_auto(struct signer_config *config)
{
    signer_settings_done(config);
}

#endif
