/* SPDX-License-Identifier: MIT */
#include "signer/start.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/prompt.h"
#include "base/service.h"
#include "hsm/sealing.h"

enum { PIN_MAX = 255 };

static enum attest_rc
unseal_pin(const struct signer_config *config, struct secret *ret, struct attest_error *err)
{
    AUTO(mem) char *uri = signer_config_pin_uri(config);
    AUTO(secret) struct secret owner_auth = {0};
    if (!uri)
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    enum attest_rc rc = start_owner_auth(config, &owner_auth, err);
    if (rc)
        return rc;
    const struct keystore_config sealed = {.uri = uri,
                                           .sealed_path = config->pin_tpm2,
                                           .pcrs = config->pcrs,
                                           .owner_auth = &owner_auth};
    struct attest_error why = {0};
    rc = sealing_pin_get(&sealed, ret, &why);
    return rc ? error_set(err, rc, "pin.tpm2: %s", why.text) : ATTEST_OK;
}

enum attest_rc
start_pin(const struct signer_config *config, struct secret *ret, struct attest_error *err)
{
    if (config->pin_file)
        return secret_read_file(config->pin_file, PIN_MAX, ret, err);
    if (config->pin_prompt)
        return prompt_secret("PIN of the token: ", PIN_MAX, ret, err);
    if (config->pin_tpm2)
        return unseal_pin(config, ret, err);
    AUTO(mem) char *path = service_credential_path(config->pin_credential);
    if (!path && signer_config_pin_optional(config))
        return ATTEST_OK;
    if (!path)
        return error_set(
            err, ATTEST_E_CONFIG,
            "no way to the PIN: set pin.file, pin.tpm2 or pin.prompt, or pass the credential %s",
            config->pin_credential);
    return secret_read_file(path, PIN_MAX, ret, err);
}

enum attest_rc
start_owner_auth(const struct signer_config *config, struct secret *ret, struct attest_error *err)
{
    return config->owner_auth_file ? secret_read_file(config->owner_auth_file, PIN_MAX, ret, err)
                                   : ATTEST_OK;
}

/* ---- users ---- */

static enum attest_rc
resolve_users(const struct config_list *names, const char *key, struct start_socket *socket,
              struct attest_error *err)
{
    size_t n = names->n ? names->n : 1;
    socket->users = calloc(n, sizeof(*socket->users));
    if (!socket->users)
        return error_set(err, ATTEST_E_NOMEM, "no memory for %s", key);
    socket->users[0] = geteuid();
    for (size_t i = 0; i < names->n; i++) {
        struct attest_error why = {0};
        if (sock_uid(names->items[i], &socket->users[i], &why))
            return error_set(err, ATTEST_E_CONFIG, "%s: %s", key, why.text);
    }
    socket->listener.users = socket->users;
    socket->listener.n_users = n;
    return ATTEST_OK;
}

static enum attest_rc
check_apart(const struct signer_config *config, const struct start_socket sockets[2],
            struct attest_error *err)
{
    for (size_t i = 0; i < sockets[0].listener.n_users; i++) {
        for (size_t j = 0; j < sockets[1].listener.n_users; j++) {
            uid_t uid = sockets[0].users[i];
            if (uid != sockets[1].users[j])
                continue;
            if (!config->development)
                return error_set(err, ATTEST_E_CONFIG,
                                 "user %u is both in signer_users and in admin_users: give attestd "
                                 "a user of its own, or set development: true",
                                 (unsigned)uid);
            log_event(LOG_LEVEL_WARNING, "development",
                      "uid=%u note=\"one user may use both sockets: attestd could manage keys\"",
                      (unsigned)uid);
        }
    }
    return ATTEST_OK;
}

/* ---- sockets ---- */

enum attest_rc
start_make_dir(const char *path, struct attest_error *err)
{
    mode_t mask = umask(022);
    enum attest_rc rc = file_mkdirs(path, 0755, err);
    umask(mask);
    return rc;
}

static enum attest_rc
make_parent(const char *path, struct attest_error *err)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return ATTEST_OK;
    AUTO(mem) char *parent = slice_dup((struct slice){path, (size_t)(slash - path)});
    if (!parent)
        return error_set(err, ATTEST_E_NOMEM, "no memory for a name");
    /* Who may use the socket is the socket's to say. */
    return start_make_dir(parent, err);
}

static enum attest_rc
open_socket(const char *passed_name, const char *path, const char *group,
            struct start_socket *socket, struct attest_error *err)
{
    socket->listener.fd = service_listen_fd(passed_name);
    if (socket->listener.fd >= 0)
        return ATTEST_OK;
    gid_t gid = (gid_t)-1;
    enum attest_rc rc = ATTEST_OK;
    if (group && (rc = sock_gid(group, &gid, err)))
        return rc;
    if ((rc = make_parent(path, err)))
        return rc;
    /* Without a group of its own the socket is for other users by root's hand only. */
    rc = sock_listen_unix(path, group ? 0660 : 0600, gid, &socket->listener.fd, err);
    if (!rc)
        socket->path = path;
    return rc;
}

enum attest_rc
start_sockets(const struct signer_config *config, struct start_socket ret[2],
              struct attest_error *err)
{
    memset(ret, 0, 2 * sizeof(*ret));
    ret[0].listener = (struct server_listener){.socket = SERVER_SIGNER, .fd = -1};
    ret[1].listener = (struct server_listener){.socket = SERVER_ADMIN, .fd = -1};
    enum attest_rc rc = resolve_users(&config->signer_users, "signer_users", &ret[0], err);
    if (rc || (rc = resolve_users(&config->admin_users, "admin_users", &ret[1], err)) ||
        (rc = check_apart(config, ret, err)) ||
        (rc = open_socket("signer", config->signer_socket, config->signer_group, &ret[0], err)) ||
        (rc = open_socket("signer-admin", config->admin_socket, config->admin_group, &ret[1], err)))
        start_sockets_done(ret);
    return rc;
}

void
start_sockets_done(struct start_socket sockets[2])
{
    for (int i = 0; i < 2; i++) {
        if (sockets[i].path)
            unlink(sockets[i].path);
        if (sockets[i].listener.fd >= 0)
            close(sockets[i].listener.fd);
        free(sockets[i].users);
        sockets[i] = (struct start_socket){.listener.fd = -1};
    }
}
