/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/config.h"
#include "base/file.h"

static const char *const colours[] = {"red", "green", "dark blue", NULL};

struct settings {
    char *issuer;
    int64_t threads;
    bool development;
    struct config_list listen;
    struct config_list names;
    int colour;
    char *certificate;
    char *key;
    int64_t optional;
    char *deep;
    char *empty;
};

#define AT(m) offsetof(struct settings, m)
static const struct config_key keys[] = {
    {"issuer", CONFIG_STRING, AT(issuer), .required = true},
    {"threads", CONFIG_INT, AT(threads), .fallback = "2", .min = 1, .max = 64},
    {"tls.certificate", CONFIG_STRING, AT(certificate)},
    {"development", CONFIG_BOOL, AT(development)},
    {"listen", CONFIG_LIST, AT(listen), .fallback = "[\"127.0.0.1:8080\", '[::1]:8080']"},
    {"names", CONFIG_MAP, AT(names)},
    {"colour", CONFIG_ENUM, AT(colour), .fallback = "green", .choices = colours},
    {"tls.key", CONFIG_STRING, AT(key), .fallback = "/etc/key.pem"},
    {"optional", CONFIG_INT, AT(optional), .min = 5, .max = INT64_MAX},
    {"tls.more.deep", CONFIG_STRING, AT(deep)},
    {"empty", CONFIG_STRING, AT(empty), .fallback = ""},
};
static const struct config_schema schema = {"test", "TESTD_", keys, ARRAY_LEN(keys), false};

static void
settings_auto(struct settings *s)
{
    config_done(&schema, s);
}

static enum attest_rc
parse(struct settings *s, const char *text, const char *const *environ_list,
      struct attest_error *err)
{
    return config_parse(&schema, slice_cstr(text), environ_list, s, err);
}

static void
test_fallbacks(void **state)
{
    (void)state;
    AUTO(settings) struct settings s = {0};
    assert_int_equal(parse(&s, "issuer: https://a.example\n", NULL, NULL), ATTEST_OK);
    assert_string_equal(s.issuer, "https://a.example");
    assert_int_equal(s.threads, 2);
    assert_false(s.development);
    assert_int_equal(s.listen.n, 2);
    assert_string_equal(s.listen.items[1], "[::1]:8080");
    assert_int_equal(s.names.n, 0);
    assert_int_equal(s.colour, 1);
    assert_null(s.certificate);
    assert_string_equal(s.key, "/etc/key.pem");
    assert_int_equal(s.optional, 0);
    assert_string_equal(s.empty, "");
}

static void
test_reads_all_types(void **state)
{
    (void)state;
    AUTO(settings) struct settings s = {0};
    static const char text[] = "# a comment\n"
                               "issuer: \"https://b.example\"\n"
                               "threads: 64\n"
                               "development: true\n"
                               "listen:\n  - unix:/run/x\n  - '*:80'\n"
                               "names:\n  model.v1: v1\n  \"a b\": 'c'\n"
                               "colour: dark blue\n"
                               "tls:\n  key: ~\n  certificate: /c.pem\n  more: {deep: x}\n"
                               "optional: 9223372036854775807\n";
    assert_int_equal(parse(&s, text, NULL, NULL), ATTEST_OK);
    assert_int_equal(s.threads, 64);
    assert_true(s.development);
    assert_int_equal(s.listen.n, 2);
    assert_string_equal(s.listen.items[0], "unix:/run/x");
    assert_int_equal(s.names.n, 4);
    assert_string_equal(s.names.items[0], "model.v1");
    assert_string_equal(s.names.items[3], "c");
    assert_int_equal(s.colour, 2);
    assert_string_equal(s.certificate, "/c.pem");
    assert_string_equal(s.key, "/etc/key.pem");
    assert_string_equal(s.deep, "x");
    assert_true(s.optional == INT64_MAX);
}

