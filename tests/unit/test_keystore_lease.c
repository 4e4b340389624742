/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "hsm/keystore.h"
#include "hsm/p11_key.h"
#include "hsm/token_admin.h"
#include "tests/support/softhsm.h"

/* The lease of a token, and what a crash leaves of a key pair: on SoftHSM, with real processes. */

#define URI "pkcs11:token=attestd%20test"
#define PATIENCE_MS 30000
#define RACERS_MAX 4

static struct softhsm hsm;

static struct keystore *
open_ks(void)
{
    AUTO(secret) struct secret pin = secret_copy(SOFTHSM_PIN, strlen(SOFTHSM_PIN));
    struct keystore_config config = {
        .uri = URI,
        .module_path = hsm.module,
        .pin = &pin,
        .workers = 1,
        .queue_max = 16,
        .call_timeout_ms = PATIENCE_MS,
    };
    struct keystore *ks = NULL;
    struct attest_error err = {0};
    /* SoftHSM empties its token file for a moment at each login; who reads it then sees no token.
     */
    for (int i = 0; i < 50; i++) {
        enum attest_rc rc = keystore_open(&config, &ks, &err);
        if (rc != ATTEST_E_KEY_OUT_OF_REACH)
            break;
        usleep(50000);
    }
    if (!ks) {
        fprintf(stderr, "open: %s\n", err.text);
        abort();
    }
    return ks;
}

/* ---- objects, past the keystore: in a process of their own, which may use the module alone ----
 */

struct job {
    CK_OBJECT_CLASS class;
    const uint8_t *id; /* NULL: whatever has the lease's label */
    bool destroy;
    const char *write; /* puts this lease there */
};

static CK_RV
do_job(struct p11_conn *conn, const struct job *job, size_t *n)
{
    CK_BBOOL yes = CK_TRUE;
    CK_OBJECT_CLASS class = job->class;
    CK_OBJECT_HANDLE found[32];
    CK_ATTRIBUTE t[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {job->id ? CKA_ID : CKA_LABEL, (void *)(job->id ? (const char *)job->id : "attestd lease"),
         job->id ? KEYSTORE_ID_LEN : strlen("attestd lease")},
        {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_APPLICATION, (void *)"attestd", strlen("attestd")},
        {CKA_VALUE, (void *)job->write, job->write ? strlen(job->write) : 0},
    };
    if (job->write)
        return P11_CALL(conn, C_CreateObject, conn->session, t, 6UL, &found[0]);
    CK_RV rv = p11_find_objects(conn, t, 3, found, ARRAY_LEN(found), n);
    for (size_t i = 0; rv == CKR_OK && job->destroy && i < *n; i++)
        rv = P11_CALL(conn, C_DestroyObject, conn->session, found[i]);
    return rv;
}

static int
child_job(const struct job *job)
{
    struct p11_module m = {0};
    struct p11_conn conn = {0};
    AUTO(p11_uri) struct p11_uri *uri = NULL;
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    CK_RV rv;
    size_t n = 0;
    if (p11_uri_parse(URI, &uri, NULL) || p11_module_load(&m, hsm.module, NULL))
        return 255;
    conn.f = m.f;
    if (p11_module_initialize(&m, &conn) != CKR_OK ||
        p11_find_slot(&conn, uri, &slot, &info, &rv, NULL) ||
        conn.f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                              &conn.session) != CKR_OK ||
        conn.f->C_Login(conn.session, CKU_USER, (CK_UTF8CHAR_PTR)SOFTHSM_PIN,
                        strlen(SOFTHSM_PIN)) != CKR_OK ||
        do_job(&conn, job, &n) != CKR_OK)
        return 255;
    p11_module_finalize(&m, &conn);
    return (int)n;
}

/* How many objects matched. */
static int
run_job(struct job job)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(child_job(&job));
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), 255);
    return WEXITSTATUS(status);
}

static int
count_leases(void)
{
    return run_job((struct job){.class = CKO_DATA});
}

static int
no_lease(void **state)
{
    (void)state;
    run_job((struct job){.class = CKO_DATA, .destroy = true});
    return 0;
}

/* ---- the lease ---- */

static struct keystore_lease
lease(const char *instance, int64_t since_s)
{
    struct keystore_lease l = {.host = "host.example", .since_s = since_s};
    snprintf(l.instance, sizeof(l.instance), "%s", instance);
    return l;
}

