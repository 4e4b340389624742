/* SPDX-License-Identifier: MIT */
#include "issuer/discovery.h"

#include "issuer/issuer.h"
#include "issuer/jwks.h"
#include "token/subject.h"

static void
put_url(struct buf *out, const char *name, struct slice issuer, const char *path)
{
    /* issuer_check() leaves nothing in an issuer that JSON would escape */
    buf_printf(out, "\"%s\":\"%.*s%s\",", name, SLICE_ARG(issuer), path);
}

void
discovery_write(const char *issuer, bool es256, struct buf *out)
{
    buf_char(out, '{');
    struct slice base = issuer_base(slice_cstr(issuer));
    put_url(out, "issuer", slice_cstr(issuer), "");
    put_url(out, "jwks_uri", base, "/.well-known/jwks.json");
    put_url(out, "signed_jwks_uri", base, "/.well-known/jwks.jwt");
    put_url(out, "token_endpoint", base, "/oauth2/token");
    buf_printf(out, "\"id_token_signing_alg_values_supported\":[\"EdDSA\"%s],",
               es256 ? ",\"ES256\"" : "");
    buf_str(out, "\"subject_types_supported\":[\"public\"],"
                 "\"response_types_supported\":[\"none\"],"
                 "\"grant_types_supported\":[\"client_credentials\"],"
                 "\"token_endpoint_auth_methods_supported\":[\"private_key_jwt\"],"
                 "\"token_endpoint_auth_signing_alg_values_supported\":[\"EdDSA\"]}");
}

struct MHD_Response *
discovery_new(const char *issuer, bool es256)
{
    AUTO(buf) struct buf text;
    buf_init(&text, 16384);
    discovery_write(issuer, es256, &text);
    if (buf_rc(&text))
        return NULL;
    struct MHD_Response *r =
        http_response(buf_view(&text), "application/json", "public, max-age=300");
    if (r)
        MHD_add_response_header(r, "Access-Control-Allow-Origin", "*");
    return r;
}

enum MHD_Result
discovery_get(struct exchange *x)
{
    return http_answer(x, 200, x->issuer->discovery[jwks_es256(x->issuer->jwks)]);
}
