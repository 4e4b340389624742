/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "support/child.h"
#include "support/mint.h"
#include "token/signed_keyset.h"
#include "verify/keys.h"
#include "verify/policy.h"

#include <attest/attest.h>

#define OTHER "https://other.example.com"

static struct mint_key root[4], key[3];
static struct attest_error err;

/* One signed set, in the fewest words. */
struct set {
    const struct mint_key *by;
    int64_t iat, exp;               /* relative to MINT_NOW; exp 0: iat + 3600 */
    const struct mint_key *keys[3]; /* published ones */
    const struct mint_key *revoked[2];
    const struct mint_key *next_root;
};

static enum attest_rc
take_at(struct attest_keys *keys, struct set set, int64_t now_s)
{
    struct keyset_entry entries[3];
    struct signed_keyset_revoked revoked[2];
    struct signed_keyset_source source = {
        .iat = MINT_NOW + set.iat,
        .exp = MINT_NOW + (set.exp ? set.exp : set.iat + 3600),
        .keys = entries,
        .revoked = revoked,
        .next_root = set.next_root ? &set.next_root->public_key : NULL,
    };
    for (; source.n_keys < 3 && set.keys[source.n_keys]; source.n_keys++)
        entries[source.n_keys] = (struct keyset_entry){
            .public_key = set.keys[source.n_keys]->public_key, .state = KEY_PUBLISHED};
    for (; source.n_revoked < 2 && set.revoked[source.n_revoked]; source.n_revoked++)
        revoked[source.n_revoked] =
            (struct signed_keyset_revoked){slice_cstr(set.revoked[source.n_revoked]->kid), MINT_NOW,
                                           slice_cstr(source.n_revoked ? "" : "stolen")};
    char *jwt AUTO(mem) = mint_signed_keyset(set.by, source);
    return attest_keys_add_signed(keys, MINT_ISSUER, jwt, strlen(jwt), now_s, &err);
}

static enum attest_rc
take(struct attest_keys *keys, struct set set)
{
    return take_at(keys, set, MINT_NOW + set.iat);
}

static struct attest_keys *
new_pinned(const struct mint_key *first, const struct mint_key *second)
{
    struct attest_keys *keys = NULL;
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    const struct mint_key *pins[] = {first, second};
    for (size_t i = 0; i < 2 && pins[i]; i++) {
        char *jwk AUTO(mem) = mint_jwk(pins[i]);
        assert_int_equal(attest_keys_pin_root(keys, MINT_ISSUER, jwk, strlen(jwk), NULL),
                         ATTEST_OK);
    }
    return keys;
}

