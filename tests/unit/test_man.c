/* SPDX-License-Identifier: MIT */
/*
 * The man pages against the tables: every configuration key of either daemon has an item in its
 * page that tells the fall-back, every item is a key, and every command of attestctl has an
 * item in attestctl.1.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin/command.h"
#include "admin/daemons.h"
#include "base/file.h"

static char *
read_page(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/../docs/man/%s", TESTS_DIR, name);
    struct buf text;
    struct attest_error err;
    buf_init(&text, 1 << 20);
    if (file_read(path, 1 << 20, &text, &err))
        fail_msg("%s", err.text);
    assert_true(buf_terminate(&text));
    return text.p; /* freed as a plain allocation */
}

/* The text of the item that starts with this macro line, up to the next item; "" for none. */
static char *
item(const char *page, const char *start)
{
    char head[128];
    snprintf(head, sizeof(head), "\n.It Ic %s", start);
    for (const char *at = strstr(page, head); at; at = strstr(at + 1, head)) {
        char behind = at[strlen(head)];
        if (behind != ' ' && behind != '\n')
            continue;
        const char *end = strstr(at + 1, "\n.It ");
        const char *list_end = strstr(at + 1, "\n.El");
        if (!end || (list_end && list_end < end))
            end = list_end;
        return end ? strndup(at, (size_t)(end - at)) : strdup(at);
    }
    return NULL;
}

/* A list's fall-back is written as YAML; the page shows its one value. */
static const char *
plain(const char *fallback, char *room, size_t room_size)
{
    size_t n = 0;
    for (const char *p = fallback; *p && n < room_size - 1; p++) {
        if (!strchr("[]\"", *p))
            room[n++] = *p;
    }
    room[n] = '\0';
    return room;
}

static void
page_tells_every_key(void **state)
{
    const struct daemon *d = *state;
    char name[64], room[128];
    snprintf(name, sizeof(name), "%s.yaml.5", d->name);
    char *page = read_page(name);
    for (size_t i = 0; i < d->schema->n_keys; i++) {
        const struct config_key *key = &d->schema->keys[i];
        char *text = item(page, key->name);
        if (!text)
            fail_msg("%s does not tell of %s", name, key->name);
        if (key->fallback && !strstr(text, plain(key->fallback, room, sizeof(room))))
            fail_msg("%s does not say that %s is %s by default", name, key->name, key->fallback);
        for (size_t c = 0; key->choices && key->choices[c]; c++)
            if (!strstr(text, key->choices[c]))
                fail_msg("%s does not say that %s may be %s", name, key->name, key->choices[c]);
        free(text);
    }
    free(page);
}

static void
page_tells_nothing_else(void **state)
{
    const struct daemon *d = *state;
    char name[64];
    snprintf(name, sizeof(name), "%s.yaml.5", d->name);
    char *page = read_page(name);
    size_t n = 0;
    for (const char *at = strstr(page, "\n.It Ic "); at; at = strstr(at + 1, "\n.It Ic "))
        n++;
    assert_int_equal(n, d->schema->n_keys);
    free(page);
}

/* ".It Cm key list", or, for long ones, ".It Xo" and ".Cm hsm init" on the next line. */
static const char *
find_command(const char *page, const struct command *c)
{
    static const char *const starts[] = {"\n.It Cm ", "\n.It Xo\n.Cm "};
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        char head[128];
        snprintf(head, sizeof(head), "%s%s%s%s", starts[i], c->group, c->name ? " " : "",
                 c->name ? c->name : "");
        for (const char *at = strstr(page, head); at; at = strstr(at + 1, head)) {
            if (at[strlen(head)] == ' ' || at[strlen(head)] == '\n')
                return at;
        }
    }
    return NULL;
}

static void
page_tells_every_command(void **state)
{
    (void)state;
    char *page = read_page("attestctl.1");
    for (size_t i = 0; i < n_commands; i++) {
        const struct command *c = &commands[i];
        if (!find_command(page, c))
            fail_msg("attestctl.1 does not tell of %s %s", c->group, c->name ? c->name : "");
    }
    free(page);
}

int
main(void)
{
    struct CMUnitTest tests[5] = {cmocka_unit_test(page_tells_every_command)};
    size_t n = 1;
    for (size_t i = 0; i < n_daemons && n + 2 <= ARRAY_LEN(tests); i++) {
        void *d = (void *)&daemons[i];
        tests[n++] = (struct CMUnitTest)cmocka_unit_test_prestate(page_tells_every_key, d);
        tests[n++] = (struct CMUnitTest)cmocka_unit_test_prestate(page_tells_nothing_else, d);
    }
    return _cmocka_run_group_tests("man", tests, n, NULL, NULL);
}
