/* SPDX-License-Identifier: MIT */
#include "hsm/p11_lease.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "hsm/p11_key.h"

/*
 * Several processes may write at once, and each only knows what it sees:
 *
 *   1. look: only what is expected may be there, else wait
 *   2. write our own beside it, at most SETTLE_MS after the look began, or withdraw and start over
 *   3. wait for SETTLE_MS: whoever had looked before we wrote has written by now too; then stir the
 *      token, and look again
 *   4. the least of the new ones, by (since, instance), has won; the others remove their own
 *   5. the winner removes what was expected, and looks once more
 *
 * A crash may leave two. The lease is then the least of all, which is the old one unless clocks
 * differ. The next writer waits for PATIENCE_MS, by which time a living process is done, and
 * removes the rest.
 *
 * Stirring is for modules that notice the changes of other processes by a counter, as SoftHSM does:
 * our own write moves it on, and another's of just before is then not noticed until the next one.
 * So each makes and destroys an object of no meaning, a few times, at moments of chance, and looks
 * before each: who wrote last sees the others' stirring, and with it their leases. One that is too
 * late with it, STIR_BY_MS after it wrote, withdraws, since others may have stopped looking. What a
 * kill leaves of the stirring means nothing to anyone.
 */
enum { SETTLE_MS = 250, STIR_BY_MS = 500, LOOK_FROM_MS = 600, PATIENCE_MS = 2000, TRIES = 5 };
enum { STIRS = 3, STIR_APART_MS = 60 };

enum { VALUE_MAX = 512, OBJECTS_MAX = 16 };

#define APPLICATION "attestd"
#define LABEL "attestd lease"
#define STIR_LABEL "attestd lease check"

struct object {
    CK_OBJECT_HANDLE handle;
    struct keystore_lease lease;
};

struct objects {
    struct object of[OBJECTS_MAX];
    size_t n;
    size_t least; /* when n > 0 */
};

static bool
same(const struct keystore_lease *a, const struct keystore_lease *b)
{
    return a->since_s == b->since_s && !strcmp(a->instance, b->instance) &&
           !strcmp(a->host, b->host);
}

static bool
before(const struct keystore_lease *a, const struct keystore_lease *b)
{
    return a->since_s != b->since_s ? a->since_s < b->since_s
                                    : strcmp(a->instance, b->instance) < 0;
}

/* ---- the value ---- */

static bool
printable(struct slice s, size_t min, size_t max)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    }
    return s.len >= min && s.len <= max;
}

static bool
in_order(struct slice instance, struct slice host, int64_t since_s)
{
    return printable(instance, 1, sizeof((struct keystore_lease){0}.instance) - 1) &&
           printable(host, 0, sizeof((struct keystore_lease){0}.host) - 1) && since_s > 0;
}

static bool
parse(char *text, size_t len, struct keystore_lease *ret)
{
    static const struct json_limits limits = {
        .text_max = VALUE_MAX, .string_max = 64, .depth_max = 1, .members_max = 3};
    JSON_NODES(json, 8);
    int64_t since_s;
    if (json_read(&json, text, len, &limits, NULL))
        return false;
    const struct json_node *root = json_root(&json);
    const struct json_node *instance = json_member(&json, root, "instance");
    const struct json_node *host = json_member(&json, root, "host");
    if (root->type != JSON_OBJECT || root->count != 3 || !instance || !host ||
        instance->type != JSON_STRING || host->type != JSON_STRING ||
        !json_int64(json_member(&json, root, "since"), &since_s) ||
        !in_order(instance->text, host->text, since_s))
        return false;
    *ret = (struct keystore_lease){.since_s = since_s};
    memcpy(ret->instance, instance->text.p, instance->text.len);
    memcpy(ret->host, host->text.p, host->text.len);
    return true;
}

static enum attest_rc
format(const struct keystore_lease *lease, struct buf *out, struct attest_error *err)
{
    struct slice instance = {lease->instance, strnlen(lease->instance, sizeof(lease->instance))};
    struct slice host = {lease->host, strnlen(lease->host, sizeof(lease->host))};
    if (!in_order(instance, host, lease->since_s))
        return error_set(err, ATTEST_E_ARGUMENT,
                         "a lease needs a printable instance, host and a time");
    buf_str(out, "{\"instance\":");
    json_put_string(out, instance);
    buf_str(out, ",\"host\":");
    json_put_string(out, host);
    buf_printf(out, ",\"since\":%lld}", (long long)lease->since_s);
    return buf_rc(out) ? error_set(err, buf_rc(out), "writing a lease") : ATTEST_OK;
}

/* ---- objects ---- */

static enum attest_rc
failed(struct p11_conn *conn, CK_RV rv, struct attest_error *err)
{
    return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "%s: %s", conn->call, P11_RV_TEXT(rv));
}

