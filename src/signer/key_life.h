/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_KEY_LIFE_H
#define SIGNER_KEY_LIFE_H

#include "signer/key_ops.h"

/*
 * The rollover loop: looks at the clock, asks rollover_next() what should happen now, has that one
 * thing done in the ops thread, takes the keys that come back, asks again. All of it in the
 * signer's loop; nothing here blocks.
 */

/* Before threads start: goes on from the clock that the records remember. */
enum attest_rc key_life_start(struct signer *s, struct attest_error *err);

/*
 * Seconds since the epoch for whatever depends on the life of keys: the wall clock or, while that
 * is not believed, the time that it would be without the jump. False while it is not believed, and
 * then nothing may be begun that cannot be undone. From any thread.
 */
bool key_life_clock(struct signer *s, int64_t *now_s);

/* At each tick, and after each change. */
void key_life_tick(struct signer *s);

/* A key_op came back, whoever asked for it: its keys are the signer's from now on. */
void key_life_take(struct signer *s, struct key_op *k);

/* Why no token may be signed because of the life of keys; NULL when one may. */
const char *key_life_objection(struct signer *s, const struct key_record *active, int64_t now_s);

/* {"loop":…,"why":…,"next_action":…,"next_at":…,"due":…,"overdue":…} (docs/protocol.md, section 6),
 * with the policy for those who draw by it. */
void key_life_write(struct signer *s, int64_t now_s, bool with_policy, struct buf *out);

/* Ops thread: the clock as the records are to remember it. */
enum attest_rc key_life_remember(struct signer *s, struct attest_error *err);

#endif