static struct attest_policy *
new_policy(void)
{
    struct attest_policy *p = NULL;
    assert_int_equal(attest_policy_new(&p, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_audience(p, MINT_AUDIENCE, NULL), ATTEST_OK);
    assert_int_equal(attest_policy_add_issuer(p, MINT_ISSUER, ATTEST_TRUST_PROVIDER, NULL), 0);
    assert_int_equal(attest_policy_freeze(p, NULL), ATTEST_OK);
    return p;
}

/* A token by this key at MINT_NOW + now. */
static enum attest_rc
verify(const struct attest_keys *keys, const struct mint_key *by, int64_t now)
{
    AUTO(attest_policy) struct attest_policy *policy = new_policy();
    struct attest_claims *claims = NULL;
    struct mint_object payload;
    char times[2][32];
    mint_payload(&payload);
    snprintf(times[0], sizeof(times[0]), "%lld", (long long)(MINT_NOW + now));
    snprintf(times[1], sizeof(times[1]), "%lld", (long long)(MINT_NOW + now + 300));
    mint_set(&payload, "iat", times[0]);
    mint_set(&payload, "nbf", times[0]);
    mint_set(&payload, "exp", times[1]);
    char *token AUTO(mem) = mint_token(by, NULL, &payload);
    enum attest_rc rc =
        attest_verify(keys, policy, token, strlen(token), MINT_NOW + now, &claims, &err);
    attest_claims_free(claims);
    return rc;
}

static void
test_from_nowhere_else(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    char *jwks AUTO(mem) = mint_jwks(&key[0]);
    char *pin AUTO(mem) = mint_jwk(&root[0]);
    size_t len = strlen(jwks);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_jwks(keys, MINT_ISSUER, jwks, len, NULL), ATTEST_OK);
    assert_int_equal(take(keys, (struct set){.by = &root[0]}), ATTEST_E_ARGUMENT);
    assert_int_equal(verify(keys, &key[0], 0), ATTEST_OK);
    assert_int_equal(attest_keys_expires_at_s(keys, MINT_ISSUER), 0);

    /* The unsigned keys go with the pinning, and none come back. */
    assert_int_equal(attest_keys_pin_root(keys, MINT_ISSUER, pin, strlen(pin), &err), ATTEST_OK);
    assert_int_equal(attest_keys_count(keys, MINT_ISSUER), 0);
    assert_int_equal(verify(keys, &key[0], 0), ATTEST_E_KEY_FETCH);
    assert_int_equal(attest_keys_add_jwks(keys, MINT_ISSUER, jwks, len, &err), ATTEST_E_DENIED);
    assert_int_equal(verify(keys, &key[0], 0), ATTEST_E_KEY_FETCH);

    assert_int_equal(take(keys, (struct set){.by = &root[0], .keys = {&key[0], &key[1]}}), 0);
    assert_int_equal(attest_keys_count(keys, MINT_ISSUER), 2);
    assert_int_equal(attest_keys_expires_at_s(keys, MINT_ISSUER), MINT_NOW + 3600);
    assert_int_equal(verify(keys, &key[0], 0), ATTEST_OK);
    assert_int_equal(verify(keys, &key[1], 0), ATTEST_OK);
    assert_int_equal(verify(keys, &key[2], 0), ATTEST_E_KEY_UNKNOWN);
    assert_int_equal(attest_keys_add_jwks(keys, MINT_ISSUER, jwks, len, &err), ATTEST_E_DENIED);
    /* Another issuer is another matter. */
    assert_int_equal(attest_keys_add_jwks(keys, OTHER, jwks, len, &err), ATTEST_OK);
}

static void
test_who_may_sign(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_pinned(&root[0], &root[1]);
    assert_int_equal(take(keys, (struct set){.by = &root[2]}), ATTEST_E_KEY_UNKNOWN);
    assert_non_null(strstr(err.text, root[2].kid));
    assert_int_equal(take(keys, (struct set){.by = &key[0], .keys = {&key[0]}}),
                     ATTEST_E_KEY_UNKNOWN); /* a token key is no root */
    assert_int_equal(take(keys, (struct set){.by = &root[0], .keys = {&key[0]}}), ATTEST_OK);
    assert_int_equal(take(keys, (struct set){.by = &root[1], .keys = {&key[1]}, .iat = 1}), 0);
    assert_int_equal(take(keys, (struct set){.by = &root[0], .keys = {&key[0]}, .iat = 2}), 0);
    assert_int_equal(verify(keys, &key[1], 2), ATTEST_E_KEY_UNKNOWN);
    /* A root signs no tokens. */
    assert_int_equal(verify(keys, &root[0], 2), ATTEST_E_KEY_UNKNOWN);
}

static void
test_roll_back(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_pinned(&root[0], NULL);
    const struct set before = {.by = &root[0], .keys = {&key[0], &key[1]}};
    const struct set after = {.by = &root[0], .iat = 5, .keys = {&key[1]}, .revoked = {&key[0]}};
    struct set same_second = before;
    same_second.iat = 5;
    assert_int_equal(take(keys, before), ATTEST_OK);
    assert_int_equal(take(keys, before), ATTEST_OK);
    assert_int_equal(verify(keys, &key[0], 0), ATTEST_OK);
    assert_int_equal(take(keys, after), ATTEST_OK);
    assert_int_equal(take(keys, before), ATTEST_E_REPLAY);
    assert_int_equal(take(keys, same_second), ATTEST_E_REPLAY);
    assert_int_equal(take(keys, after), ATTEST_OK);
    assert_int_equal(verify(keys, &key[0], 6), ATTEST_E_KEY_REVOKED);
    assert_int_equal(verify(keys, &key[1], 6), ATTEST_OK);
    /* An older one is refused after the newer has expired as well. */
    struct set old_but_valid = {.by = &root[0], .iat = 4, .keys = {&key[0]}};
    assert_int_equal(take_at(keys, old_but_valid, MINT_NOW + 3603), ATTEST_E_REPLAY);
    assert_int_equal(verify(keys, &key[1], 3700), ATTEST_E_KEY_FETCH);
}

