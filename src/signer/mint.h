/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_MINT_H
#define SIGNER_MINT_H

#include "jwks/rollover.h"
#include "signer/issuance_log.h"
#include "signer/key_records.h"
#include "token/jws.h"
#include "token/subject.h"
#include "wire/frame.h"

/*
 * From a `sign` request to a token and its record. attestd is not believed: the claims are read
 * again, the issuer and the lifetime are held against what the signer itself was told, and the
 * stamps are the signer's own. No I/O; whoever calls brings the time.
 */
struct mint_limits {
    struct slice issuer;
    struct slice trust_domain;
    struct subject_names names;
    const char *typ;
    int64_t lifetime_default_s, lifetime_max_s;
    int64_t timeout_max_ms;
    const struct rollover_policy *policy; /* borrowed */
};

struct signer;

/* One request under way. Made by mint_job_new(), used again after mint_job_reset(). */
struct mint_job {
    struct log_entry entry; /* first, so that the log hands back the job */
    struct signer *signer;  /* for who calls back */
    uint64_t conn;          /* whose request, for the server */
    int64_t id;
    enum attest_rc rc;
    int64_t deadline_ms; /* clock_mono_ms() */
    int64_t iat, exp;
    char jti[37];
    struct key_ref key;
    char kid[JWK_THUMBPRINT_LEN + 1];
    struct buf token;  /* first the signing input, then the token */
    struct buf record; /* the body of its record */
    struct mint_job *next_free;
};

struct mint_job *mint_job_new(void);
void mint_job_reset(struct mint_job *job);
void mint_job_free(struct mint_job *job);

/*
 * Reads and checks the request, stamps it, and leaves in job->token what is to be signed with key.
 * key must be active; the token ends before the key leaves the key set.
 *
 * ATTEST_OK; ATTEST_E_ISSUER (another issuer than ours), ATTEST_E_CLAIMS or ATTEST_E_ARGUMENT
 * (member, of member_size bytes, then names the culprit), ATTEST_E_KEY_OUT_OF_REACH (the key
 * leaves too soon), ATTEST_E_NOMEM.
 */
enum attest_rc mint_begin(const struct mint_limits *limits, const struct frame_request *request,
                          const struct key_record *key, int64_t now_s, int64_t now_ms,
                          struct mint_job *job, char *member, size_t member_size,
                          struct attest_error *err);

/* Adds the signature: job->token is the token, job->entry.body its record. ATTEST_OK or _NOMEM. */
enum attest_rc mint_finish(struct mint_job *job, const uint8_t sig[PUBKEY_SIG_LEN]);

/* The answer to the request: the whole body of a frame. */
void mint_answer(const struct mint_job *job, struct buf *out);

#endif