/* ATTEST_E_NOT_FOUND: it went away between the search and this, which is no error of anyone. */
static enum attest_rc
read_object(struct p11_conn *conn, struct object *object, CK_RV *rv, struct attest_error *err)
{
    char value[VALUE_MAX];
    CK_ATTRIBUTE attr = {CKA_VALUE, value, sizeof(value)};
    *rv = P11_CALL(conn, C_GetAttributeValue, conn->session, object->handle, &attr, 1UL);
    if (*rv == CKR_OBJECT_HANDLE_INVALID) {
        *rv = CKR_OK;
        return ATTEST_E_NOT_FOUND;
    }
    bool too_long = *rv == CKR_BUFFER_TOO_SMALL || *rv == CKR_ATTRIBUTE_TYPE_INVALID;
    if (*rv != CKR_OK && !too_long)
        return failed(conn, *rv, err);
    *rv = CKR_OK;
    if (too_long || attr.ulValueLen > sizeof(value) ||
        !parse(value, attr.ulValueLen, &object->lease))
        return error_set(err, ATTEST_E_CORRUPT,
                         "the object \"" LABEL "\" on the token is damaged: remove it (pkcs11-tool "
                         "--delete-object --type data) if no signer uses the token");
    return ATTEST_OK;
}

static enum attest_rc
look(struct p11_conn *conn, struct objects *ret, CK_RV *rv, struct attest_error *err)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_APPLICATION, (void *)APPLICATION, strlen(APPLICATION)},
        {CKA_LABEL, (void *)LABEL, strlen(LABEL)},
    };
    CK_OBJECT_HANDLE found[OBJECTS_MAX];
    size_t n = 0;
    ret->n = ret->least = 0;
    *rv = p11_find_objects(conn, template, ARRAY_LEN(template), found, ARRAY_LEN(found), &n);
    if (*rv != CKR_OK)
        return failed(conn, *rv, err);
    for (size_t i = 0; i < n; i++) {
        struct object *o = &ret->of[ret->n];
        o->handle = found[i];
        enum attest_rc rc = read_object(conn, o, rv, err);
        if (rc == ATTEST_E_NOT_FOUND)
            continue;
        if (rc)
            return rc;
        if (before(&o->lease, &ret->of[ret->least].lease))
            ret->least = ret->n;
        ret->n++;
    }
    return ATTEST_OK;
}

static enum attest_rc
create(struct p11_conn *conn, const char *name, struct slice value, CK_OBJECT_HANDLE *ret,
       CK_RV *rv, struct attest_error *err)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_APPLICATION, (void *)APPLICATION, strlen(APPLICATION)},
        {CKA_LABEL, (void *)name, strlen(name)},
        {CKA_VALUE, (void *)value.p, value.len},
    };
    *rv = P11_CALL(conn, C_CreateObject, conn->session, template, ARRAY_LEN(template), ret);
    return *rv == CKR_OK ? ATTEST_OK : failed(conn, *rv, err);
}

/* One that another process has removed meanwhile is as good as destroyed. */
static enum attest_rc
destroy(struct p11_conn *conn, CK_OBJECT_HANDLE object, CK_RV *rv, struct attest_error *err)
{
    *rv = P11_CALL(conn, C_DestroyObject, conn->session, object);
    if (*rv == CKR_OBJECT_HANDLE_INVALID)
        *rv = CKR_OK;
    return *rv == CKR_OK ? ATTEST_OK : failed(conn, *rv, err);
}

/* ---- agreeing ---- */

static void
sleep_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static enum attest_rc
held(const struct keystore_lease *by, struct attest_error *err)
{
    return error_set(err, ATTEST_E_EXISTS, "the token is held by instance %s on %s", by->instance,
                     by->host[0] ? by->host : "an unnamed host");
}

static enum attest_rc
check_expected(const struct objects *seen, const struct keystore_lease *expected,
               struct attest_error *err)
{
    if (!expected)
        return seen->n ? held(&seen->of[seen->least].lease, err) : ATTEST_OK;
    if (!seen->n)
        return error_set(err, ATTEST_E_EXISTS, "the lease of instance %s is gone",
                         expected->instance);
    const struct keystore_lease *there = &seen->of[seen->least].lease;
    return same(there, expected) ? ATTEST_OK : held(there, err);
}

/*
 * Looks until at most one is there; what outlives the patience was left by a crash and goes. *at_ms
 * is when the last look began.
 */
static enum attest_rc
look_settled(struct p11_conn *conn, struct objects *seen, int64_t *at_ms, CK_RV *rv,
             struct attest_error *err)
{
    int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    for (;;) {
        *at_ms = clock_mono_ms();
        enum attest_rc rc = look(conn, seen, rv, err);
        if (rc || seen->n <= 1)
            return rc;
        for (size_t i = 0; !rc && *at_ms >= until_ms && i < seen->n; i++) {
            if (i != seen->least)
                rc = destroy(conn, seen->of[i].handle, rv, err);
        }
        if (rc)
            return rc;
        sleep_ms(50);
    }
}

/*
 * Step 4; leases are known by their values, since handles are each process's own. *old is
 * what has to go now, or CK_INVALID_HANDLE.
 */