static void
test_revoked(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_pinned(&root[0], NULL);
    /* In both lists: revoked wins. */
    struct set both = {.by = &root[0], .keys = {&key[0], &key[1]}, .revoked = {&key[0], &key[2]}};
    assert_int_equal(take(keys, both), ATTEST_OK);
    assert_int_equal(verify(keys, &key[0], 0), ATTEST_E_KEY_REVOKED);
    assert_non_null(strstr(err.text, "stolen"));
    assert_int_equal(verify(keys, &key[2], 0), ATTEST_E_KEY_REVOKED);
    assert_null(strchr(err.text, ':')); /* no reason was given */
    assert_int_equal(verify(keys, &key[1], 0), ATTEST_OK);
    /* The only key revoked and none to stand in: a set of no keys is taken. */
    struct set none = {.by = &root[0], .iat = 1, .revoked = {&key[1]}};
    assert_int_equal(take(keys, none), ATTEST_OK);
    assert_int_equal(verify(keys, &key[1], 1), ATTEST_E_KEY_REVOKED);
    assert_int_equal(verify(keys, &key[0], 1), ATTEST_E_KEY_UNKNOWN);
    /* Revoked stays revoked, also when nobody brings news any more. */
    assert_int_equal(verify(keys, &key[1], 7200), ATTEST_E_KEY_REVOKED);
    assert_int_equal(verify(keys, &key[0], 7200), ATTEST_E_KEY_FETCH);
}

static void
test_expiry(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_pinned(&root[0], NULL);
    struct set set = {.by = &root[0], .exp = 600, .keys = {&key[0]}};
    assert_int_equal(take(keys, set), ATTEST_OK);
    assert_int_equal(verify(keys, &key[0], 629), ATTEST_OK);
    assert_int_equal(verify(keys, &key[0], 630), ATTEST_E_KEY_FETCH);
    assert_int_equal(take_at(keys, set, MINT_NOW + 630), ATTEST_E_EXPIRED);
    assert_int_equal(take_at(keys, set, MINT_NOW - 31), ATTEST_E_NOT_YET_VALID);
    /* What is refused leaves the last one good. */
    struct set bad = {.by = &root[2], .iat = 100};
    assert_int_equal(take(keys, bad), ATTEST_E_KEY_UNKNOWN);
    assert_int_equal(attest_keys_add_signed(keys, MINT_ISSUER, NULL, 0, MINT_NOW, &err),
                     ATTEST_E_MALFORMED);
    assert_int_equal(attest_keys_add_signed(keys, MINT_ISSUER, "a.b.c", 5, MINT_NOW, &err),
                     ATTEST_E_MALFORMED);
    assert_int_equal(verify(keys, &key[0], 600), ATTEST_OK);
    set.iat = 601;
    set.exp = 0;
    assert_int_equal(take(keys, set), ATTEST_OK);
    assert_int_equal(verify(keys, &key[0], 4000), ATTEST_OK);
}

static void
test_issuer_of_set(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_pinned(&root[0], NULL);
    char *jwk AUTO(mem) = mint_jwk(&root[0]);
    char *jwt AUTO(mem) = mint_signed_keyset(
        &root[0], (struct signed_keyset_source){.iat = MINT_NOW, .exp = MINT_NOW + 60});
    /* One root for two issuers: the set of one is not the other's. */
    assert_int_equal(attest_keys_pin_root(keys, OTHER, jwk, strlen(jwk), NULL), ATTEST_OK);
    assert_int_equal(attest_keys_add_signed(keys, OTHER, jwt, strlen(jwt), MINT_NOW, &err),
                     ATTEST_E_ISSUER);
    assert_int_equal(attest_keys_add_signed(keys, MINT_ISSUER, jwt, strlen(jwt), MINT_NOW, &err),
                     ATTEST_OK);
    assert_int_equal(attest_keys_add_signed(keys, "nonsense", jwt, strlen(jwt), MINT_NOW, &err),
                     ATTEST_E_CONFIG);
}

