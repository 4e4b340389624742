/* SPDX-License-Identifier: MIT */
#ifndef ATTEST_ERROR_H
#define ATTEST_ERROR_H

/*
 * How all of <attest/…> fails. A function that can fail returns enum attest_rc. Its err may be
 * NULL; it is written on failure only, and err->rc is then what is returned. Other outputs are left
 * as they were on failure, unless it is said of them otherwise. attest_verifier_check() has no err:
 * the sentence is in its result, and where it gives none, the code says it all. Bytes given as
 * pointer and length may be NULL when there are 0 of them, and only then, unless it is said. What
 * is to be freed by free() is said so.
 */

/*
 * The one list of results. X(NAME, number, "text").
 *
 * 1001 to 1016 are verdicts on a token and are part of the wire format: they never change meaning.
 * Numbers below 1000 say why a call could not be carried out and judge no token; E_PIN, E_LOG and
 * E_KEY_OUT_OF_REACH are attestd's own, which libattest does not return.
 */
#define ATTEST_RC_LIST(X)                                                                          \
    X(OK, 0, "done")                                                                               \
    X(E_INTERNAL, 1, "internal error")                                                             \
    X(E_NOMEM, 2, "out of memory")                                                                 \
    X(E_ARGUMENT, 3, "wrong argument")                                                             \
    X(E_IO, 4, "input or output failed")                                                           \
    X(E_NOT_FOUND, 5, "not found")                                                                 \
    X(E_EXISTS, 6, "already there")                                                                \
    X(E_LIMIT, 7, "larger than allowed")                                                           \
    X(E_BUSY, 8, "too much waiting already")                                                       \
    X(E_TIMEOUT, 9, "the deadline passed")                                                         \
    X(E_KEY_OUT_OF_REACH, 10, "key out of reach")                                                  \
    X(E_PIN, 11, "PIN refused by the token")                                                       \
    X(E_DENIED, 12, "not permitted")                                                               \
    X(E_CONFIG, 13, "configuration refused")                                                       \
    X(E_UNSUPPORTED, 14, "not supported")                                                          \
    X(E_CORRUPT, 15, "stored data is damaged")                                                     \
    X(E_LOG, 16, "the issuance log cannot be written")                                             \
    X(E_FORKED, 17, "used in a forked child")                                                      \
    X(E_EXPIRED, 1001, "token expired")                                                            \
    X(E_NOT_YET_VALID, 1002, "token not yet valid")                                                \
    X(E_SIGNATURE, 1003, "signature invalid")                                                      \
    X(E_ISSUER, 1004, "issuer not trusted")                                                        \
    X(E_AUDIENCE, 1005, "audience does not match")                                                 \
    X(E_REPLAY, 1006, "replayed")                                                                  \
    X(E_CLAIMS, 1007, "required claims missing or wrong")                                          \
    X(E_MALFORMED, 1008, "malformed")                                                              \
    X(E_REQUIRED, 1009, "attestation required")                                                    \
    X(E_KEY_UNKNOWN, 1010, "key unknown for this issuer")                                          \
    X(E_KEY_REVOKED, 1011, "key revoked")                                                          \
    X(E_KEY_FETCH, 1012, "keys could not be fetched")                                              \
    X(E_POLICY, 1013, "refused by policy")                                                         \
    X(E_REPLAY_STORE, 1014, "replay store unavailable")                                            \
    X(E_PROOF_REQUIRED, 1015, "bound token without proof")                                         \
    X(E_PROOF, 1016, "proof invalid")

enum attest_rc {
#define ATTEST_RC_ENUM(name, number, text) ATTEST_##name = (number),
    ATTEST_RC_LIST(ATTEST_RC_ENUM)
#undef ATTEST_RC_ENUM
};

/*
 * What went wrong, for a person. Owned by the caller, no clean-up needed. Never holds a secret or a
 * token; text is at most 159 bytes of printable ASCII, so it may be logged or shown as it is. This
 * struct is part of the binary interface and never changes.
 */
struct attest_error {
    enum attest_rc rc;
    char text[160];
};

#if defined(__GNUC__)
#define ATTEST_EXPORT __attribute__((visibility("default")))
#define ATTEST_MUST_USE __attribute__((warn_unused_result))
#define ATTEST_NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#else
#define ATTEST_EXPORT
#define ATTEST_MUST_USE
#define ATTEST_NONNULL(...)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The text of the list above; "unknown error" for any other number. Static, thread-safe. */
ATTEST_EXPORT const char *attest_strerror(enum attest_rc rc);

#ifdef __cplusplus
}
#endif
#endif
