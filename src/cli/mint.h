/* SPDX-License-Identifier: MIT */
#ifndef CLI_MINT_H
#define CLI_MINT_H

#include "base/bytes.h"

/* The client's half of POST /v1/attestations: what is asked and how an answer reads. No network. */

struct mint_wish {
    const char *issuer; /* needed with a key: the proof of the key names it */
    const char *audience, *model_family, *model_version, *provider;
    const char *deployment_id, *config_hash; /* NULL: none */
    const char *key_file;                    /* a private key to bind the token to; NULL: unbound */
};

/* Appends the body. ATTEST_E_ARGUMENT (no issuer, a public key only), or what reading the key says.
 */
enum attest_rc mint_body(const struct mint_wish *wish, struct buf *out, struct attest_error *err);

/* The token from an answer of 201, or with whole the answer as compact JSON; free() it. */
char *mint_answer(const struct buf *body, bool whole, struct attest_error *err);

/* The issuer that a discovery document names; free() it. */
char *mint_issuer(const struct buf *body, struct attest_error *err);

/* What an answer of another status says; printable. */
struct mint_problem {
    char detail[256];
    char member[128];
    char *json; /* the problem as compact JSON; NULL when it was none */
};
void mint_problem_read(const struct buf *body, const char *type, struct mint_problem *ret);
void mint_problem_done(struct mint_problem *problem);

#endif
