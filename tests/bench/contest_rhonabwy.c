/* SPDX-License-Identifier: MIT */
#include "tests/bench/contest.h"

/*
 * Given the key once as it likes it best; parsing and the signature are in its time, judging the
 * claims is not, which it leaves to its caller.
 */

#ifdef HAVE_RHONABWY
#include <rhonabwy.h>

static void *
rhonabwy_open(const struct contest *c)
{
    jwk_t *key = NULL;
    if (r_global_init() != RHN_OK || r_jwk_init(&key) != RHN_OK)
        return NULL;
    if (r_jwk_import_from_json_str(key, c->jwk) == RHN_OK)
        return key;
    r_jwk_free(key);
    return NULL;
}

static bool
rhonabwy_verify(void *state, const struct contest *c, size_t i)
{
    jwt_t *jwt = NULL;
    bool good =
        r_jwt_init(&jwt) == RHN_OK &&
        r_jwt_advanced_parsen(jwt, c->token[i], c->token_len[i], R_PARSE_NONE, 0) == RHN_OK &&
        r_jwt_verify_signature(jwt, state, 0) == RHN_OK;
    r_jwt_free(jwt);
    return good;
}

static void
rhonabwy_close(void *state)
{
    r_jwk_free(state);
    r_global_close();
}

const struct contestant contestant_rhonabwy = {
    .name = "rhonabwy",
    .does = "parsing and the signature",
    .open = rhonabwy_open,
    .verify = rhonabwy_verify,
    .close = rhonabwy_close,
};
#else
const struct contestant contestant_rhonabwy = {.name = "rhonabwy", .absent = true};
#endif
