/* SPDX-License-Identifier: MIT */
#include "tests/support/keystore_fault.h"

/* What comes of it when the module refuses, forgets, or makes weak keys. */

/* ---- what each result of each call does ---- */

static const struct fault_case {
    const char *rules;
    enum attest_rc rc; /* of the first signature under these rules */
    enum keystore_state state;
} cases[] = {
    /* one request is at fault */
    {"C_Sign return CKR_DATA_LEN_RANGE", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_READY},
    {"C_SignInit return CKR_MECHANISM_PARAM_INVALID", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_READY},
    {"C_Sign wrong", ATTEST_E_SIGNATURE, KEYSTORE_READY},
    {"C_Sign short", ATTEST_E_SIGNATURE, KEYSTORE_READY},
    /* mended in place */
    {"C_Sign return CKR_SESSION_HANDLE_INVALID 1", ATTEST_OK, KEYSTORE_READY},
    {"C_SignInit return CKR_SESSION_CLOSED 1", ATTEST_OK, KEYSTORE_READY},
    {"C_SignInit return CKR_KEY_HANDLE_INVALID 1", ATTEST_OK, KEYSTORE_READY},
    {"C_SignInit return CKR_OBJECT_HANDLE_INVALID 1", ATTEST_OK, KEYSTORE_READY},
    {"C_SignInit return CKR_OPERATION_ACTIVE 1", ATTEST_OK, KEYSTORE_READY},
    {"C_SignInit return CKR_USER_NOT_LOGGED_IN 1", ATTEST_OK, KEYSTORE_READY},
    {"C_Sign return CKR_OPERATION_NOT_INITIALIZED 1", ATTEST_OK, KEYSTORE_READY},
    {"C_Sign return CKR_GENERAL_ERROR 1", ATTEST_OK, KEYSTORE_READY},
    {"C_Sign return CKR_FUNCTION_FAILED 1", ATTEST_OK, KEYSTORE_READY},
    /* the token is gone, or seems so */
    {"C_Sign return CKR_DEVICE_REMOVED", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"C_SignInit return CKR_DEVICE_REMOVED", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"C_Sign return CKR_TOKEN_NOT_PRESENT", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"C_Sign return CKR_DEVICE_ERROR", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"C_Sign return CKR_HOST_MEMORY", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"C_Sign return CKR_MECHANISM_INVALID", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"C_Sign return 0x80000123", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"C_Sign return CKR_SESSION_HANDLE_INVALID", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"C_Sign return CKR_GENERAL_ERROR", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"C_Sign return CKR_KEY_HANDLE_INVALID", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"* return CKR_CRYPTOKI_NOT_INITIALIZED", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"* return CKR_GENERAL_ERROR", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"* return CKR_SESSION_HANDLE_INVALID", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"set token absent", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    {"drop objects", ATTEST_E_KEY_OUT_OF_REACH, KEYSTORE_OUT_OF_REACH},
    /* lost, and cannot come back yet */
    {"drop sessions\nC_OpenSession return CKR_SESSION_COUNT", ATTEST_E_KEY_OUT_OF_REACH,
     KEYSTORE_OUT_OF_REACH},
    {"drop login\nC_Login return CKR_DEVICE_ERROR", ATTEST_E_KEY_OUT_OF_REACH,
     KEYSTORE_OUT_OF_REACH},
    {"drop module\nC_Initialize return CKR_HOST_MEMORY", ATTEST_E_KEY_OUT_OF_REACH,
     KEYSTORE_OUT_OF_REACH},
    {"drop sessions\nC_FindObjectsInit return CKR_FUNCTION_FAILED", ATTEST_E_KEY_OUT_OF_REACH,
     KEYSTORE_OUT_OF_REACH},
    {"drop sessions\nC_FindObjects return CKR_DEVICE_MEMORY", ATTEST_E_KEY_OUT_OF_REACH,
     KEYSTORE_OUT_OF_REACH},
    {"drop sessions\nC_GetAttributeValue return CKR_DEVICE_ERROR", ATTEST_E_KEY_OUT_OF_REACH,
     KEYSTORE_OUT_OF_REACH},
    {"drop sessions\nC_GetTokenInfo return CKR_DEVICE_ERROR", ATTEST_E_KEY_OUT_OF_REACH,
     KEYSTORE_OUT_OF_REACH},
};

static void
run_case(const struct fault_case *c)
{
    rules("");
    struct keystore *ks = open_ks((struct options){.workers = 1});
    struct key_ref key = generate(ks);
    assert_int_equal(sign(ks, &key), ATTEST_OK);
    rules(c->rules);
    enum attest_rc rc = sign(ks, &key);
    if (rc != c->rc)
        fail_msg("%s: rc %d, expected %d", c->rules, rc, c->rc);
    enum keystore_state state = stats(ks).state;
    /* A reconnection may succeed before the next failure shows that it did not help. */
    bool flaps = !strncmp(c->rules, "C_Sign", 6);
    if (state != c->state && !(flaps && state == KEYSTORE_READY))
        fail_msg("%s: state %d, expected %d", c->rules, state, c->state);
    if (c->state == KEYSTORE_READY) {
        assert_int_equal(told.n, 0);
    } else {
        WAIT_FOR(told.n > 0); /* what the state is can be seen before it is told */
        assert_int_equal(told.letters[0], 'o');
    }
    bool gone_for_good = !strcmp(c->rules, "drop objects");
    rules("");
    if (!gone_for_good) {
        WAIT_FOR(stats(ks).state == KEYSTORE_READY);
        WAIT_FOR(sign(ks, &key) == ATTEST_OK);
        assert_int_equal(keystore_destroy(ks, &key, NULL), ATTEST_OK);
    }
    keystore_close(ks);
}

static void
test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        run_case(&cases[i]);
}