static void
test_follows_next_root(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_pinned(&root[0], NULL);
    assert_int_equal(take(keys, (struct set){.by = &root[0], .keys = {&key[0]}}), ATTEST_OK);
    assert_null(attest_keys_next_root(keys, MINT_ISSUER));
    assert_int_equal(take(keys, (struct set){.by = &root[1], .iat = 1}), ATTEST_E_KEY_UNKNOWN);

    /* Announced, and both may sign. */
    assert_int_equal(take(keys, (struct set){.by = &root[0], .iat = 1, .next_root = &root[1]}), 0);
    char *next AUTO(mem) = attest_keys_next_root(keys, MINT_ISSUER);
    assert_non_null(strstr(next, root[1].kid));
    AUTO(attest_keys) struct attest_keys *again = NULL; /* it can be pinned as it is */
    assert_int_equal(attest_keys_new(&again, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_pin_root(again, MINT_ISSUER, next, strlen(next), NULL), 0);
    assert_int_equal(take(again, (struct set){.by = &root[1]}), ATTEST_OK);
    assert_int_equal(take(keys, (struct set){.by = &root[0], .iat = 2, .next_root = &root[1]}), 0);

    /* Taken over: the old one signs no more, whatever it says. */
    assert_int_equal(take(keys, (struct set){.by = &root[1], .iat = 3, .keys = {&key[1]}}), 0);
    assert_null(attest_keys_next_root(keys, MINT_ISSUER));
    assert_int_equal(take(keys, (struct set){.by = &root[0], .iat = 4}), ATTEST_E_KEY_UNKNOWN);
    assert_int_equal(verify(keys, &key[1], 4), ATTEST_OK);
    /* Who reads the file of old again does not bring it back. */
    char *old AUTO(mem) = mint_jwk(&root[0]);
    assert_int_equal(attest_keys_pin_root(keys, MINT_ISSUER, old, strlen(old), NULL), ATTEST_OK);
    assert_int_equal(take(keys, (struct set){.by = &root[0], .iat = 4}), ATTEST_E_KEY_UNKNOWN);

    /* And on to the next, as often as it takes. */
    for (size_t i = 0; i < 40; i++) {
        const struct mint_key *by = &root[(i + 1) % 4], *then = &root[(i + 2) % 4];
        int64_t at = 10 + 2 * (int64_t)i;
        assert_int_equal(take(keys, (struct set){.by = by, .iat = at, .next_root = then}), 0);
        assert_int_equal(take(keys, (struct set){.by = then, .iat = at + 1}), ATTEST_OK);
        assert_int_equal(take(keys, (struct set){.by = by, .iat = at + 1}), ATTEST_E_KEY_UNKNOWN);
    }
}

static void
test_next_root_taken_back(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_pinned(&root[0], NULL);
    assert_int_equal(take(keys, (struct set){.by = &root[0], .next_root = &root[1]}), ATTEST_OK);
    assert_int_equal(take(keys, (struct set){.by = &root[0], .iat = 1, .next_root = &root[2]}), 0);
    assert_int_equal(take(keys, (struct set){.by = &root[1], .iat = 2}), ATTEST_E_KEY_UNKNOWN);
    assert_int_equal(take(keys, (struct set){.by = &root[0], .iat = 2}), ATTEST_OK);
    assert_int_equal(take(keys, (struct set){.by = &root[2], .iat = 3}), ATTEST_E_KEY_UNKNOWN);
    /* Itself is no successor. */
    assert_int_equal(take(keys, (struct set){.by = &root[0], .iat = 3, .next_root = &root[0]}), 0);
    assert_int_equal(take(keys, (struct set){.by = &root[0], .iat = 4}), ATTEST_OK);
    /* A set that is refused announces nothing. */
    assert_int_equal(take(keys, (struct set){.by = &root[0], .iat = 1, .next_root = &root[1]}),
                     ATTEST_E_REPLAY);
    assert_int_equal(take(keys, (struct set){.by = &root[1], .iat = 5}), ATTEST_E_KEY_UNKNOWN);
}

/* Both pinned by hand for the change: the old one goes all the same once the new one has signed. */
static void
test_next_root_pinned_already(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_pinned(&root[0], &root[1]);
    assert_int_equal(take(keys, (struct set){.by = &root[1]}), ATTEST_OK);
    assert_int_equal(take(keys, (struct set){.by = &root[0], .iat = 1, .next_root = &root[1]}), 0);
    assert_null(attest_keys_next_root(keys, MINT_ISSUER)); /* nothing is left to do */
    assert_int_equal(take(keys, (struct set){.by = &root[1], .iat = 2}), ATTEST_OK);
    assert_int_equal(take(keys, (struct set){.by = &root[0], .iat = 3}), ATTEST_E_KEY_UNKNOWN);
    assert_int_equal(take(keys, (struct set){.by = &root[1], .iat = 3}), ATTEST_OK);
}

static void
test_pins(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    for (uint8_t i = 0; i < ROOTS_MAX + 1; i++) {
        struct mint_key one;
        mint_key_init(&one, (uint8_t)(100 + i));
        char *jwk AUTO(mem) = mint_jwk(&one);
        char *jwks AUTO(mem) = mint_jwks(&one);
        bool fits = i < ROOTS_MAX;
        assert_int_equal(attest_keys_pin_root(keys, MINT_ISSUER, jwk, strlen(jwk), &err),
                         fits ? ATTEST_OK : ATTEST_E_LIMIT);
        if (fits) /* the same again is no other */
            assert_int_equal(attest_keys_pin_root(keys, MINT_ISSUER, jwks, strlen(jwks), &err), 0);
        mint_key_done(&one);
    }
    assert_true(attest_keys_pinned(keys, MINT_ISSUER));
    assert_false(attest_keys_pinned(keys, MINT_ISSUER "/"));
    assert_int_equal(attest_keys_add_signed(keys, MINT_ISSUER, "x", 1, INT64_MAX, &err),
                     ATTEST_E_ARGUMENT);
    assert_int_equal(attest_keys_add_signed(keys, MINT_ISSUER, "x", 1, INT64_MIN, &err),
                     ATTEST_E_ARGUMENT);
    assert_int_equal(attest_keys_pin_root(keys, "nonsense", "{}", 2, &err), ATTEST_E_MALFORMED);
    static const char pem[] = "-----BEGIN PUBLIC KEY-----\n";
    assert_int_equal(attest_keys_pin_root(keys, MINT_ISSUER, pem, sizeof(pem) - 1, &err),
                     ATTEST_E_MALFORMED);
    assert_string_equal(err.text, "root key: PEM; a JWK is wanted");
    assert_int_equal(attest_keys_pin_root(keys, MINT_ISSUER, NULL, 0, &err), ATTEST_E_MALFORMED);
    assert_string_equal(err.text, "root key: empty; a JWK is wanted");
    char *jwk AUTO(mem) = mint_jwk(&root[0]);
    assert_int_equal(attest_keys_pin_root(keys, "nonsense", jwk, strlen(jwk), &err),
                     ATTEST_E_CONFIG);
    pid_t pid = fork();
    if (pid == 0)
        child_exit(attest_keys_pin_root(keys, OTHER, jwk, strlen(jwk), &err) == ATTEST_E_FORKED);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
test_a_root_from_a_file(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = NULL;
    char *jwk AUTO(mem) = mint_jwk(&root[0]);
    char path[] = "/tmp/attest-root-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(attest_keys_new(&keys, NULL), ATTEST_OK);
    assert_int_equal(attest_keys_pin_root_file(keys, MINT_ISSUER, "/nonexistent/root.jwk", &err),
                     ATTEST_E_NOT_FOUND);
    assert_int_equal(attest_keys_pin_root_file(keys, MINT_ISSUER, "/dev/zero", &err),
                     ATTEST_E_CONFIG);
    assert_int_equal(attest_keys_pin_root_file(keys, MINT_ISSUER, path, &err), ATTEST_E_MALFORMED);
    assert_false(attest_keys_pinned(keys, MINT_ISSUER));
    assert_int_equal(write(fd, jwk, strlen(jwk)), strlen(jwk));
    assert_int_equal(attest_keys_pin_root_file(keys, MINT_ISSUER, path, &err), ATTEST_OK);
    assert_true(attest_keys_pinned(keys, MINT_ISSUER));
    close(fd);
    unlink(path);
}

/* ---- keys change under verifiers that run ---- */

static struct attest_keys *shared;
static struct attest_policy *shared_policy;
static char *shared_token;
static atomic_bool stop;
static atomic_uint verified, failed;

static void *
verify_on(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        struct attest_claims *claims = NULL;
        enum attest_rc rc = attest_verify(shared, shared_policy, shared_token, strlen(shared_token),
                                          MINT_NOW, &claims, NULL);
        attest_claims_free(claims);
        atomic_fetch_add(rc == ATTEST_OK ? &verified : &failed, 1);
    }
    return NULL;
}

static void
test_refresh_under_verifiers(void **state)
{
    (void)state;
    pthread_t threads[3];
    struct mint_object payload;
    shared = new_pinned(&root[0], NULL);
    shared_policy = new_policy();
    mint_payload(&payload);
    shared_token = mint_token(&key[0], NULL, &payload);
    struct set set = {.by = &root[0], .iat = -1000, .keys = {&key[0], &key[1]}};
    assert_int_equal(take(shared, set), ATTEST_OK);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_on, NULL), 0);
    for (set.iat = -999; set.iat < 0; set.iat += 5) {
        set.keys[1] = &key[1 + set.iat % 2 * -1];
        assert_int_equal(take_at(shared, set, MINT_NOW), ATTEST_OK);
        if (set.iat == -499)
            while (atomic_load(&verified) + atomic_load(&failed) < 20)
                sched_yield();
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(failed, 0);
    assert_true(verified >= 20);
    free(shared_token);
    attest_policy_free(shared_policy);
    attest_keys_free(shared);
}