/* What is refused, and that the error names the line and says what to do. */
static void
test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "issuer is required: add it to the file or set TESTD_ISSUER"},
        {"# nothing\n", "issuer is required: add it to the file or set TESTD_ISSUER"},
        {"issuer: null\n", "issuer is required: add it to the file or set TESTD_ISSUER"},
        {"issuer: \"\"\n", "line 1: issuer must not be empty"},
        {"\n\nisuer: x\n", "line 3: unknown key 'isuer'; did you mean 'issuer'?"},
        {"zebra: x\n", "line 1: unknown key 'zebra'"},
        {"certificate: x\n", "line 1: unknown key 'certificate'; did you mean 'tls.certificate'?"},
        {"tls:\n  certifcate: x\n",
         "line 2: unknown key 'tls.certifcate'; did you mean 'tls.certificate'?"},
        {"tls.key: x\n", "line 1: write 'tls.key' as nested mappings, one a dot"},
        {"issuer: a\nissuer: b\n", "line 2: key 'issuer' is there twice"},
        {"issuer: null\nissuer: b\n", "line 2: key 'issuer' is there twice"},
        {"tls: {key: a}\nissuer: x\ntls: {certificate: b}\n", "line 3: key 'tls' is there twice"},
        {"tls: {key: a, key: b}\n", "line 1: key 'tls.key' is there twice"},
        {"tls: {more: {deep: a}, more: {deep: b}}\n", "line 1: key 'tls.more' is there twice"},
        {"names: {a: b, a: c}\n", "line 1: names has 'a' twice"},
        {"issuer: &x y\n",
         "line 1: anchors (&name) and tags (!name) are not used here; quote the text"},
        {"issuer: !!str y\n",
         "line 1: anchors (&name) and tags (!name) are not used here; quote the text"},
        {"tls: &t {key: a}\n",
         "line 1: anchors (&name) and tags (!name) are not used here; quote the text"},
        {"issuer: *x\n",
         "line 1: aliases (*name) are not used here; a text that starts with '*' needs quotes"},
        {"%YAML 1.1\n---\nissuer: x\n", "line 1: directives (%YAML, %TAG) are not used here"},
        {"issuer: x\n---\nissuer: y\n", "line 2: a second document; one file is one document"},
        {"issuer: x\n--- \n", "line 2: a second document; one file is one document"},
        {"- issuer\n", "line 1: the file must hold 'key: value' lines"},
        {"issuer\n", "line 1: the file must hold 'key: value' lines"},
        {"issuer:\nthreads: 2\n", "line 1: issuer has no value"},
        {"issuer: [a]\n", "line 1: issuer must be a text"},
        {"issuer: {a: b}\n", "line 1: issuer must be a text"},
        {"tls: yes\n", "line 1: tls must be a mapping, such as tls: {certificate: ...}"},
        {"[a]: b\n", "line 1: a key must be a word"},
        {"threads: 0\n", "line 1: threads is 0; it must be between 1 and 64"},
        {"threads: 65\n", "line 1: threads is 65; it must be between 1 and 64"},
        {"threads: 02\n", "line 1: threads must be a whole number, not '02'"},
        {"threads: 2s\n", "line 1: threads must be a whole number, not '2s'"},
        {"threads: 0x10\n", "line 1: threads must be a whole number, not '0x10'"},
        {"threads: +2\n", "line 1: threads must be a whole number, not '+2'"},
        {"threads: -\n", NULL},
        {"threads: 1.5\n", "line 1: threads must be a whole number, not '1.5'"},
        {"threads: 99999999999999999999\n",
         "line 1: threads must be a whole number, not '99999999999999999999'"},
        {"threads: \"2\"\n", "line 1: threads takes no quotes"},
        {"development: yes\n", "line 1: development must be true or false, not 'yes'"},
        {"development: True\n", "line 1: development must be true or false, not 'True'"},
        {"colour: blue\n", "line 1: colour must be one of red, green, dark blue, not 'blue'"},
        {"listen: a:1\n", "line 1: listen must be a list: [one, two]"},
        {"listen: {a: b}\n", "line 1: listen must be a list: [one, two]"},
        {"listen: [[a]]\n", "line 1: listen holds texts only"},
        {"listen: ['']\n", "line 1: listen has an empty item"},
        {"listen:\n- a\n- ~\n", "line 3: listen has an empty item"},
        {"listen:\n- a\n- b\n- a\n", "line 4: listen has 'a' twice"},
        {"colour: [red]\n", "line 1: colour must be one of red, green, dark blue"},
        {"issuer: x\n\n\ntls: \"a\x01\"\n", "line 4: control characters are not allowed"},
        {"issuer: x\r\n\r\nthreads: \xff\n", "line 3: invalid leading UTF-8 octet"},
        {"issuer: x\r\rthreads: \xc3\x28\n", "line 3: invalid trailing UTF-8 octet"},
        {"\xef\xbb\xbfissuer: x\nthreads: \x7f\n", "line 2: control characters are not allowed"},
        {"issuer: x\n\xef\xbb\xbfthreads: 2\n", NULL},
        {"names: [a]\n", "line 1: names must be a mapping: {name: value}"},
        {"names: a\n", "line 1: names must be a mapping: {name: value}"},
        {"names: {a: {b: c}}\n", "line 1: names holds texts only"},
        {"issuer: \"a\\0b\"\n", "line 1: issuer holds a control character or is not UTF-8"},
        {"issuer: \"a\\nb\"\n", "line 1: issuer holds a control character or is not UTF-8"},
        {"issuer: \"a\\Lb\"\n", "line 1: issuer holds a control character or is not UTF-8"},
        {"iss\xff: x\n", NULL},
        {"issuer: 'x\n", NULL},
        {"issuer: x\n  threads: 2\n", NULL},
        {"\tissuer: x\n", NULL},
        {"issuer: x\n}\n", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct settings s = {0};
        static const struct settings zero = {0};
        struct attest_error err = {0};
        if (parse(&s, cases[i].text, NULL, &err) != ATTEST_E_CONFIG)
            fail_msg("accepted: %s", cases[i].text);
        if (cases[i].error)
            assert_string_equal(err.text, cases[i].error);
        else
            assert_memory_equal(err.text, "line ", 5);
        assert_int_equal(err.rc, ATTEST_E_CONFIG);
        assert_memory_equal(&s, &zero, sizeof(s));
    }
}

