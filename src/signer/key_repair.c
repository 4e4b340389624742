/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "signer/key_life.h"

enum { REPAIR_AGAIN_MS = 60000 };

/* A key that was being made has no record and never had a use: whatever is there goes. */
static enum attest_rc
take_off(struct signer *s, const struct key_intent *intent, struct attest_error *err)
{
    char hex[2 * KEYSTORE_ID_LEN + 1];
    enum attest_rc rc = keystore_discard(s->keystore, intent->id, err);
    if (rc && rc != ATTEST_E_NOT_FOUND)
        return rc;
    hex_encode(hex, intent->id, KEYSTORE_ID_LEN);
    log_event(LOG_LEVEL_WARNING, "key_half_made", "id=%s found=%s note=\"removed from the token\"",
              hex, rc ? "nothing" : "a key without a record");
    struct key_change done = {.fulfilled = intent->id};
    return key_records_apply(s->records, &done, err);
}

static struct key_record *
by_id(struct key_list *list, const uint8_t id[KEYSTORE_ID_LEN])
{
    for (size_t i = 0; i < list->n; i++) {
        if (memcmp(list->keys[i].ref.id, id, KEYSTORE_ID_LEN) == 0)
            return &list->keys[i];
    }
    return NULL;
}

static enum attest_rc
finish_destroying(struct signer *s, struct key_list *list, const struct key_intent *intent,
                  struct attest_error *err)
{
    char event[512];
    struct key_record *key = by_id(list, intent->id);
    if (!key || key->times.destroyed_s) {
        struct key_change done = {.fulfilled = intent->id};
        return key_records_apply(s->records, &done, err);
    }
    enum attest_rc rc = keystore_destroy(s->keystore, &key->ref, err);
    if (rc && rc != ATTEST_E_NOT_FOUND)
        return rc;
    key_life_clock(s, &key->times.destroyed_s);
    if (!key->times.removed_s && !key->times.revoked_s)
        key->times.removed_s = key->times.destroyed_s;
    snprintf(event, sizeof(event),
             "\"op\":\"key.destroy\",\"kid\":\"%s\",\"purpose\":\"%s\",\"caller\":\"%s\","
             "\"note\":\"begun before\"",
             key->kid, key_purpose_name(key->purpose), intent->caller);
    log_event(LOG_LEVEL_WARNING, "key_half_destroyed", "kid=%s note=\"destroyed now\"", key->kid);
    struct key_change done = {
        .keys = key, .n_keys = 1, .fulfilled = intent->id, .event = slice_cstr(event)};
    return key_records_apply(s->records, &done, err);
}

static enum attest_rc
repair(struct signer *s, struct attest_error *err)
{
    AUTO(mem) struct key_intent *intents = NULL;
    AUTO(key_list) struct key_list list = {0};
    size_t n = 0;
    enum attest_rc rc = key_records_intents(s->records, &intents, &n, err);
    if (rc || n == 0 || (rc = key_records_load(s->records, &list.keys, &list.n, err)))
        return rc;
    for (size_t i = 0; i < n; i++) {
        enum attest_rc one = intents[i].destroy ? finish_destroying(s, &list, &intents[i], err)
                                                : take_off(s, &intents[i], err);
        rc = rc ? rc : one; /* the others are not to wait for it */
    }
    return rc;
}

void
key_repair(struct signer *s)
{
    struct attest_error err = {0};
    int64_t now_ms = clock_mono_ms();
    if (now_ms < s->repair_not_before_ms || !repair(s, &err))
        return;
    s->repair_not_before_ms = now_ms + REPAIR_AGAIN_MS;
    log_event(LOG_LEVEL_ERROR, "key_repair_failed", "why=%s note=\"tried again in a minute\"",
              LOG_QUOTED(slice_cstr(err.text)));
}

static bool
is_on_token(const struct key_record *key, const struct key_ref *refs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&refs[i], &key->ref, sizeof(*refs)) == 0)
            return true;
    }
    return false;
}

static void
say_unknown(const struct signer *s, const struct key_ref *ref)
{
    char hex[2 * KEYSTORE_ID_LEN + 1];
    for (size_t i = 0; i < s->keys.n; i++) {
        if (memcmp(&s->keys.keys[i].ref, ref, sizeof(*ref)) == 0)
            return;
    }
    hex_encode(hex, ref->id, KEYSTORE_ID_LEN);
    log_event(LOG_LEVEL_WARNING, "key_unknown",
              "id=%s note=\"on the token, without a record: not used, not removed\"", hex);
}

void
key_compare(struct signer *s)
{
    AUTO(mem) struct key_ref *refs = NULL;
    size_t n = 0, met = 0;
    struct attest_error err = {0};
    if (keystore_list(s->keystore, &refs, &n, &err)) {
        log_event(LOG_LEVEL_WARNING, "keys_not_listed", "why=%s", LOG_QUOTED(slice_cstr(err.text)));
        return;
    }
    for (size_t i = 0; i < s->keys.n; i++) {
        const struct key_record *key = &s->keys.keys[i];
        if (is_on_token(key, refs, n))
            met++;
        else if (key->times.destroyed_s == 0)
            log_event(LOG_LEVEL_ERROR, "key_missing", "kid=%s purpose=%s note=\"not on the token\"",
                      key->kid, key_purpose_name(key->purpose));
    }
    if (n > met)
        log_event(LOG_LEVEL_WARNING, "keys_unknown",
                  "n=%zu note=\"on the token, without a record\"", n - met);
    for (size_t i = 0; i < n; i++)
        say_unknown(s, &refs[i]);
    s->keys_unknown = n > met ? n - met : 0;
}
