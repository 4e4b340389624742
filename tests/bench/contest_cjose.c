/* SPDX-License-Identifier: MIT */
#include "tests/bench/contest.h"

/* Version 0.6 reads neither EdDSA nor OKP keys; it is asked all the same. */
#ifdef HAVE_CJOSE
#include <cjose/cjose.h>
#include <string.h>

static void *
open_key(const struct contest *c)
{
    cjose_err err;
    return cjose_jwk_import(c->jwk, strlen(c->jwk), &err);
}

static bool
verify(void *state, const struct contest *c, size_t i)
{
    cjose_err err;
    cjose_jws_t *jws = cjose_jws_import(c->token[i], c->token_len[i], &err);
    bool good = jws && cjose_jws_verify(jws, state, &err);
    cjose_jws_release(jws);
    return good;
}

static void
close_key(void *state)
{
    cjose_jwk_release(state);
}

const struct contestant contestant_cjose = {
    .name = "cjose",
    .may_lack = true,
    .does = "parsing and the signature",
    .open = open_key,
    .verify = verify,
    .close = close_key,
};
#else
const struct contestant contestant_cjose = {.name = "cjose", .absent = true};
#endif