static void
test_environment_wins(void **state)
{
    (void)state;
    AUTO(settings) struct settings s = {0};
    static const char *const env[] = {"PATH=/bin",
                                      "TESTD_THREADS=7",
                                      "TESTD_TLS_MORE_DEEP=d=e",
                                      "TESTD_LISTEN=a:1, b:2",
                                      "TESTD_NAMES=x=1,y.z = 2",
                                      "TESTD_COLOUR=dark blue",
                                      "TESTD_DEVELOPMENT=true",
                                      "TESTD_ISSUER=*https://env",
                                      NULL};
    assert_int_equal(parse(&s, "threads: 3\nnames: {old: one}\nlisten: [o]\n", env, NULL),
                     ATTEST_OK);
    assert_string_equal(s.issuer, "*https://env");
    assert_int_equal(s.threads, 7);
    assert_string_equal(s.deep, "d=e");
    assert_int_equal(s.listen.n, 2);
    assert_string_equal(s.listen.items[1], "b:2");
    assert_int_equal(s.names.n, 4);
    assert_string_equal(s.names.items[2], "y.z");
    assert_string_equal(s.names.items[3], "2");
    assert_int_equal(s.colour, 2);
    assert_true(s.development);

    static const char *const emptied[] = {"TESTD_LISTEN=", "TESTD_TLS_KEY=", NULL};
    AUTO(settings) struct settings t = {0};
    assert_int_equal(parse(&t, "issuer: x\n", emptied, NULL), ATTEST_OK);
    assert_int_equal(t.listen.n, 0);
    assert_string_equal(t.key, "");
}

static void
test_environment_refused(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *error;
    } cases[] = {
        {"TESTD_ISUER=x", "environment: TESTD_ISUER names no key; did you mean TESTD_ISSUER?"},
        {"TESTD_TLS_CERT=x", "environment: TESTD_TLS_CERT names no key"},
        {"TESTD_=x", "environment: TESTD_ names no key"},
        {"TESTD_THREADS=many", "TESTD_THREADS: threads must be a whole number, not 'many'"},
        {"TESTD_THREADS=", "TESTD_THREADS: threads must be a whole number, not ''"},
        {"TESTD_NAMES=a", "TESTD_NAMES: names takes name=value,name=value"},
        {"TESTD_LISTEN=a,,b", "TESTD_LISTEN: listen has an empty item"},
        {"TESTD_ISSUER=", "TESTD_ISSUER: issuer must not be empty"},
        {"TESTD_ISSUER=\xc3", "TESTD_ISSUER: issuer holds a control character or is not UTF-8"},
        {"TESTD_ISSUER=a\nb", "TESTD_ISSUER: issuer holds a control character or is not UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *env[] = {cases[i].variable, NULL};
        AUTO(settings) struct settings s = {0};
        struct attest_error err = {0};
        assert_int_equal(parse(&s, "issuer: x\n", env, &err), ATTEST_E_CONFIG);
        assert_string_equal(err.text, cases[i].error);
    }
    static const char *const twice[] = {"TESTD_ISSUER=a", "TESTD_ISSUER=b", NULL};
    AUTO(settings) struct settings s = {0};
    assert_int_equal(parse(&s, "", twice, NULL), ATTEST_E_CONFIG);
}

