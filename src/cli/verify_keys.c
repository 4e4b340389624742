/* SPDX-License-Identifier: MIT */
#include "cli/verify_keys.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/keyfile.h"
#include "jwks/jwk.h"

static enum exit_status
failed(const struct attest_error *err, const char *next)
{
    return cli_complain(EXIT_FAILED, "verify", "%s%s%s", err->text, *next ? "; " : "", next);
}

static bool
is_url(const char *text)
{
    return strstr(text, "://") != NULL;
}

DEFINE_AUTO(fetch_options, struct attest_fetch *, attest_fetch_free);

/* No keys to judge by: the verifier says what that means for this token, and this why. */
static enum exit_status
no_keys(struct verify_keys *vk, const struct attest_error *err, const char *next)
{
    failed(err, next);
    vk->complained = true;
    return EXIT_DONE;
}

/* Two kinds of key set, by the same ways. */
struct kind {
    const char *not_there; /* what to do about a 404 */
    const char *no_answer;
    enum attest_rc (*add)(struct attest_keys *keys, const char *issuer, const char *text,
                          size_t len, struct attest_error *err);
};

static enum attest_rc
add_signed(struct attest_keys *keys, const char *issuer, const char *text, size_t len,
           struct attest_error *err)
{
    while (len > 0 && strchr(" \t\r\n", text[len - 1])) /* an editor's last line */
        len--;
    return attest_keys_add_signed(keys, issuer, text, len, clock_wall_s(), err);
}

static const struct kind plain = {
    .not_there = "is attestd running, or else give --jwks FILE",
    .no_answer = "is attestd running, or else give --jwks FILE",
    .add = attest_keys_add_jwks,
};

static const struct kind signed_kind = {
    .not_there = "the issuer has no signed key set: somebody may withhold it; ask its "
                 "operator",
    .no_answer = "is attestd running, or else give the signed key set by --jwks FILE",
    .add = add_signed,
};

static const char *
what_next(enum attest_rc rc, const struct kind *kind)
{
    static const struct {
        enum attest_rc rc;
        const char *next;
    } list[] = {
        {ATTEST_E_IO, NULL},
        {ATTEST_E_TIMEOUT, NULL},
        {ATTEST_E_KEY_UNKNOWN, "if the issuer has changed its root key, have its operator confirm "
                               "the new one and give that as --root-key"},
        {ATTEST_E_SIGNATURE, "someone may stand between you and the issuer; ask its operator"},
        {ATTEST_E_ISSUER, "--jwks must be of the --issuer"},
        {ATTEST_E_EXPIRED, "fetch it again; if it stays so, the issuer's signer is not running"},
        {ATTEST_E_NOT_YET_VALID, "set the clock of this machine, or have the issuer set its own"},
        {ATTEST_E_MALFORMED, "with --root-key the keys come from a signed key set (jwks.jwt)"},
    };
    if (rc == ATTEST_E_NOT_FOUND)
        return kind->not_there;
    if (kind != &signed_kind)
        return kind->no_answer;
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        if (list[i].rc == rc)
            return list[i].next ? list[i].next : kind->no_answer;
    }
    return "look at the signed key set";
}

/*
 * A root that nobody has: a point found by chance, whose secret was never known. An issuer who has
 * a root has the keys that it signed, and this one signs none. A verifier is made of an issuer's
 * keys, and here there are none to be had.
 */
static enum attest_rc
pin_nobody(const struct verify_keys *vk, struct attest_error *err)
{
    uint8_t x[ED25519_PUBLIC_LEN];
    AUTO(buf) struct buf jwk;
    buf_init(&jwk, 1024);
    do /* one in sixteen is one */
        random_bytes(x, sizeof(x));
    while (!ed25519_public_ok(x));
    struct pubkey key = pubkey_ed25519(x);
    jwk_write(&key, &jwk);
    if (buf_rc(&jwk))
        return error_set(err, ATTEST_E_NOMEM, "key: out of memory");
    return attest_keys_pin_root(vk->keys, vk->issuer, jwk.p, jwk.len, err);
}

