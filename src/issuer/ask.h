/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_ASK_H
#define ISSUER_ASK_H

#include "issuer/http.h"
#include "wire/client.h"

/*
 * Handing a client's request on to attest-signer while its connection sleeps, in a way that the end
 * of the daemon can wait for. Thread-safe.
 *
 *     ask_begin();
 *     http_sleep(x);                       before the answer can come
 *     rc = ask_send(iss, op, members, deadline_ms, answered, work);
 *     if (rc) { http_wake(x, …); ask_end(); }
 *
 * and answered() ends with http_wake() and ask_end() too.
 */
void ask_begin(void);
void ask_end(void);

/* As wire_client_send(); ATTEST_E_IO too when the daemon is ending. */
enum attest_rc ask_send(struct issuer *iss, const char *op, struct slice members,
                        int64_t deadline_ms, wire_answered *done, void *ctx);

/* How many have begun and not ended, and how many are just being sent; none is sent once
 * signer_gone is set. */
unsigned ask_waiting(void);
unsigned ask_sending(void);

#endif