static void
test_dump_round_trip(void **state)
{
    (void)state;
    static const char text[] =
        "issuer: \"q\\\"uo\\\\te # : é \xf0\x9f\x98\x80\"\n"
        "names: {\"a: b\": \"{c, d}\", 'it''s': \"true\"}\nlisten: [\"- x\", 'null', '~']\n"
        "tls: {certificate: 'no'}\ncolour: dark blue\nthreads: 12\n";
    AUTO(settings) struct settings s = {0};
    AUTO(buf) struct buf first, second, json;
    buf_init(&first, 65536);
    buf_init(&second, 65536);
    buf_init(&json, 65536);
    assert_int_equal(parse(&s, text, NULL, NULL), ATTEST_OK);
    assert_int_equal(config_dump(&schema, &s, false, &first), ATTEST_OK);
    assert_int_equal(config_dump(&schema, &s, true, &json), ATTEST_OK);

    /* JSON's flow form is YAML too: both must give the same settings again. */
    const struct buf *dumps[] = {&first, &json};
    for (size_t i = 0; i < ARRAY_LEN(dumps); i++) {
        AUTO(settings) struct settings again = {0};
        struct attest_error err = {0};
        if (config_parse(&schema, buf_view(dumps[i]), NULL, &again, &err))
            fail_msg("%s\n%.*s", err.text, SLICE_ARG(buf_view(dumps[i])));
        buf_reset(&second);
        assert_int_equal(config_dump(&schema, &again, false, &second), ATTEST_OK);
        assert_true(slice_eq(buf_view(&first), buf_view(&second)));
        assert_string_equal(again.issuer, s.issuer);
        assert_string_equal(again.names.items[0], "a: b");
        assert_string_equal(again.listen.items[1], "null");
    }
    assert_true(buf_terminate(&first));
    assert_non_null(strstr(first.p, "tls:\n  certificate: \"no\"\n  key: \"/etc/key.pem\"\n"
                                    "  more:\n    deep: null\n"));
}

static void
test_limits(void **state)
{
    (void)state;
    AUTO(buf) struct buf text;
    AUTO(settings) struct settings s = {0};
    buf_init(&text, 4 * 1024 * 1024);
    buf_str(&text, "issuer: x\nlisten: [");
    for (int i = 0; i < 1025; i++)
        buf_str(&text, i ? ",a" : "a");
    buf_str(&text, "]\n");
    assert_int_equal(config_parse(&schema, buf_view(&text), NULL, &s, NULL), ATTEST_E_CONFIG);

    buf_reset(&text);
    buf_str(&text, "issuer: ");
    for (int i = 0; i < 4097; i++)
        buf_char(&text, 'x');
    assert_int_equal(config_parse(&schema, buf_view(&text), NULL, &s, NULL), ATTEST_E_CONFIG);

    buf_reset(&text);
    for (int i = 0; i < 1024 * 1024 / 8 + 1; i++)
        buf_str(&text, "#######\n");
    assert_int_equal(config_parse(&schema, buf_view(&text), NULL, &s, NULL), ATTEST_E_CONFIG);

    /* Nesting is refused where it starts, however deep it goes. */
    buf_reset(&text);
    for (int i = 0; i < 100000; i++)
        buf_char(&text, '[');
    assert_int_equal(config_parse(&schema, buf_view(&text), NULL, &s, NULL), ATTEST_E_CONFIG);
}

