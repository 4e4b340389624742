/* SPDX-License-Identifier: MIT */
#ifndef TOKEN_SUBJECT_H
#define TOKEN_SUBJECT_H

#include "base/bytes.h"

/*
 * Who a token speaks of and who issued it: SPIFFE IDs and issuer URLs. Pure, thread-safe.
 *
 *   spiffe://<trust domain>/model/<model_version>
 *   spiffe://<trust domain>/agent/<workload_id>      enterprise
 */

#define SUBJECT_MAX 2048     /* bytes of a whole SPIFFE ID */
#define TRUST_DOMAIN_MAX 255 /* bytes */
#define ISSUER_MAX 1024

/*
 * Names that are not path segments as they stand, and the segments that stand for them. A name that
 * is not in the list stands for itself.
 */
struct subject_name {
    struct slice name;
    struct slice segment;
};

struct subject_names {
    const struct subject_name *list;
    size_t n;
};

struct subject {
    struct slice trust_domain;
    bool enterprise; /* "agent", otherwise "model" */
    struct slice segment;
};

/* [a-z0-9._-], 1 to 255 bytes. */
bool trust_domain_ok(struct slice trust_domain);
/* [A-Za-z0-9._-], not empty, not "." nor "..". */
bool subject_segment_ok(struct slice segment);

/* Takes a sub apart; the slices borrow from it. False when it is not of either form. */
bool subject_read(struct slice sub, struct subject *ret);

/* Whether the last segment is what this name stands for. names may be NULL. */
bool subject_names_it(const struct subject *subject, struct slice name,
                      const struct subject_names *names);

/*
 * Appends the SPIFFE ID for a model_version (workload_id when enterprise). ATTEST_E_CLAIMS when the
 * name is no segment and names has none for it, or the whole is too long; ATTEST_E_CONFIG for a bad
 * trust domain or mapped segment; out is then as it was. names may be NULL.
 */
enum attest_rc subject_write(struct slice trust_domain, bool enterprise, struct slice name,
                             const struct subject_names *names, struct buf *out,
                             struct attest_error *err);

/*
 * Whether this is an issuer URL: https, host in lower case, optional port, optional path, at most
 * 1,024 bytes; no user, query or fragment, no empty or dot segment. http is right for loopback
 * hosts only (127.0.0.0/8, [::1], localhost), and only when allowed. ATTEST_OK or ATTEST_E_CONFIG,
 * which says why.
 */
enum attest_rc issuer_check(struct slice issuer, bool http_loopback_allowed,
                            struct attest_error *err);

/*
 * The issuer without a '/' at its end: "/.well-known/…" goes behind it. Comparisons are with the
 * issuer as it stands.
 */
struct slice issuer_base(struct slice issuer);

/* The host of an issuer URL, as default trust domain: false when it can be none ("[::1]"). */
bool issuer_trust_domain(struct slice issuer, struct slice *ret);

#endif
