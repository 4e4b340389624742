/* SPDX-License-Identifier: MIT */
#include "base/json.h"
#include "token/signed_keyset.h"

/* At most len_max bytes, not within a character: UTF-8's followers are 10xxxxxx. */
static size_t
cut_at(struct slice s, size_t len_max)
{
    size_t len = s.len < len_max ? s.len : len_max;
    while (len > 0 && len < s.len && ((uint8_t)s.p[len] & 0xc0) == 0x80)
        len--;
    return len;
}

static void
put_reason(struct slice reason, struct buf *out)
{
    char text[SIGNED_KEYSET_REASON_MAX];
    size_t len = cut_at(reason, sizeof(text));
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)reason.p[i];
        text[i] = c < 0x20 || c == 0x7f ? ' ' : reason.p[i];
    }
    json_put_string(out, (struct slice){text, len});
}

static bool
is_repeated(const struct signed_keyset_revoked *revoked, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (slice_eq(revoked[k].kid, revoked[i].kid))
            return true;
    }
    return false;
}

static void
put_revoked(const struct signed_keyset_source *source, struct buf *out)
{
    buf_char(out, '[');
    for (size_t i = 0; i < source->n_revoked; i++) {
        const struct signed_keyset_revoked *r = &source->revoked[i];
        if (is_repeated(source->revoked, i))
            continue;
        buf_str(out, i ? ",{\"kid\":" : "{\"kid\":");
        json_put_string(out, r->kid);
        buf_printf(out, ",\"revoked_at\":%lld,\"reason\":", (long long)r->revoked_at_s);
        put_reason(r->reason, out);
        buf_char(out, '}');
    }
    buf_char(out, ']');
}

void
signed_keyset_write(const struct signed_keyset_source *source, struct buf *out)
{
    int64_t exp_max = source->iat + SIGNED_KEYSET_LIFETIME_MAX_S;
    buf_str(out, "{\"iss\":");
    json_put_string(out, source->issuer);
    buf_str(out, ",\"sub\":");
    json_put_string(out, source->issuer);
    buf_printf(out, ",\"iat\":%lld,\"exp\":%lld,\"keys\":", (long long)source->iat,
               (long long)(source->exp < exp_max ? source->exp : exp_max));
    keyset_write_list(source->keys, source->n_keys, out);
    buf_str(out, ",\"log_keys\":");
    keyset_write_list(source->log_keys, source->n_log_keys, out);
    buf_str(out, ",\"revoked\":");
    put_revoked(source, out);
    if (source->next_root) {
        buf_str(out, ",\"next_root\":");
        keyset_write_key(source->next_root, source->next_root_alg, out);
    }
    buf_char(out, '}');
}
