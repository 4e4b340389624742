/* SPDX-License-Identifier: MIT */
#ifndef WIRE_CLIENT_H
#define WIRE_CLIENT_H

#include "wire/frame.h"

/*
 * Both ways of talking to attest-signer: one question and one answer, for attestctl, and many in
 * flight over one connection, for attestd.
 */

/*
 * Connects, asks once, waits, closes. Blocks for at most timeout_ms in all.
 *
 * members  the op's members as JSON text without braces, or empty
 * answer   initialised by the caller; the whole answer, one JSON object with `id` and `ok`, is
 *          appended as it came, also when it is an error: then the error is the signer's own word.
 *          Read it with json_read() or jsondoc_read()
 *
 * Returns ATTEST_OK when the signer answered `ok`. When it answered an error: that code, with its
 * text in err ("member: text" when it named one). Else ATTEST_E_IO (no such socket, connection
 * lost or refused), ATTEST_E_DENIED (the socket's permissions), ATTEST_E_TIMEOUT,
 * ATTEST_E_MALFORMED (not our protocol), ATTEST_E_LIMIT (the request is larger than a frame).
 */
enum attest_rc wire_call(const char *socket_path, const char *op, struct slice members,
                         int timeout_ms, struct buf *answer, struct attest_error *err);

/*
 * The pipelined client. A thread of its own connects, subscribes to the key set, writes what any
 * thread asked, reads the answers in whatever order they come, and connects again with back-off
 * (50 ms doubling to 2 s) when the connection is lost. Requests are never repeated: the signer may
 * have recorded one that got no answer.
 */
struct wire_client;

/*
 * Called exactly once for each accepted request, from the client's thread, without its lock held;
 * it may send further requests, must not block, and must not free the client. answer and what it
 * points to live during the call only. answer->rc as in struct frame_answer.
 */
typedef void wire_answered(void *ctx, const struct frame_answer *answer);

struct wire_client_config {
    const char *socket_path;
    unsigned in_flight_max; /* requests without an answer yet, 1 to 65536 */
    size_t out_max;         /* bytes waiting to be written; 0: 4 MiB */
    /* Called from the client's thread, as above. on_keyset: each snapshot of the key set (members
     * in docs/protocol.md, section 6), after each connect and at each change. on_link: the
     * connection came (why is "") or went. The key set last seen stays good meanwhile: when the
     * signer is away its keys are still published. Both may be NULL. */
    wire_answered *on_keyset;
    void (*on_link)(void *ctx, bool up, const char *why);
    void *ctx;
};

/* Copies the path, starts the thread. The signer need not be there yet. ATTEST_E_ARGUMENT, _NOMEM,
 * _IO. */
enum attest_rc wire_client_new(const struct wire_client_config *config, struct wire_client **ret,
                               struct attest_error *err);

/* Ends its thread and answers all that waits; wire_client_stats() still works until it is freed. */
void wire_client_stop(struct wire_client *client);

/*
 * Ends the thread; what is in flight is answered with ATTEST_E_IO first. No call may be running or
 * follow.
 */
void wire_client_free(struct wire_client *client);
DEFINE_AUTO(wire_client, struct wire_client *, wire_client_free);

/*
 * Asks; never blocks. From any thread.
 *
 * op           a literal: it is not escaped
 * members      JSON text without braces, copied
 * deadline_ms  in clock_mono_ms(); then the answer is ATTEST_E_TIMEOUT and a later one is dropped
 *
 * Returns ATTEST_OK when accepted: done will be called. Else it is never called: ATTEST_E_IO (no
 * connection now), ATTEST_E_BUSY (in_flight_max or out_max reached), ATTEST_E_LIMIT (the request is
 * larger than a frame).
 */
enum attest_rc wire_client_send(struct wire_client *client, const char *op, struct slice members,
                                int64_t deadline_ms, wire_answered *done, void *ctx);

struct wire_client_stats {
    bool up;
    unsigned in_flight;
    size_t out_len;
    uint64_t connects, losses, timeouts, late_answers;
};
void wire_client_stats(struct wire_client *client, struct wire_client_stats *ret);

#endif