/* Everything is lost at once; the next try finds the way back by itself. */
static void
test_comes_back(void **state)
{
    (void)state;
    static const char *const lost[] = {"drop sessions", "drop login", "drop module",
                                       "drop module\ndrop sessions"};
    for (size_t i = 0; i < ARRAY_LEN(lost); i++) {
        rules("");
        struct keystore *ks = open_ks((struct options){.workers = 2});
        struct key_ref first = generate(ks), second = generate(ks);
        assert_int_equal(sign(ks, &first), ATTEST_OK);
        assert_int_equal(sign(ks, &second), ATTEST_OK);
        forget_calls();
        /* The handles of the two change places: only id and public key tell them apart. */
        rules(lost[i]);
        WAIT_FOR(sign(ks, &first) == ATTEST_OK);
        assert_int_equal(sign(ks, &second), ATTEST_OK);
        assert_int_equal(calls("C_Login"), 1);
        assert_true(stats(ks).reconnects > 0);
        WAIT_FOR(told.n == 2);
        assert_memory_equal(told.letters, "or", 3);
        assert_int_equal(keystore_destroy(ks, &first, NULL), ATTEST_OK);
        assert_int_equal(keystore_destroy(ks, &second, NULL), ATTEST_OK);
        keystore_close(ks);
    }
}

/* While the key is out of reach requests fail at once, without entering the module. */
static void
test_fails_fast(void **state)
{
    (void)state;
    rules("");
    struct keystore *ks = open_ks((struct options){.workers = 2});
    struct key_ref key = generate(ks);
    assert_int_equal(sign(ks, &key), ATTEST_OK);
    rules("set token absent");
    assert_int_equal(sign(ks, &key), ATTEST_E_KEY_OUT_OF_REACH);
    forget_calls();
    for (int i = 0; i < 100; i++)
        assert_int_equal(sign(ks, &key), ATTEST_E_KEY_OUT_OF_REACH);
    assert_int_equal(calls("C_Sign"), 0);
    struct attest_error err = {0};
    struct key_ref other, *list;
    size_t n;
    assert_int_equal(keystore_generate(ks, some_id(), "token", "x", &other, &err),
                     ATTEST_E_KEY_OUT_OF_REACH);
    assert_non_null(strstr(err.text, "key out of reach"));
    assert_int_equal(keystore_list(ks, &list, &n, &err), ATTEST_E_KEY_OUT_OF_REACH);
    assert_int_equal(keystore_destroy(ks, &key, &err), ATTEST_E_KEY_OUT_OF_REACH);
    rules("");
    WAIT_FOR(stats(ks).state == KEYSTORE_READY);
    assert_int_equal(keystore_destroy(ks, &key, &err), ATTEST_OK);
    keystore_close(ks);
}

