/* SPDX-License-Identifier: MIT */
#include "token/jws.h"

#include <string.h>

#include "base/b64u.h"

static const struct json_limits header_limits = {
    .text_max = JWS_TOKEN_MAX, .string_max = JWS_STRING_MAX, .depth_max = 4, .members_max = 16};

static const struct json_limits payload_limits = {.text_max = JWS_TOKEN_MAX,
                                                  .string_max = JWS_NESTED_MAX,
                                                  .depth_max = JWS_DEPTH_MAX,
                                                  .members_max = JWS_MEMBERS_MAX};

static enum attest_rc
malformed(struct attest_error *err, const char *what)
{
    return error_set(err, ATTEST_E_MALFORMED, "token: %s", what);
}

/* Three parts, no more and no fewer dots; whether each is base64url shows when it is decoded. */
static bool
split(struct slice token, struct slice part[3])
{
    const char *p = token.p, *end = token.p + token.len;
    for (size_t i = 0; i < 3; i++) {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        if ((dot == NULL) != (i == 2))
            return false;
        part[i] = (struct slice){p, (size_t)((dot ? dot : end) - p)};
        if (part[i].len == 0)
            return false;
        if (dot)
            p = dot + 1;
    }
    return true;
}

static enum attest_rc
read_header_member(struct jws_envelope *envelope, const struct profile *profile, struct slice name,
                   const struct json_node *v, struct attest_error *err)
{
    bool is_kid = slice_is(name, "kid") && profile->kid, is_alg = slice_is(name, "alg");
    if (!is_kid && !is_alg && !slice_is(name, "typ"))
        return error_set(err, ATTEST_E_MALFORMED, "token: header member '%.*s' is not allowed",
                         (int)(name.len < 32 ? name.len : 32), name.p);
    if (v->type != JSON_STRING)
        return error_set(err, ATTEST_E_MALFORMED, "token: header member '%.*s' is no string",
                         SLICE_ARG(name));
    if (is_alg) {
        if (!jwk_alg_from(v->text, &envelope->alg))
            return malformed(err, "alg is neither EdDSA, Ed25519 nor ES256");
    } else if (is_kid) {
        if (v->text.len == 0 || v->text.len > JWK_KID_MAX)
            return malformed(err, "kid is not 1 to 256 bytes");
        envelope->kid = v->text;
    } else {
        if (!profile_has_typ(profile, v->text))
            return malformed(err, "typ is not one of this kind of token");
        envelope->typ = v->text;
    }
    return ATTEST_OK;
}

static enum attest_rc
read_header(struct jws_envelope *envelope, const struct profile *profile, char *text, size_t len,
            struct attest_error *err)
{
    /* Three names and values are right; room for more lets the error name the one that is not. */
    JSON_NODES(header, 40);
    envelope->alg = JWK_ALG_NONE;
    envelope->typ = envelope->kid = (struct slice){NULL, 0};
    enum attest_rc rc = json_read(&header, text, len, &header_limits, err);
    if (rc)
        return rc;
    const struct json_node *root = json_root(&header);
    if (root->type != JSON_OBJECT)
        return malformed(err, "header is no JSON object");
    struct slice name;
    for (const struct json_node *v = NULL; json_each(&header, root, &name, &v);) {
        rc = read_header_member(envelope, profile, name, v, err);
        if (rc)
            return rc;
    }
    if (envelope->alg == JWK_ALG_NONE || !envelope->typ.p || (profile->kid && !envelope->kid.p))
        return malformed(err, profile->kid ? "header lacks one of alg, typ, kid"
                                           : "header lacks one of alg, typ");
    return ATTEST_OK;
}

/*
 * The reader's limit on strings is the longest that any may have. Two have a longer one than the
 * rest, and only at their place; any other string of that length is too long.
 */
static enum attest_rc
check_strings(const struct json *payload, struct attest_error *err)
{
    const struct json_node *root = json_root(payload), *sub = NULL, *nested = NULL;
    for (size_t i = 0; i < payload->n; i++) {
        const struct json_node *v = &payload->nodes[i];
        if (v->type != JSON_STRING || v->text.len <= JWS_STRING_MAX)
            continue;
        if (!sub && !nested) {
            sub = json_member(payload, root, "sub");
            nested = json_member(payload, json_member(payload, root, "attestation_metadata"),
                                 "nested_attestation");
        }
        if (v != nested && (v != sub || v->text.len > JWS_SUB_MAX))
            return malformed(err, "a string is too long");
    }
    return ATTEST_OK;
}

