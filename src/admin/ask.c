/* SPDX-License-Identifier: MIT */
#include "admin/ask.h"

#include <stdlib.h>
#include <unistd.h>

#include "admin/daemons.h"
#include "wire/client.h"

/* Longer than the signer's own deadline for a module call, so that its answer arrives. */
#define ASK_TIMEOUT_MS 30000
#define SOCKET_USUAL "/run/attest-signer/signer-admin.sock"

static const char *
advice_for(enum attest_rc rc, const char *path)
{
    switch (rc) {
    case ATTEST_E_NOT_FOUND:
        if (access(path, F_OK) == 0)
            return NULL; /* the signer's word on something else */
        /* fall through */
    case ATTEST_E_IO:
        if (path == getenv("ATTEST_SOCKET"))
            return "ATTEST_SOCKET may be attestd's: name attest-signer's admin socket with "
                   "--socket";
        return "start attest-signer, or name its admin socket with --socket";
    case ATTEST_E_DENIED:
        return "run this as a user of admin_users and a member of admin_group";
    case ATTEST_E_TIMEOUT:
        return "attest-signer is there but does not answer: see its log";
    case ATTEST_E_MALFORMED:
        return "give the path of signer-admin.sock with --socket";
    case ATTEST_E_KEY_OUT_OF_REACH:
        return "see attestctl status, and attestctl hsm info";
    default:
        return NULL;
    }
}

/*
 * Where the signer listens: --socket, what --config says, ATTEST_SOCKET, what the usual
 * configuration says, the usual place. Borrows from settings, the environment or o.
 */
static enum exit_status
socket_path(const struct options *o, struct signer_config *settings, const char **ret)
{
    const char *from_env = getenv("ATTEST_SOCKET");
    *ret = o->socket ? o->socket : o->config ? NULL : from_env && *from_env ? from_env : NULL;
    if (*ret)
        return EXIT_DONE;
    struct attest_error err = {0};
    if (signer_settings(o->config, settings, &err))
        return complain(EXIT_FAILED, "%s; correct it, or give --socket", err.text);
    *ret = settings->admin_socket ? settings->admin_socket : SOCKET_USUAL;
    return EXIT_DONE;
}

enum exit_status
ask_signer(const struct options *o, const char *op, struct slice members,
           const struct advice *advice, struct buf *answer)
{
    struct attest_error err = {0};
    AUTO(signer_settings) struct signer_config settings = {0};
    const char *path;
    enum exit_status status = socket_path(o, &settings, &path);
    if (status)
        return status;
    enum attest_rc rc = wire_call(path, op, members, ASK_TIMEOUT_MS, answer, &err);
    if (rc == ATTEST_OK)
        return EXIT_DONE;
    bool answered = answer->len > 0;
    for (; answered && advice && advice->rc; advice++) {
        if (advice->rc == rc)
            return refuse(o, "%s%s%s", *err.text ? err.text : attest_strerror(rc),
                          advice->text ? "; " : "", advice->text ? advice->text : "");
    }
    return report(o, &err, advice_for(rc, path));
}
