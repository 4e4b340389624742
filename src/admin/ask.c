/* SPDX-License-Identifier: MIT */
#include "admin/ask.h"

#include <stdlib.h>
#include <unistd.h>

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

static const char *
socket_path(const struct options *o)
{
    if (o->socket)
        return o->socket;
    const char *from_env = getenv("ATTEST_SOCKET");
    return from_env && *from_env ? from_env : SOCKET_USUAL;
}

enum exit_status
ask_signer(const struct options *o, const char *op, struct slice members, struct buf *answer)
{
    struct attest_error err = {0};
    const char *path = socket_path(o);
    enum attest_rc rc = wire_call(path, op, members, ASK_TIMEOUT_MS, answer, &err);
    return rc ? report(o, &err, advice_for(rc, path)) : EXIT_DONE;
}