/* Closing while a reconnection is due: it must not happen after C_Finalize. */
static void
test_close_while_out_of_reach(void **state)
{
    (void)state;
    rules("");
    struct keystore *ks = open_ks((struct options){0});
    struct key_ref key = generate(ks);
    assert_int_equal(sign(ks, &key), ATTEST_OK);
    rules("set token absent\nC_Finalize sleep 700");
    assert_int_equal(sign(ks, &key), ATTEST_E_KEY_OUT_OF_REACH);
    forget_calls();
    keystore_close(ks);
    rules("");
    keystore_close(open_ks((struct options){0}));
}

/* Without any request: the control thread looks at the token every few seconds. */
static void
test_idle_loss(void **state)
{
    (void)state;
    rules("");
    struct keystore *ks = open_ks((struct options){0});
    rules("set token absent");
    WAIT_FOR(stats(ks).state == KEYSTORE_OUT_OF_REACH);
    rules("");
    WAIT_FOR(stats(ks).state == KEYSTORE_READY);
    WAIT_FOR(told.n == 2);
    assert_string_equal(told.letters, "or");
    keystore_close(ks);
}

static void
test_backoff(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 100; n++) {
        int64_t least = p11_backoff_ms(n, 0), most = 0;
        for (uint32_t r = 0; r < 100000; r += 7) {
            int64_t ms = p11_backoff_ms(n, r);
            assert_true(ms >= least);
            most = ms > most ? ms : most;
        }
        int64_t middle = n < 10 ? P11_RETRY_FIRST_MS << (n - 1) : P11_RETRY_MOST_MS;
        assert_int_equal(least, middle / 2);
        assert_true(most > middle && most <= middle + middle / 2);
    }
}

/* ---- PINs ---- */

static void
test_pin_at_open(void **state)
{
    (void)state;
    static const struct {
        const char *rules, *pin;
        unsigned logins;
    } refused[] = {
        {"", "87654321", 1},
        {"", "", 0},
        {"C_Login return CKR_PIN_LOCKED", NULL, 1},
        {"C_Login return CKR_PIN_EXPIRED", NULL, 1},
        {"C_Login return CKR_PIN_LEN_RANGE", NULL, 1},
        {"C_Login return CKR_USER_PIN_NOT_INITIALIZED", NULL, 1},
        {"set pin_locked yes", NULL, 0},
        {"set pin_final_try yes", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct keystore *ks = NULL;
        struct attest_error err = {0};
        rules(refused[i].rules);
        forget_calls();
        if (open_with((struct options){.pin = refused[i].pin}, &ks, &err) != ATTEST_E_PIN)
            fail_msg("case %zu: %s", i, err.text);
        assert_null(ks);
        assert_int_equal(calls("C_Login"), refused[i].logins);
        assert_null(strstr(err.text, "87654321"));
        assert_int_equal(told.n, 0);
    }
    /* Someone in this process logged in before us: fine. No login needed: none is made. */
    rules("C_Login return CKR_USER_ALREADY_LOGGED_IN");
    keystore_close(open_ks((struct options){0}));
    rules("set login_required no");
    forget_calls();
    struct keystore *ks = open_ks((struct options){0});
    struct key_ref key = generate(ks);
    assert_int_equal(sign(ks, &key), ATTEST_OK);
    assert_int_equal(calls("C_Login"), 0);
    assert_int_equal(keystore_destroy(ks, &key, NULL), ATTEST_OK);
    keystore_close(ks);
}

/* The PIN was changed while the token was away: one try, and never again. */
static void
test_pin_at_return(void **state)
{
    (void)state;
    rules("");
    struct keystore *ks = open_ks((struct options){0});
    struct key_ref key = generate(ks);
    assert_int_equal(sign(ks, &key), ATTEST_OK);
    forget_calls();
    rules("drop sessions\nset pin 00000000");
    assert_int_equal(sign(ks, &key), ATTEST_E_KEY_OUT_OF_REACH);
    WAIT_FOR(stats(ks).state == KEYSTORE_PIN_REFUSED);
    assert_int_equal(calls("C_Login"), 1);
    rules("drop sessions");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(sign(ks, &key), ATTEST_E_KEY_OUT_OF_REACH);
        usleep(20000);
    }
    assert_int_equal(calls("C_Login"), 1);
    assert_int_equal(stats(ks).state, KEYSTORE_PIN_REFUSED);
    WAIT_FOR(told.n == 2);
    assert_string_equal(told.letters, "oP");
    assert_non_null(strstr(told.why, "CKR_PIN_INCORRECT"));
    keystore_close(ks);
}