static enum exit_status
load(struct verify_keys *vk, const struct kind *kind, const char *path)
{
    AUTO(buf) struct buf text;
    struct attest_error err = {0}, none = {0};
    buf_init(&text, ATTEST_JWKS_MAX);
    if (file_read(path, ATTEST_JWKS_MAX, &text, &err) != ATTEST_OK)
        return failed(&err, "--jwks takes the issuer's key set, a file or a URL");
    enum attest_rc rc = kind->add(vk->keys, vk->issuer, text.p, text.len, &err);
    if (rc == ATTEST_OK)
        return EXIT_DONE;
    if (kind != &plain)
        return no_keys(vk, &err, what_next(rc, kind));
    if (pin_nobody(vk, &none) != ATTEST_OK)
        return failed(&none, "try again");
    return no_keys(vk, &err, "--jwks takes the issuer's key set, a file or a URL");
}

/* ---- the pinned roots ---- */

static enum attest_rc
pin_pem(const char *issuer, const char *path, struct attest_keys *keys, struct attest_error *err)
{
    struct pubkey key;
    AUTO(buf) struct buf jwk;
    buf_init(&jwk, 1024);
    enum attest_rc rc = keyfile_read_public(path, &key, err);
    if (rc != ATTEST_OK)
        return rc;
    jwk_write(&key, &jwk);
    if (buf_rc(&jwk))
        return error_set(err, ATTEST_E_NOMEM, "key: out of memory");
    return attest_keys_pin_root(keys, issuer, jwk.p, jwk.len, err);
}

static enum attest_rc
pin_file(const char *issuer, const char *path, struct attest_keys *keys, struct attest_error *err)
{
    AUTO(buf) struct buf text;
    buf_init(&text, ATTEST_JWKS_MAX);
    enum attest_rc rc = file_read(path, ATTEST_JWKS_MAX, &text, err);
    if (rc != ATTEST_OK)
        return rc;
    struct slice found = text.p ? buf_view(&text) : slice_cstr("");
    if (memmem(found.p, found.len, "-----BEGIN", 10))
        return pin_pem(issuer, path, keys, err);
    return attest_keys_pin_root(keys, issuer, found.p, found.len, err);
}

/* Said every time, until the pins are changed: a machine may be what reads it. */
static void
warn_of_next_root(const struct attest_keys *keys, const char *issuer)
{
    char *jwk AUTO(mem) = attest_keys_next_root(keys, issuer);
    if (jwk)
        cli_complain(EXIT_DONE, "verify",
                     "the issuer's root key is about to change: save the next one in a file and "
                     "give it as another --root-key: %s",
                     jwk);
}

static enum exit_status
pin_roots(const struct verify_keys *vk)
{
    const char *path;
    for (size_t i = 0; (path = cli_value_at(vk->args, "root-key", i)); i++) {
        struct attest_error err = {0};
        if (pin_file(vk->issuer, path, vk->keys, &err) != ATTEST_OK)
            return failed(&err, "--root-key takes the issuer's root key: a JWK, a JWK set or a "
                                "PEM public key");
    }
    return EXIT_DONE;
}

/* ---- fetching ---- */

static void
told(void *ctx, const struct attest_event *event)
{
    struct verify_keys *vk = ctx;
    enum attest_event_kind kind = attest_event_kind(event);
    const char *issuer = attest_event_issuer(event);
    if (kind != ATTEST_EVENT_KEYS_FETCHED && kind != ATTEST_EVENT_KEYS_FETCH_FAILED)
        return;
    vk->any_ended = true;
    vk->any_rc = attest_event_code(event);
    if (!issuer || strcmp(issuer, vk->issuer) != 0) /* a policy file may trust others too */
        return;
    vk->ended = true;
    vk->rc = attest_event_code(event);
    snprintf(vk->text, sizeof(vk->text), "%s", attest_event_text(event));
}

