/* SPDX-License-Identifier: MIT */
#ifndef SIGNER_KEY_LIST_H
#define SIGNER_KEY_LIST_H

#include "signer/key_records.h"

/*
 * The keys in memory, and what follows from them at a given time: which one signs, what is
 * published, what `keyset`, `status` and `key.list` say. No I/O, no clock.
 */
struct key_list {
    struct key_record *keys; /* the oldest first */
    size_t n;
};

void key_list_done(struct key_list *list);
/* Adds a copy at the end. ATTEST_OK or ATTEST_E_NOMEM. */
enum attest_rc key_list_add(struct key_list *list, const struct key_record *key);

/* The key of this purpose that signs now: active, and of several the one that is so most recently;
 * NULL when there is none. */
const struct key_record *key_list_active(const struct key_list *list, enum key_purpose purpose,
                                         int64_t now_s);

/* Where the key with this kid is, or list->n. */
size_t key_list_find(const struct key_list *list, struct slice kid);

/* A copy of the whole; ATTEST_OK or ATTEST_E_NOMEM. */
enum attest_rc key_list_copy(const struct key_list *list, struct key_list *ret);

/*
 * The time stamps of a new key. The first of its purpose signs at once: there is no older key that
 * somebody might still know alone. A log or root key also does when there is no other in use, since
 * nothing else brings one into use then. Any other waits as `created`.
 */
struct key_times key_list_new_times(const struct key_list *list, enum key_purpose purpose,
                                    int64_t now_s);

/* The keys of one purpose as jwks/keyset.h writes them; entries has room for list->n. Returns how
 * many. */
struct keyset_entry;
size_t key_list_entries(const struct key_list *list, enum key_purpose purpose, int64_t now_s,
                        struct keyset_entry *entries);

/* The key set document of the token keys (docs/protocol.md, section 3). */
enum attest_rc key_list_write_jwks(const struct key_list *list, int64_t now_s, struct buf *out);

/* [{"kid":…,"purpose":…,"state":…,"created":…,"active":…}], for `keyset`: no key that is removed or
 * destroyed. */
void key_list_write_short(const struct key_list *list, int64_t now_s, struct buf *out);
/*
 * [{"kid":…,"purpose":…,"label":…,"state":…,"alg":…,"x":…,"created":…}] with every time stamp that
 * there is, from key number `from` on, as many as KEY_LIST_PAGE; and one of these.
 */
#define KEY_LIST_PAGE 64
void key_list_write(const struct key_list *list, size_t from, int64_t now_s, struct buf *out);
void key_record_write(const struct key_record *key, int64_t now_s, struct buf *out);
/* The same of the last KEY_LIST_PAGE keys that are not destroyed. */
void key_list_write_present(const struct key_list *list, int64_t now_s, struct buf *out);
/* The time stamps of such an object; false when one is no time, or created is not there. */
bool key_times_read(const struct json *j, const struct json_node *key, struct key_times *ret);
/* One without the braces. */
void key_record_write_members(const struct key_record *key, int64_t now_s, struct buf *out);

static inline void
key_list_auto(struct key_list *list)
{
    key_list_done(list);
}

#endif