/* ---- opening ---- */

static void
test_open_refused(void **state)
{
    (void)state;
    static const struct {
        const char *rules;
        enum attest_rc rc;
    } refused[] = {
        {"set token absent", ATTEST_E_KEY_OUT_OF_REACH},
        {"set label another", ATTEST_E_KEY_OUT_OF_REACH},
        {"C_Initialize return CKR_GENERAL_ERROR", ATTEST_E_KEY_OUT_OF_REACH},
        {"C_Initialize return CKR_CRYPTOKI_ALREADY_INITIALIZED", ATTEST_E_CONFIG},
        {"C_GetSlotList return CKR_FUNCTION_FAILED", ATTEST_E_KEY_OUT_OF_REACH},
        {"C_OpenSession return CKR_DEVICE_ERROR", ATTEST_E_KEY_OUT_OF_REACH},
        {"C_Login return CKR_DEVICE_ERROR", ATTEST_E_KEY_OUT_OF_REACH},
        {"set sessions_max 2", ATTEST_E_CONFIG}, /* one for control, two for workers */
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct keystore *ks = NULL;
        struct attest_error err = {0};
        rules(refused[i].rules);
        enum attest_rc rc = open_with((struct options){.workers = 2}, &ks, &err);
        if (rc != refused[i].rc)
            fail_msg("%s: %d %s", refused[i].rules, rc, err.text);
    }
    /* Padded with NUL, as libp11 0.4 leaves it; and write-protected, as some HSMs are. */
    rules("set pad nul");
    keystore_close(open_ks((struct options){0}));
    rules("set write_protected yes");
    keystore_close(open_ks((struct options){0}));
}

/* ---- keys ---- */

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
test_forms(void **state)
{
    (void)state;
    static const char *const params[] = {"oid", "name", "any"};
    static const char *const points[] = {"raw", "octets", "bits"};
    for (int i = 0; i < 3 * 3 * 2 * 2; i++) {
        char text[128];
        snprintf(text, sizeof(text), "set ec_params %s\nset ec_point %s\nset public_objects %s",
                 params[i % 3], points[i / 3 % 3], i / 9 % 2 ? "yes" : "no");
        rules(text);
        struct keystore *ks = open_ks((struct options){.name_first = i / 18 % 2});
        struct key_ref key = generate(ks), *list = NULL;
        size_t n = 0;
        assert_int_equal(sign(ks, &key), ATTEST_OK);
        assert_int_equal(keystore_list(ks, &list, &n, NULL), ATTEST_OK);
        assert_int_equal(n, 1);
        assert_memory_equal(list, &key, sizeof(key));
        free(list);
        assert_int_equal(keystore_destroy(ks, &key, NULL), ATTEST_OK);
        assert_int_equal(count_keys(ks), 0);
        keystore_close(ks);
    }
}

static void
test_weak_keys(void **state)
{
    (void)state;
    static const struct {
        const char *rules, *says;
        enum attest_rc rc;
    } weak[] = {
        {"set extractable yes", "extractable", ATTEST_E_UNSUPPORTED},
        {"set sensitive no", "sensitive", ATTEST_E_UNSUPPORTED},
        {"C_Sign wrong", "verify", ATTEST_E_UNSUPPORTED},
        {"C_GenerateKeyPair return CKR_MECHANISM_INVALID", "MECHANISM", ATTEST_E_UNSUPPORTED},
        {"C_GenerateKeyPair return CKR_DOMAIN_PARAMS_INVALID", "DOMAIN", ATTEST_E_UNSUPPORTED},
        {"C_GetAttributeValue return CKR_ATTRIBUTE_TYPE_INVALID", "sensitive",
         ATTEST_E_UNSUPPORTED},
        {"C_Sign return CKR_DEVICE_MEMORY", "CKR_DEVICE_MEMORY", ATTEST_E_KEY_OUT_OF_REACH},
    };
    for (size_t i = 0; i < ARRAY_LEN(weak); i++) {
        rules("");
        struct keystore *ks = open_ks((struct options){0});
        struct key_ref key;
        struct attest_error err = {0};
        rules(weak[i].rules);
        enum attest_rc rc = keystore_generate(ks, some_id(), "token", "weak", &key, &err);
        if (rc != weak[i].rc || !strstr(err.text, weak[i].says))
            fail_msg("%s: %d %s", weak[i].rules, rc, err.text);
        rules("");
        WAIT_FOR(stats(ks).state == KEYSTORE_READY);
        assert_int_equal(count_keys(ks), 0); /* nothing weak is left behind */
        keystore_close(ks);
    }
}