/* More than a fetch may take. */
#define WAIT_MAX_MS 60000
/* A request ends before, so when nothing is due until then, none is on its way. */
#define REQUEST_MS 15000

/* Steps until a fetch has ended that *ended tells of. */
static void
wait_for(struct attest_verifier *verifier, const bool *ended)
{
    int64_t until_ms = clock_mono_ms() + WAIT_MAX_MS, left_ms;
    while (!*ended && (left_ms = until_ms - clock_mono_ms()) > 0) {
        struct pollfd fd = {.fd = attest_verifier_fd(verifier), .events = POLLIN};
        int due_ms = attest_verifier_timeout_ms(verifier);
        if (due_ms < 0 || due_ms > REQUEST_MS)
            return;
        poll(&fd, 1, due_ms > left_ms ? (int)left_ms : due_ms);
        if (attest_verifier_step(verifier) != ATTEST_OK)
            return;
    }
}

bool
verify_keys_wait(struct verify_keys *vk, struct attest_verifier *verifier)
{
    vk->any_ended = false;
    wait_for(verifier, &vk->any_ended);
    return vk->any_ended && vk->any_rc == ATTEST_OK;
}

static enum exit_status
fetching(struct verify_keys *vk, const struct kind *kind, struct attest_policy *policy,
         struct attest_replay *replay, struct attest_verifier **ret)
{
    AUTO(fetch_options) struct attest_fetch *options = NULL;
    struct attest_error err = {0};
    const char *url = cli_value(vk->args, "jwks");
    enum attest_rc rc = attest_fetch_new(&options, &err);
    if (rc == ATTEST_OK && url)
        rc = attest_fetch_set_url(options, vk->issuer, url, &err);
    /* For the first sets of others, of whom a nested token may be. */
    if (rc == ATTEST_OK)
        rc = attest_fetch_set_wait_ms(options, WAIT_MAX_MS, &err);
    if (rc == ATTEST_OK)
        rc = attest_verifier_new_fetching(policy, vk->keys, replay, options, ret, &err);
    if (rc == ATTEST_E_CONFIG)
        return cli_complain(EXIT_USAGE, "verify", "%s", err.text);
    if (rc != ATTEST_OK)
        return failed(&err, rc == ATTEST_E_UNSUPPORTED
                                ? "fetch the key set with another program, and give --jwks FILE"
                                : kind->no_answer);
    if (attest_verifier_invalidate(*ret, vk->issuer, &err) != ATTEST_OK ||
        attest_verifier_on_event(*ret, told, vk, &err) != ATTEST_OK)
        return failed(&err, "");
    vk->fetched = true;
    wait_for(*ret, &vk->ended);
    if (vk->ended && vk->rc == ATTEST_OK)
        return EXIT_DONE;
    if (!vk->ended)
        return no_keys(vk, &(struct attest_error){ATTEST_E_TIMEOUT, "no answer"}, kind->no_answer);
    error_set(&err, vk->rc, "%s", vk->text);
    return no_keys(vk, &err, what_next(vk->rc, kind));
}

enum exit_status
verify_keys_verifier(struct verify_keys *vk, struct attest_policy *policy,
                     struct attest_replay *replay, struct attest_verifier **ret)
{
    struct attest_error err = {0};
    const char *jwks = cli_value(vk->args, "jwks");
    const struct kind *kind = cli_value(vk->args, "root-key") ? &signed_kind : &plain;
    enum exit_status status = pin_roots(vk);
    if (status == EXIT_DONE && jwks && !is_url(jwks)) {
        status = load(vk, kind, jwks);
        if (status == EXIT_DONE && attest_verifier_new(policy, vk->keys, replay, ret, &err))
            status = failed(
                &err, "--jwks FILE holds the keys of --issuer alone; without it all are fetched");
    } else if (status == EXIT_DONE) {
        status = fetching(vk, kind, policy, replay, ret);
    }
    if (status == EXIT_DONE && kind == &signed_kind)
        warn_of_next_root(vk->keys, vk->issuer);
    return status;
}