static void
test_load(void **state)
{
    (void)state;
    char path[] = "/tmp/test_config.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    AUTO(settings) struct settings s = {0};
    struct attest_error err = {0};
    char expected[128];
    assert_int_equal(file_replace(path, 0600, slice_cstr("issuer: x\nthreads: none\n"), NULL),
                     ATTEST_OK);
    assert_int_equal(config_load(&schema, path, NULL, &s, &err), ATTEST_E_CONFIG);
    snprintf(expected, sizeof(expected), "%s: line 2: threads must be a whole number, not 'none'",
             path);
    assert_string_equal(err.text, expected);
    assert_int_equal(file_replace(path, 0600, slice_cstr("issuer: x\n"), NULL), ATTEST_OK);
    assert_int_equal(config_load(&schema, path, NULL, &s, &err), ATTEST_OK);
    assert_string_equal(s.issuer, "x");
    unlink(path);
    assert_int_equal(config_load(&schema, path, NULL, &s, &err), ATTEST_E_NOT_FOUND);

    static const char *const env[] = {"TESTD_ISSUER=from the environment", NULL};
    AUTO(settings) struct settings t = {0};
    assert_int_equal(config_load(&schema, NULL, env, &t, &err), ATTEST_OK);
    assert_string_equal(t.issuer, "from the environment");
}

struct door {
    char *name;
    int64_t width;
    struct config_list keys;
};

struct house {
    struct config_rows doors;
    char *street;
};

#define ROW(m) offsetof(struct door, m)
static const struct config_key door_keys[] = {
    {"name", CONFIG_STRING, ROW(name), .required = true},
    {"width", CONFIG_INT, ROW(width), .fallback = "80", .min = 1, .max = 300},
    {"keys", CONFIG_LIST, ROW(keys)},
};
static const struct config_schema door_schema = {"door", NULL, door_keys, ARRAY_LEN(door_keys),
                                                 false};
static const struct config_key house_keys[] = {
    {"doors", CONFIG_ROWS, offsetof(struct house, doors), .row = &door_schema,
     .row_size = sizeof(struct door)},
    {"street", CONFIG_STRING, offsetof(struct house, street)},
};
static const struct config_schema house_schema = {"house", NULL, house_keys, ARRAY_LEN(house_keys),
                                                  false};

static void
house_auto(struct house *house)
{
    config_done(&house_schema, house);
}

/* A list of mappings: each with fall-backs of its own, and what follows belongs to the file again.
 */
static void
test_rows(void **state)
{
    (void)state;
    static const char text[] = "doors:\n- name: front\n  keys: [a, b]\n"
                               "- {width: 120, name: back}\nstreet: High\n";
    AUTO(house) struct house h = {0};
    AUTO(house) struct house again = {0};
    AUTO(buf) struct buf yaml;
    AUTO(buf) struct buf json;
    assert_int_equal(config_parse(&house_schema, slice_cstr(text), NULL, &h, NULL), ATTEST_OK);
    assert_int_equal(h.doors.n, 2);
    const struct door *front = h.doors.items[0], *back = h.doors.items[1];
    assert_string_equal(front->name, "front");
    assert_int_equal(front->width, 80);
    assert_int_equal(front->keys.n, 2);
    assert_string_equal(back->name, "back");
    assert_int_equal(back->width, 120);
    assert_int_equal(back->keys.n, 0);
    assert_string_equal(h.street, "High");
    buf_init(&yaml, 4096);
    buf_init(&json, 4096);
    assert_int_equal(config_dump(&house_schema, &h, false, &yaml), ATTEST_OK);
    assert_int_equal(config_parse(&house_schema, buf_view(&yaml), NULL, &again, NULL), ATTEST_OK);
    assert_int_equal(again.doors.n, 2);
    assert_string_equal(((struct door *)again.doors.items[0])->keys.items[1], "b");
    buf_reset(&yaml);
    assert_int_equal(config_dump(&house_schema, &h, true, &yaml), ATTEST_OK);
    assert_int_equal(config_dump(&house_schema, &again, true, &json), ATTEST_OK);
    assert_true(slice_eq(buf_view(&yaml), buf_view(&json)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fallbacks),
        cmocka_unit_test(test_reads_all_types),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_environment_wins),
        cmocka_unit_test(test_environment_refused),
        cmocka_unit_test(test_dump_round_trip),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