/* A machine that is too busy to agree in time has to be asked again, though not for ever. */
static enum attest_rc
lease_set(struct keystore *ks, const struct keystore_lease *expected,
          const struct keystore_lease *mine, struct attest_error *err)
{
    int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    enum attest_rc rc;
    do
        rc = keystore_lease_set(ks, expected, mine, err);
    while (rc == ATTEST_E_BUSY && clock_mono_ms() < until_ms);
    return rc;
}

static void
assert_holder(struct keystore *ks, const struct keystore_lease *want)
{
    struct keystore_lease got;
    struct attest_error err = {0};
    if (keystore_lease_get(ks, &got, &err))
        fail_msg("lease: %s", err.text);
    assert_string_equal(got.instance, want->instance);
    assert_string_equal(got.host, want->host);
    assert_int_equal(got.since_s, want->since_s);
}

static void
test_set(void **state)
{
    (void)state;
    struct keystore_lease a = lease("3f8e0f5e-54cf-4a53-9f67-0123456789ab", 1700000000), got;
    struct keystore_lease b = lease("b \"quoted\\", 1800000000), c = lease("c", 1600000000);
    struct attest_error err = {0};
    b.host[0] = '\0';
    struct keystore *ks = open_ks();
    assert_int_equal(keystore_lease_get(ks, &got, NULL), ATTEST_E_NOT_FOUND);
    assert_int_equal(lease_set(ks, &a, &b, NULL), ATTEST_E_EXISTS);
    assert_int_equal(lease_set(ks, NULL, &a, NULL), ATTEST_OK);
    assert_holder(ks, &a);
    assert_int_equal(lease_set(ks, NULL, &b, &err), ATTEST_E_EXISTS);
    assert_non_null(strstr(err.text, a.instance));
    assert_non_null(strstr(err.text, "host.example"));
    assert_int_equal(lease_set(ks, &b, &c, NULL), ATTEST_E_EXISTS);
    assert_holder(ks, &a);
    assert_int_equal(lease_set(ks, &a, &b, NULL), ATTEST_OK);
    assert_holder(ks, &b);
    assert_int_equal(lease_set(ks, &b, &c, NULL), ATTEST_OK); /* its clock is behind */
    keystore_close(ks);
    ks = open_ks();
    assert_holder(ks, &c);
    keystore_close(ks);
    assert_int_equal(count_leases(), 1);
}

static void
test_rules(void **state)
{
    (void)state;
    struct keystore *ks = open_ks();
    struct keystore_lease got,
        bad[] = {lease("", 1), lease("a\nb", 1), lease("a", 0), lease("a", -5)};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(lease_set(ks, NULL, &bad[i], NULL), ATTEST_E_ARGUMENT);
    struct keystore_lease endless = lease("a", 1);
    memset(endless.instance, 'x', sizeof(endless.instance)); /* no NUL */
    assert_int_equal(lease_set(ks, NULL, &endless, NULL), ATTEST_E_ARGUMENT);
    assert_int_equal(keystore_lease_get(ks, &got, NULL), ATTEST_E_NOT_FOUND);
    keystore_close(ks);
}

static void
test_damaged(void **state)
{
    (void)state;
    static char long_value[1024];
    memset(long_value, ' ', sizeof(long_value) - 1);
    static const char *const damaged[] = {
        "",
        "{}",
        "nonsense",
        "[\"a\",\"h\",1]",
        "{\"instance\":\"a\",\"host\":\"h\",\"since\":1}x",
        "{\"instance\":\"a\",\"host\":\"h\",\"since\":\"1\"}",
        "{\"instance\":\"a\",\"host\":\"h\",\"since\":1.5}",
        "{\"instance\":\"a\",\"host\":\"h\",\"since\":0}",
        "{\"instance\":\"a\",\"host\":\"h\"}",
        "{\"instance\":\"a\",\"host\":\"h\",\"since\":1,\"more\":1}",
        "{\"instance\":\"a\",\"instance\":\"b\",\"host\":\"h\",\"since\":1}",
        "{\"instance\":\"\",\"host\":\"h\",\"since\":1}",
        "{\"instance\":\"a\\u0007\",\"host\":\"h\",\"since\":1}",
        "{\"instance\":\"0123456789012345678901234567890123456\",\"host\":\"h\",\"since\":1}",
        long_value,
    };
    for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
        struct keystore_lease got, mine = lease("me", 1700000000);
        struct attest_error err = {0};
        run_job((struct job){.class = CKO_DATA, .write = damaged[i]});
        struct keystore *ks = open_ks();
        if (keystore_lease_get(ks, &got, &err) != ATTEST_E_CORRUPT)
            fail_msg("taken: %s", damaged[i]);
        assert_non_null(strstr(err.text, "damaged"));
        assert_int_equal(lease_set(ks, NULL, &mine, NULL), ATTEST_E_CORRUPT);
        keystore_close(ks);
        assert_int_equal(run_job((struct job){.class = CKO_DATA, .destroy = true}), 1);
    }
}

