/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_PUBLISH_H
#define SIGNER_PUBLISH_H

#include "base/bytes.h"

struct signer;

/*
 * What goes out beside the key set that attestd serves: the same keys with the revocations, signed
 * by the root key (docs/protocol.md, section 3), and both as files in keyset_dir, for a web server
 * that attestd cannot write to. Done again at each change, and at half of the signed set's life.
 */
struct publication {
    struct buf jwt;   /* the signed set, empty while there is none */
    struct buf cover; /* what the last one said, apart from its times */
    int64_t iat, exp, renew_s;
    int64_t not_before_ms, back_off_ms;
    bool running, done_once;
};

/* Before threads start: goes on behind the last signed set that was made. */
enum attest_rc publish_start(struct signer *s, struct attest_error *err);

/* The loop's: begins a publication when one is due. */
void publish_if_due(struct signer *s);

#endif
