/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_LEASE_H
#define SIGNER_LEASE_H

#include "signer/signer_impl.h"

/*
 * Which attest-signer a token belongs to. Two that shared one would each rotate the other's keys
 * away and keep two logs, so an object on the token names the one whose loop owns it: an instance,
 * a number that each database gets when it is made.
 */

/* Before threads start: this signer's own instance, and whether its records make it passive. */
enum attest_rc lease_load(struct signer *s, bool passive, struct attest_error *err);

/*
 * Takes the token, unless passive. ATTEST_E_DENIED when another instance holds it and take_over is
 * false; err says who. Before threads start.
 */
enum attest_rc lease_take(struct signer *s, bool take_over, struct attest_error *err);

/* Ops thread. Whether the token is still ours: ATTEST_OK, ATTEST_E_DENIED (and then tokens are no
 * longer made), or why it cannot be told now. */
enum attest_rc lease_check(struct signer *s, struct attest_error *err);

/* The same from memory: ATTEST_E_DENIED when passive, or known to have lost it. Any thread. */
enum attest_rc lease_known(struct signer *s, struct attest_error *err);

/* Ops thread. From whoever holds it, when that is who the operator says ("" for nobody). */
enum attest_rc lease_take_over(struct signer *s, const char *holder, uid_t uid,
                               struct attest_error *err);

/* The loop: has lease_check() done every few seconds. */
void lease_watch(struct signer *s);

#endif