/* Killed between the new lease and the old one's end: the old one holds, and the rest goes. */
static void
test_leftover(void **state)
{
    (void)state;
    run_job((struct job){.class = CKO_DATA,
                         .write = "{\"instance\":\"old\",\"host\":\"h\",\"since\":1600000000}"});
    run_job(
        (struct job){.class = CKO_DATA,
                     .write = "{\"instance\":\"crashed\",\"host\":\"h\",\"since\":1700000000}"});
    struct keystore_lease old = lease("old", 1600000000), mine = lease("mine", 1800000000);
    strcpy(old.host, "h");
    struct keystore *ks = open_ks();
    assert_holder(ks, &old);
    assert_int_equal(lease_set(ks, NULL, &mine, NULL), ATTEST_E_EXISTS);
    assert_int_equal(lease_set(ks, &old, &mine, NULL), ATTEST_OK);
    assert_holder(ks, &mine);
    keystore_close(ks);
    assert_int_equal(count_leases(), 1);
}

/* ---- races ---- */

static int
racer(int ready, int go, const struct keystore_lease *expected, const struct keystore_lease *mine)
{
    struct keystore *ks = open_ks();
    char c = 'r';
    if (write(ready, &c, 1) != 1 || read(go, &c, 1) != 0)
        return 9;
    enum attest_rc rc = lease_set(ks, expected, mine, NULL);
    keystore_close(ks);
    return rc == ATTEST_OK ? 1 : rc == ATTEST_E_EXISTS ? 0 : 8;
}

static struct keystore_lease
race(const struct keystore_lease *expected, int racers, bool same_second, int round)
{
    struct keystore_lease mine[RACERS_MAX];
    pid_t pids[RACERS_MAX];
    int ready[2], go[2], winner = -1;
    char c;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < racers; i++) {
        char name[32];
        snprintf(name, sizeof(name), "round %d racer %d", round, i);
        mine[i] = lease(name, 1700000000 + 10 * round - (same_second ? 0 : i));
        pids[i] = fork();
        if (pids[i] == 0) {
            close(go[1]);
            _exit(racer(ready[1], go[0], expected, &mine[i]));
        }
    }
    close(ready[1]);
    for (int i = 0; i < racers; i++) {
        struct pollfd pfd = {.fd = ready[0], .events = POLLIN};
        if (poll(&pfd, 1, 2 * PATIENCE_MS) != 1) /* one that failed, while others hold the pipe */
            fail_msg("racer %d of %d does not get ready", i, racers);
        assert_int_equal(read(ready[0], &c, 1), 1);
    }
    close(go[0]);
    close(go[1]); /* all read the end at once */
    for (int i = 0; i < racers; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        if (WEXITSTATUS(status) == 0)
            continue;
        assert_int_equal(winner, -1);
        winner = i;
    }
    close(ready[0]);
    assert_int_not_equal(winner, -1);
    assert_int_equal(count_leases(), 1);
    struct keystore *ks = open_ks();
    assert_holder(ks, &mine[winner]);
    keystore_close(ks);
    return mine[winner];
}

static void
test_races(void **state)
{
    /* Two most of all: no third one's writes tell them of each other. */
    static const int racers[] = {2, RACERS_MAX, 2, 3, 2, 2};
    for (int round = 0; round < (int)ARRAY_LEN(racers); round++) {
        no_lease(state);
        struct keystore_lease holder = race(NULL, racers[round], round % 3 == 0, 2 * round);
        race(&holder, racers[round], round % 3 == 1, 2 * round + 1);
    }
}

/* ---- halves of key pairs ---- */

