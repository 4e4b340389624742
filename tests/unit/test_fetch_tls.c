/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#ifdef WITH_CURL
#include <curl/curl.h>
#endif

#include "support/certificate.h"
#include "support/resolving.h"
#include "support/tempdir.h"
#include "support/tls_server.h"

/* Whom a verifier believes to be the server of an issuer whose root is not pinned. */

#define HERE "IP:127.0.0.1"

static struct certificate own = {.name = "own", .from_h = -48, .until_h = 48},
                          other = {.name = "other", .from_h = -48, .until_h = 48},
                          right = {"right", HERE, &own, -24, 24, NULL, NULL},
                          elsewhere = {"elsewhere", "IP:127.0.0.2,DNS:localhost",
                                       &own,        -24,
                                       24,          NULL,
                                       NULL},
                          expired = {"expired", HERE, &own, -24, -1, NULL, NULL},
                          early = {"early", HERE, &own, 1, 24, NULL, NULL},
                          by_other = {"by_other", HERE, &other, -24, 24, NULL, NULL},
                          self_made = {"self_made", HERE, NULL, -24, 24, NULL, NULL};
static struct certificate *const all[] = {&own,     &other, &right,    &elsewhere,
                                          &expired, &early, &by_other, &self_made};

static char dir[TEMPDIR_SIZE];
static bool own_mounts; /* what is mounted here nobody else sees */

static void
path_of(char path[TEMPDIR_SIZE + 32], const char *name)
{
    snprintf(path, TEMPDIR_SIZE + 32, "%s/%s", dir, name);
}

/* A verifier of the server's keys that believes this file, or the system; one failure is enough. */
static struct attest_verifier *
believing(const struct tls_server *server, const char *ca_file)
{
    char path[TEMPDIR_SIZE + 32];
    AUTO(attest_fetch) struct attest_fetch *fetch = easily_discouraged();
    snprintf(stub.origin, sizeof(stub.origin), "https://127.0.0.1:%u", server->port);
    path_of(path, ca_file ? ca_file : "");
    assert_int_equal(attest_fetch_set_ca_file(fetch, ca_file ? path : NULL, NULL), ATTEST_OK);
    return verifier_of(stub.origin, NULL, fetch);
}

/* Steps until its keys came, or did not; which of the two, and why not. */
static bool
fetched(struct attest_verifier *v, char text[160])
{
    *text = '\0';
    for (int i = 0; i < 6000 && !*text; i++) {
        struct pollfd fd = {.fd = attest_verifier_fd(v), .events = POLLIN};
        if (check(v, 0) == ATTEST_OK)
            return true;
        poll(&fd, 1, 10);
        assert_int_equal(attest_verifier_step(v), ATTEST_OK);
    }
    assert_int_equal(check(v, 0), ATTEST_E_KEY_FETCH);
    return false;
}

/* Whether the keys behind this certificate are believed; a refusal is the certificate's. */
static bool
believes(const struct certificate *shown, const char *ca_file)
{
    char text[160];
    struct tls_server server;
    assert_true(tls_server_start(&server, dir, shown->name));
    AUTO(attest_verifier) struct attest_verifier *v = believing(&server, ca_file);
    assert_int_equal(attest_verifier_on_event(v, keep_text, text, NULL), ATTEST_OK);
    bool there = fetched(v, text);
    tls_server_stop(&server);
    if (!there && !strstr(text, "certificate"))
        fail_msg("%s, %s: %s", shown->name, ca_file, text);
    return there;
}

static void
keys_come_from_whom_the_certificate_names(void **state)
{
    (void)state;
    assert_true(believes(&right, "own.pem"));
    assert_true(believes(&by_other, "other.pem"));
    assert_true(believes(&self_made, "self_made.pem"));
}

static void
and_from_nobody_else(void **state)
{
    (void)state;
    static const struct {
        const struct certificate *shown;
        const char *ca_file; /* NULL: the system's, which know none of these */
    } cases[] = {
        {&right, NULL},          {&right, "other.pem"},     {&by_other, "own.pem"},
        {&elsewhere, "own.pem"}, {&expired, "own.pem"},     {&early, "own.pem"},
        {&self_made, "own.pem"}, {&self_made, NULL},        {&right, "right.key"},
        {&right, "nowhere"},     {&right, "self_made.pem"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (believes(cases[i].shown, cases[i].ca_file))
            fail_msg("%s is believed by %s", cases[i].shown->name, cases[i].ca_file);
    }
}

static const char *
system_path(void)
{
#ifdef WITH_CURL
    return curl_version_info(CURLVERSION_NOW)->capath;
#else
    return NULL;
#endif
}

static void
copy(const char *from, const char *to)
{
    char command[3 * TEMPDIR_SIZE];
    snprintf(command, sizeof(command), "cp %s/%s %s/%s", dir, from, dir, to);
    assert_int_equal(system(command), 0);
}

/* The system believes `own`, both as a file among many and as the file of all. */
static void
a_file_takes_the_place_of_the_system(void **state)
{
    (void)state;
    char path[TEMPDIR_SIZE + 32], hashed[32];
    const char *place = system_path();
    if (!own_mounts || !place)
        skip();
    path_of(path, "system");
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(hashed, sizeof(hashed), "system/%08lx.0", X509_subject_name_hash(own.x509));
    copy("own.pem", hashed);
    copy("own.pem", "system/ca-certificates.crt");
    assert_int_equal(mount(path, place, "none", MS_BIND, NULL), 0);
    bool by_system = believes(&right, NULL), beside_file = believes(&right, "other.pem");
    assert_int_equal(umount2(place, MNT_DETACH), 0);
    assert_true(by_system);
    assert_false(beside_file);
}

/* One that was taken out of the file is not believed at the next fetch. */
static void
a_file_is_read_each_time(void **state)
{
    (void)state;
    char text[160];
    struct tls_server server;
    copy("own.pem", "changing.pem");
    assert_true(tls_server_start(&server, dir, right.name));
    AUTO(attest_verifier) struct attest_verifier *v = believing(&server, "changing.pem");
    assert_int_equal(attest_verifier_on_event(v, keep_text, text, NULL), ATTEST_OK);
    assert_true(fetched(v, text));
    copy("other.pem", "changing.pem");
    assert_int_equal(attest_verifier_clear(v, stub.origin, NULL), ATTEST_OK);
    bool again = fetched(v, text);
    tls_server_stop(&server);
    assert_false(again);
    assert_non_null(strstr(text, "certificate"));
}

static int
make_all(void **state)
{
    (void)state;
    char path[TEMPDIR_SIZE + 32];
    bool good = tempdir_make(dir) == 0;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        good = good && certificate_make(all[i], dir);
    path_of(path, ".well-known");
    good = good && mkdir(path, 0755) == 0;
    path_of(path, ".well-known/jwks.json");
    FILE *out = good ? fopen(path, "w") : NULL;
    good = out && fputs(set_of(0), out) >= 0;
    return out && fclose(out) == 0 && good ? 0 : -1;
}

static int
remove_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        certificate_done(all[i]);
    tempdir_remove(dir);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_from_whom_the_certificate_names),
        cmocka_unit_test(and_from_nobody_else),
        cmocka_unit_test(a_file_takes_the_place_of_the_system),
        cmocka_unit_test(a_file_is_read_each_time),
    };
    need_program("openssl", "openssl");
    own_mounts = (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
                 mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
    RUN_RESOLVING(tests, make_all, remove_all);
}
