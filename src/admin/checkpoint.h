/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_CHECKPOINT_H
#define ADMIN_CHECKPOINT_H

#include "base/ed25519.h"
#include "chainlog/verify.h"

/*
 * Judges the checkpoints of an issuance log (docs/protocol.md, section 7): a chainlog_checkpoint
 * whose ctx is the log key, a struct pubkey. ATTEST_E_CORRUPT for a checkpoint that is no
 * checkpoint of ours or that this key did not sign.
 */
enum attest_rc checkpoint_judge(void *log_key, struct slice jws, struct chainlog_head *ret,
                                struct attest_error *err);

#endif
