/* SPDX-License-Identifier: MIT */
#include "cli/verify_keys.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/keyfile.h"
#include "fetch/fetch.h"
#include "jwks/jwk.h"
#include "token/subject.h"

#define URL_LEN_MAX 2048

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

/* The verdict when there are no keys to judge by: nothing is said of the token. */
static enum exit_status
no_keys(const struct attest_error *err, const char *next)
{
    AUTO(buf) struct buf out;
    buf_init(&out, 4096);
    buf_str(&out, "{\"verified\":false,\"allowed\":false,\"trust_level\":\"none\",\"issuer\":null,"
                  "\"subject\":null,\"claims\":null,\"verified_claims\":[],\"error\":");
    json_put_string(&out, slice_cstr(err->text));
    buf_printf(&out, ",\"error_code\":%d,\"rpc_code\":-32002}\n", ATTEST_E_KEY_FETCH);
    fwrite(out.p, 1, out.len, stdout);
    return failed(err, next);
}

/* Two kinds of key set, by the same ways. */
struct kind {
    const char *path, *type;
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
    .path = JWKS_PATH,
    .type = "application/json",
    .not_there = "is attestd running, or else give --jwks FILE",
    .no_answer = "is attestd running, or else give --jwks FILE",
    .add = attest_keys_add_jwks,
};

static const struct kind signed_kind = {
    .path = SIGNED_JWKS_PATH,
    .type = "application/jwk-set+jwt",
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
        {ATTEST_E_KEY_UNKNOWN, "if the issuer has changed its root key, have its operator confirm "
                               "the new one and give that as --root-key"},
        {ATTEST_E_SIGNATURE, "someone may stand between you and the issuer; ask its operator"},
        {ATTEST_E_ISSUER, "--jwks must be of the --issuer"},
        {ATTEST_E_EXPIRED, "fetch it again; if it stays so, the issuer's signer is not running"},
        {ATTEST_E_NOT_YET_VALID, "set the clock of this machine, or have the issuer set its own"},
        {ATTEST_E_MALFORMED, "with --root-key the keys come from a signed key set (jwks.jwt)"},
    };
    if (kind != &signed_kind)
        return kind->no_answer;
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        if (list[i].rc == rc)
            return list[i].next;
    }
    return "look at the signed key set";
}

static enum exit_status
fetch(const struct kind *kind, const char *issuer, const char *jwks, struct buf *text)
{
    char url[URL_LEN_MAX];
    struct attest_error err = {0};
    struct slice from = jwks ? slice_cstr(jwks) : issuer_base(slice_cstr(issuer));
    int n = snprintf(url, sizeof(url), "%.*s%s", SLICE_ARG(from), jwks ? "" : kind->path);
    if (n < 0 || n >= URL_LEN_MAX)
        return cli_complain(EXIT_USAGE, "verify", "the URL of the keys is too long");
    enum attest_rc rc = fetch_init(&err);
    if (rc == ATTEST_OK)
        rc = fetch_jwks(url, NULL, kind->type, text, &err);
    if (rc == ATTEST_E_ARGUMENT)
        return cli_complain(EXIT_USAGE, "verify", "%s", err.text);
    if (rc != ATTEST_OK)
        return no_keys(&err, rc == ATTEST_E_NOT_FOUND ? kind->not_there : kind->no_answer);
    return EXIT_DONE;
}

static enum exit_status
load(const struct kind *kind, const char *issuer, const char *jwks, struct attest_keys *keys)
{
    AUTO(buf) struct buf text;
    struct attest_error err = {0};
    buf_init(&text, ATTEST_JWKS_MAX);
    bool from_file = jwks && !is_url(jwks);
    if (from_file) {
        if (file_read(jwks, ATTEST_JWKS_MAX, &text, &err) != ATTEST_OK)
            return failed(&err, "--jwks takes the issuer's key set, a file or a URL");
    } else {
        enum exit_status status = fetch(kind, issuer, jwks, &text);
        if (status != EXIT_DONE)
            return status;
    }
    enum attest_rc rc = kind->add(keys, issuer, text.p ? text.p : "", text.len, &err);
    if (rc == ATTEST_OK)
        return EXIT_DONE;
    if (from_file && kind == &plain)
        return failed(&err, "--jwks takes the issuer's key set, a file or a URL");
    return no_keys(&err, what_next(rc, kind));
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

enum exit_status
verify_keys_load(const struct cli_args *args, const char *issuer, struct attest_keys *keys)
{
    const char *jwks = cli_value(args, "jwks"), *path;
    if (!cli_value(args, "root-key"))
        return load(&plain, issuer, jwks, keys);
    for (size_t i = 0; (path = cli_value_at(args, "root-key", i)); i++) {
        struct attest_error err = {0};
        if (pin_file(issuer, path, keys, &err) != ATTEST_OK)
            return failed(&err, "--root-key takes the issuer's root key: a JWK, a JWK set or a "
                                "PEM public key");
    }
    enum exit_status status = load(&signed_kind, issuer, jwks, keys);
    if (status == EXIT_DONE)
        warn_of_next_root(keys, issuer);
    return status;
}