static size_t
count_keys(struct keystore *ks)
{
    struct key_ref *list = NULL;
    size_t n = 0;
    assert_int_equal(keystore_list(ks, &list, &n, NULL), ATTEST_OK);
    free(list);
    return n;
}

static void
test_halves(void **state)
{
    (void)state;
    static const struct {
        CK_OBJECT_CLASS lost;
        bool lost_too;
    } cases[] = {{CKO_PUBLIC_KEY, false}, {CKO_PRIVATE_KEY, false}, {CKO_PRIVATE_KEY, true}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t id[KEYSTORE_ID_LEN], other_id[KEYSTORE_ID_LEN];
        struct key_ref key, other;
        struct attest_error err = {0};
        random_bytes(id, sizeof(id));
        random_bytes(other_id, sizeof(other_id));
        struct keystore *ks = open_ks();
        assert_int_equal(keystore_generate(ks, id, "token", "broken soon", &key, NULL), ATTEST_OK);
        assert_memory_equal(key.id, id, sizeof(id));
        assert_int_equal(keystore_generate(ks, id, "token", "again", &other, &err),
                         ATTEST_E_EXISTS);
        assert_int_equal(keystore_generate(ks, other_id, "token", "whole", &other, NULL),
                         ATTEST_OK);
        assert_int_equal(count_keys(ks), 2);
        keystore_close(ks);

        run_job((struct job){.class = cases[i].lost, .id = id, .destroy = true});
        if (cases[i].lost_too)
            run_job((struct job){.class = CKO_PUBLIC_KEY, .id = id, .destroy = true});
        ks = open_ks();
        assert_int_equal(count_keys(ks), 1); /* half a key is not a key */
        key.public_key.bytes[5] ^= 1;
        assert_int_equal(keystore_destroy(ks, &key, NULL), ATTEST_E_NOT_FOUND);
        key.public_key.bytes[5] ^= 1;
        if (cases[i].lost == CKO_PUBLIC_KEY || cases[i].lost_too)
            assert_int_equal(keystore_destroy(ks, &key, NULL), ATTEST_E_NOT_FOUND);
        if (!cases[i].lost_too) {
            assert_int_equal(keystore_generate(ks, id, "token", "again", &other, &err),
                             ATTEST_E_EXISTS);
            if (cases[i].lost == CKO_PRIVATE_KEY) /* killed halfway through a destruction */
                assert_int_equal(keystore_destroy(ks, &key, NULL), ATTEST_OK);
            else
                assert_int_equal(keystore_discard(ks, id, NULL), ATTEST_OK);
        }
        assert_int_equal(keystore_discard(ks, id, &err), ATTEST_E_NOT_FOUND);
        assert_int_equal(keystore_generate(ks, id, "token", "anew", &key, NULL), ATTEST_OK);
        assert_int_equal(keystore_discard(ks, id, NULL), ATTEST_OK); /* whole ones as well */
        assert_int_equal(count_keys(ks), 1);
        assert_int_equal(keystore_destroy(ks, &other, NULL), ATTEST_OK);
        keystore_close(ks);
        assert_int_equal(run_job((struct job){.class = CKO_PUBLIC_KEY, .id = id}), 0);
        assert_int_equal(run_job((struct job){.class = CKO_PRIVATE_KEY, .id = id}), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_set, no_lease),
        cmocka_unit_test_setup(test_rules, no_lease),
        cmocka_unit_test_setup(test_damaged, no_lease),
        cmocka_unit_test_setup(test_leftover, no_lease),
        cmocka_unit_test_setup(test_races, no_lease),
        cmocka_unit_test_setup(test_halves, no_lease),
    };
    struct attest_error err = {0};
    if (crypto_init(&err) || !softhsm_start(&hsm))
        return 77;
    AUTO(secret) struct secret so_pin = secret_copy(SOFTHSM_SO_PIN, strlen(SOFTHSM_SO_PIN));
    AUTO(secret) struct secret pin = secret_copy(SOFTHSM_PIN, strlen(SOFTHSM_PIN));
    struct token_init init = {
        .label = SOFTHSM_LABEL, .so_pin = &so_pin, .pin = &pin, .any_slot = true};
    struct token_slot slot;
    int failed = 1;
    if (token_admin_init(hsm.module, &init, &slot, &err))
        fprintf(stderr, "token_admin_init: %s\n", err.text);
    else
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    softhsm_stop(&hsm);
    return failed;
}