/* What each call of the lease can meet, and that nothing of ours is left when it fails. */
static void
test_lease_faults(void **state)
{
    static const struct {
        const char *rules;
        enum attest_rc rc;
    } faults[] = {
        {"C_FindObjectsInit return CKR_DEVICE_ERROR 1", ATTEST_E_KEY_OUT_OF_REACH},
        {"C_CreateObject return CKR_DEVICE_MEMORY", ATTEST_E_KEY_OUT_OF_REACH},
        {"C_CreateObject return CKR_TOKEN_WRITE_PROTECTED", ATTEST_E_KEY_OUT_OF_REACH},
        {"C_GetAttributeValue return CKR_GENERAL_ERROR 1", ATTEST_E_KEY_OUT_OF_REACH},
        {"C_CreateObject sleep 400", ATTEST_E_BUSY},
        {"C_CreateObject sleep 400 -2", ATTEST_OK},
    };
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        struct keystore_lease lease = {.instance = "me", .host = "here", .since_s = 1}, got;
        struct attest_error err = {0};
        fresh(state);
        rules("");
        struct keystore *ks = open_ks((struct options){0});
        rules(faults[i].rules);
        enum attest_rc rc = keystore_lease_set(ks, NULL, &lease, &err);
        if (rc != faults[i].rc)
            fail_msg("%s: %d %s", faults[i].rules, rc, err.text);
        rules("");
        WAIT_FOR(stats(ks).state == KEYSTORE_READY);
        bool there = keystore_lease_get(ks, &got, NULL) == ATTEST_OK;
        bool may_stay = strstr(faults[i].rules, "GetAttribute"); /* the token went right after it */
        if (!may_stay)
            assert_int_equal(there, rc == ATTEST_OK);
        keystore_close(ks);
    }
}

/* A key is its id and its public key; either one wrong names no key. */
static void
test_wrong_ref(void **state)
{
    (void)state;
    rules("");
    struct keystore *ks = open_ks((struct options){0});
    struct key_ref first = generate(ks), second = generate(ks), mixed = first;
    mixed.public_key = second.public_key;
    assert_int_equal(sign(ks, &mixed), ATTEST_E_NOT_FOUND);
    assert_int_equal(keystore_destroy(ks, &mixed, NULL), ATTEST_E_NOT_FOUND);
    mixed = first;
    mixed.id[3] ^= 1;
    assert_int_equal(sign(ks, &mixed), ATTEST_E_NOT_FOUND);
    assert_int_equal(stats(ks).state, KEYSTORE_READY);
    assert_int_equal(count_keys(ks), 2);
    assert_int_equal(keystore_destroy(ks, &first, NULL), ATTEST_OK);
    assert_int_equal(sign(ks, &first), ATTEST_E_NOT_FOUND);
    assert_int_equal(sign(ks, &second), ATTEST_OK);
    assert_int_equal(keystore_destroy(ks, &second, NULL), ATTEST_OK);
    keystore_close(ks);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cases, fresh),
        cmocka_unit_test_setup(test_comes_back, fresh),
        cmocka_unit_test_setup(test_fails_fast, fresh),
        cmocka_unit_test_setup(test_close_while_out_of_reach, fresh),
        cmocka_unit_test_setup(test_idle_loss, fresh),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test_setup(test_pin_at_open, fresh),
        cmocka_unit_test_setup(test_pin_at_return, fresh),
        cmocka_unit_test_setup(test_open_refused, fresh),
        cmocka_unit_test_setup(test_forms, fresh),
        cmocka_unit_test_setup(test_weak_keys, fresh),
        cmocka_unit_test_setup(test_lease_faults, fresh),
        cmocka_unit_test_setup(test_wrong_ref, fresh),
    };
    if (start_dir() != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tempdir_remove(dir);
    return failed;
}