/* A verifier may be made before the first set is there, and answers "retry" until then. */
static void
test_verifier(void **state)
{
    (void)state;
    AUTO(attest_keys) struct attest_keys *keys = new_pinned(&root[0], NULL);
    AUTO(attest_policy) struct attest_policy *policy = new_policy();
    struct attest_verifier *v = NULL;
    struct attest_result *result = NULL;
    struct mint_object payload;
    mint_payload(&payload);
    char *token AUTO(mem) = mint_token(&key[0], NULL, &payload);
    assert_int_equal(attest_verifier_new(policy, keys, NULL, &v, &err), ATTEST_OK);
    assert_int_equal(attest_verifier_check(v, token, strlen(token), NULL, 0, &result),
                     ATTEST_E_KEY_FETCH);
    assert_true(attest_result_retry(result));
    attest_result_free(result);
    attest_verifier_free(v);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_nowhere_else),
        cmocka_unit_test(test_who_may_sign),
        cmocka_unit_test(test_roll_back),
        cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_issuer_of_set),
        cmocka_unit_test(test_follows_next_root),
        cmocka_unit_test(test_next_root_taken_back),
        cmocka_unit_test(test_next_root_pinned_already),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_a_root_from_a_file),
        cmocka_unit_test(test_refresh_under_verifiers),
        cmocka_unit_test(test_verifier),
    };
    if (crypto_init(NULL))
        return 1;
    for (size_t i = 0; i < ARRAY_LEN(root); i++)
        mint_key_init(&root[i], (uint8_t)(10 + i));
    for (size_t i = 0; i < ARRAY_LEN(key); i++)
        mint_key_init(&key[i], (uint8_t)(20 + i));
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(root); i++)
        mint_key_done(&root[i]);
    for (size_t i = 0; i < ARRAY_LEN(key); i++)
        mint_key_done(&key[i]);
    return result;
}