static enum attest_rc
read_payload(struct jws *jws, char *text, size_t len, struct attest_error *err)
{
    jws->payload = (struct json){jws->payload_nodes, JWS_VALUES_MAX, 0};
    enum attest_rc rc = json_read(&jws->payload, text, len, &payload_limits, err);
    if (rc)
        return rc;
    if (json_root(&jws->payload)->type != JSON_OBJECT)
        return malformed(err, "payload is no JSON object");
    return check_strings(&jws->payload, err);
}

enum attest_rc
jws_open(struct jws_envelope *envelope, const struct profile *profile, const char *token,
         size_t token_len, char *room, size_t room_len, struct attest_error *err)
{
    struct slice part[3];
    size_t token_max = profile->token_max ? profile->token_max : JWS_TOKEN_MAX;
    if (token_len > token_max)
        return error_set(err, ATTEST_E_MALFORMED, "token: %zu bytes, at most %zu", token_len,
                         token_max);
    if (token_len == 0 || !split((struct slice){token, token_len}, part))
        return malformed(err, "not three parts with a dot between");

    size_t header_len, signature_len;
    if (!b64u_decode(room, room_len, &header_len, part[0]))
        return malformed(err, "header is not strict base64url");
    envelope->payload = room + header_len;
    if (!b64u_decode(envelope->payload, room_len - header_len, &envelope->payload_len, part[1]))
        return malformed(err, "payload is not strict base64url");
    char *signature = envelope->payload + envelope->payload_len;
    if (!b64u_decode(signature, room_len - (size_t)(signature - room), &signature_len, part[2]))
        return malformed(err, "signature is not strict base64url");
    envelope->signature_len_ok = signature_len == PUBKEY_SIG_LEN;
    if (envelope->signature_len_ok)
        memcpy(envelope->signature, signature, PUBKEY_SIG_LEN);
    envelope->signing_input = (struct slice){token, part[0].len + 1 + part[1].len};
    return read_header(envelope, profile, room, header_len, err);
}

enum attest_rc
jws_read(struct jws *jws, const struct profile *profile, const char *token, size_t token_len,
         struct attest_error *err)
{
    enum attest_rc rc =
        jws_open(&jws->envelope, profile, token, token_len, jws->text, sizeof(jws->text), err);
    if (rc)
        return rc;
    return read_payload(jws, jws->envelope.payload, jws->envelope.payload_len, err);
}

enum attest_rc
jws_verify(const struct jws_envelope *envelope, const struct pubkey *key, struct attest_error *err)
{
    if (!jwk_alg_fits(envelope->alg, key->type))
        return error_set(err, ATTEST_E_MALFORMED, "alg %s, but the key is of type %s",
                         jwk_alg_name(envelope->alg), jwk_crv(key->type));
    if (!envelope->signature_len_ok)
        return error_set(err, ATTEST_E_SIGNATURE, "signature: not %d bytes", PUBKEY_SIG_LEN);
    if (!pubkey_verify(key, envelope->signing_input, envelope->signature))
        return error_set(err, ATTEST_E_SIGNATURE, "signature: does not verify");
    return ATTEST_OK;
}

void
jws_write_signing_input(struct buf *out, enum jwk_alg alg, const char *typ, struct slice kid,
                        struct slice payload)
{
    AUTO(buf) struct buf header;
    buf_init(&header, JWS_TOKEN_MAX);
    buf_printf(&header, "{\"alg\":\"%s\",\"typ\":\"%s\"", jwk_alg_name(alg ? alg : JWK_ALG_EDDSA),
               typ);
    if (kid.p) {
        buf_str(&header, ",\"kid\":");
        json_put_string(&header, kid);
    }
    buf_char(&header, '}');
    if (buf_rc(&header)) {
        out->rc = buf_rc(&header);
        return;
    }
    b64u_append(out, header.p, header.len);
    buf_char(out, '.');
    b64u_append(out, payload.p, payload.len);
}

void
jws_write_signature(struct buf *out, const uint8_t signature[PUBKEY_SIG_LEN])
{
    buf_char(out, '.');
    b64u_append(out, signature, PUBKEY_SIG_LEN);
}

static bool
is_b64u(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool
jws_has_shape(struct slice token, size_t len_max)
{
    struct slice part[3];
    if (token.len == 0 || token.len > len_max || !split(token, part))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        for (size_t k = 0; k < part[i].len; k++) {
            if (!is_b64u(part[i].p[k]))
                return false;
        }
    }
    return true;
}
