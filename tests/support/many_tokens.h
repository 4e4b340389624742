/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_MANY_TOKENS_H
#define SUPPORT_MANY_TOKENS_H

#include "support/mint.h"

/*
 * Tokens by the thousand, of kinds by name: good ones in all their forms, and others that are wrong
 * in one place. Which, is decided by numbers that come from a seed, so that a run can be repeated.
 */
struct made {
    uint64_t random;
    int64_t now_s;
    const struct mint_key *key; /* two that the key set has, and one that it has not */
    const struct mint_key *by;  /* who signs, and whose kid it says */
    struct mint_object payload;
    const char *header; /* JSON; NULL: the usual */
    const char *text;   /* the payload when it is no plain object; may hold NUL */
    size_t text_len;    /* 0: up to its end */
    uint8_t sig[128];   /* and its length, once signed */
    size_t sig_len;
    struct buf token;
    char room[32768]; /* what say() made */
    size_t room_used;
};

typedef void made_fn(struct made *m, const char *arg);
struct made_kind {
    const char *name;
    made_fn *before; /* it is signed; may be NULL */
    made_fn *after;
    const char *arg;
};
extern const struct made_kind good_kinds[], wrong_kinds[], spoilt_kinds[];
extern const size_t n_good_kinds, n_wrong_kinds, n_spoilt_kinds;

uint64_t made_random(struct made *m, uint64_t below);
/* Text that lives as long as this token is being made. */
const char *made_say(struct made *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A member as number of seconds from now on. */
void made_time(struct made *m, const char *member, int64_t offset_s);
/* header.payload of the token as it is, signed by m->by, into m->token and m->sig. */
void made_sign(struct made *m);
/* Another signature, or another form of it, behind the same header and payload. */
void made_put_sig(struct made *m, const void *sig, size_t len);

#endif