static enum attest_rc
judge(struct p11_conn *conn, const struct keystore_lease *expected,
      const struct keystore_lease *lease, CK_OBJECT_HANDLE *ret, CK_RV *rv,
      struct attest_error *err)
{
    struct objects seen;
    const struct object *old = NULL, *best = NULL;
    unsigned as_ours = 0;
    enum attest_rc rc = look(conn, &seen, rv, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < seen.n; i++) {
        const struct object *o = &seen.of[i];
        if (expected && !old && same(&o->lease, expected))
            old = o;
        else if (!best || before(&o->lease, &best->lease))
            best = o;
        as_ours += same(&o->lease, lease);
    }
    /* Two of the same name cannot be told apart: then neither has it. */
    if (as_ours != 1 || (expected && !old))
        return error_set(err, ATTEST_E_EXISTS, "another process took the token meanwhile");
    if (!same(&best->lease, lease))
        return held(&best->lease, err);
    *ret = old ? old->handle : CK_INVALID_HANDLE;
    return ATTEST_OK;
}

/* Step 3, for what was written at written_ms. */
static enum attest_rc
settle(struct p11_conn *conn, int64_t written_ms, CK_RV *rv, struct attest_error *err)
{
    struct objects ignored;
    CK_OBJECT_HANDLE object;
    enum attest_rc rc = ATTEST_OK;
    sleep_ms(SETTLE_MS);
    for (int i = 0; !rc && i < STIRS; i++) {
        uint8_t chance;
        random_bytes(&chance, sizeof(chance));
        rc = look(conn, &ignored, rv, err);
        if (!rc)
            rc = create(conn, STIR_LABEL, slice_cstr("-"), &object, rv, err);
        if (!rc)
            rc = destroy(conn, object, rv, err);
        if (!rc && i == 0 && clock_mono_ms() - written_ms > STIR_BY_MS)
            rc = error_set(err, ATTEST_E_BUSY, "the token is too slow to agree on a lease");
        sleep_ms(STIR_APART_MS + chance / 4);
    }
    int64_t left_ms = written_ms + LOOK_FROM_MS - clock_mono_ms();
    if (!rc && left_ms > 0)
        sleep_ms(left_ms);
    return rc;
}

/* Step 5. */
static enum attest_rc
replace(struct p11_conn *conn, CK_OBJECT_HANDLE old, const struct keystore_lease *lease, CK_RV *rv,
        struct attest_error *err)
{
    struct objects seen;
    enum attest_rc rc = old == CK_INVALID_HANDLE ? ATTEST_OK : destroy(conn, old, rv, err);
    if (rc || (rc = look(conn, &seen, rv, err)))
        return rc;
    for (size_t i = 0; i < seen.n; i++) {
        if (same(&seen.of[i].lease, lease))
            return ATTEST_OK;
    }
    return error_set(err, ATTEST_E_EXISTS, "another process removed the new lease");
}

/* One round; ATTEST_E_BUSY when the token was too slow for the others to be sure of us. */
static enum attest_rc
attempt(struct p11_conn *conn, const struct keystore_lease *expected,
        const struct keystore_lease *lease, struct slice value, CK_RV *rv, struct attest_error *err)
{
    struct objects seen;
    CK_OBJECT_HANDLE own, old = CK_INVALID_HANDLE;
    int64_t seen_ms;
    enum attest_rc rc = look_settled(conn, &seen, &seen_ms, rv, err);
    if (rc || (rc = check_expected(&seen, expected, err)) ||
        (rc = create(conn, LABEL, value, &own, rv, err)))
        return rc;
    int64_t written_ms = clock_mono_ms();
    if (written_ms - seen_ms >= SETTLE_MS)
        rc = error_set(err, ATTEST_E_BUSY, "the token is too slow to agree on a lease");
    else
        rc = settle(conn, written_ms, rv, err);
    if (!rc)
        rc = judge(conn, expected, lease, &old, rv, err);
    if (!rc)
        rc = replace(conn, old, lease, rv, err);
    if (rc) {
        CK_RV ignored;
        destroy(conn, own, &ignored, NULL);
    }
    return rc;
}

enum attest_rc
p11_lease_get(struct p11_conn *conn, struct keystore_lease *ret, CK_RV *rv,
              struct attest_error *err)
{
    struct objects seen;
    enum attest_rc rc = look(conn, &seen, rv, err);
    if (rc)
        return rc;
    if (!seen.n)
        return error_set(err, ATTEST_E_NOT_FOUND, "the token has no lease");
    *ret = seen.of[seen.least].lease;
    return ATTEST_OK;
}

enum attest_rc
p11_lease_set(struct p11_conn *conn, const struct keystore_lease *expected,
              const struct keystore_lease *lease, CK_RV *rv, struct attest_error *err)
{
    AUTO(buf) struct buf value;
    buf_init(&value, VALUE_MAX);
    *rv = CKR_OK;
    enum attest_rc rc = format(lease, &value, err);
    if (rc)
        return rc;
    if (expected && same(expected, lease))
        return error_set(err, ATTEST_E_ARGUMENT, "the lease is the one that is expected");
    for (int i = 0; i < TRIES; i++) {
        rc = attempt(conn, expected, lease, buf_view(&value), rv, err);
        if (rc != ATTEST_E_BUSY)
            break;
    }
    return rc;
}
