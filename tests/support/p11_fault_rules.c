/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/p11_fault.h"

#define RULES_MAX 64
#define TEXT_MAX 8192
#define HANG_LOOK_MS 5

enum action { RETURN, SLEEP, TAKE, HANG, WRONG, SHORT };

struct rule {
    bool any;
    enum fault_call call;
    enum action action;
    CK_RV rv;
    int64_t sleep_ns;
    unsigned long from, to; /* of the count of this call */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule rules[RULES_MAX];
static unsigned n_rules;
static unsigned long counts[FAULT_CALLS_N];
static unsigned long version; /* of the rules */
static struct fault_settings settings;
static struct fault_drops drops;
static const char *control_path;
static struct stat control_seen;
static int log_fd = -1;

static const char *const call_names[] = {
#define NAME(name) #name,
    FAULT_CALLS(NAME)
#undef NAME
};

static const struct {
    const char *name;
    CK_RV rv;
} results[] = {
#define ROW(name)                                                                                  \
    {                                                                                              \
#name, name                                                                                \
    }
    ROW(CKR_HOST_MEMORY),
    ROW(CKR_SLOT_ID_INVALID),
    ROW(CKR_GENERAL_ERROR),
    ROW(CKR_FUNCTION_FAILED),
    ROW(CKR_ARGUMENTS_BAD),
    ROW(CKR_ATTRIBUTE_TYPE_INVALID),
    ROW(CKR_ATTRIBUTE_VALUE_INVALID),
    ROW(CKR_DATA_INVALID),
    ROW(CKR_DATA_LEN_RANGE),
    ROW(CKR_DEVICE_ERROR),
    ROW(CKR_DEVICE_MEMORY),
    ROW(CKR_DEVICE_REMOVED),
    ROW(CKR_FUNCTION_CANCELED),
    ROW(CKR_FUNCTION_NOT_SUPPORTED),
    ROW(CKR_KEY_HANDLE_INVALID),
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED),
    ROW(CKR_MECHANISM_INVALID),
    ROW(CKR_MECHANISM_PARAM_INVALID),
    ROW(CKR_OBJECT_HANDLE_INVALID),
    ROW(CKR_OPERATION_ACTIVE),
    ROW(CKR_OPERATION_NOT_INITIALIZED),
    ROW(CKR_PIN_INCORRECT),
    ROW(CKR_PIN_INVALID),
    ROW(CKR_PIN_LEN_RANGE),
    ROW(CKR_PIN_EXPIRED),
    ROW(CKR_PIN_LOCKED),
    ROW(CKR_SESSION_CLOSED),
    ROW(CKR_SESSION_COUNT),
    ROW(CKR_SESSION_HANDLE_INVALID),
    ROW(CKR_SESSION_READ_ONLY),
    ROW(CKR_TEMPLATE_INCONSISTENT),
    ROW(CKR_TOKEN_NOT_PRESENT),
    ROW(CKR_TOKEN_NOT_RECOGNIZED),
    ROW(CKR_TOKEN_WRITE_PROTECTED),
    ROW(CKR_USER_ALREADY_LOGGED_IN),
    ROW(CKR_USER_NOT_LOGGED_IN),
    ROW(CKR_USER_PIN_NOT_INITIALIZED),
    ROW(CKR_USER_TYPE_INVALID),
    ROW(CKR_USER_ANOTHER_ALREADY_LOGGED_IN),
    ROW(CKR_DOMAIN_PARAMS_INVALID),
    ROW(CKR_BUFFER_TOO_SMALL),
    ROW(CKR_CRYPTOKI_NOT_INITIALIZED),
    ROW(CKR_CRYPTOKI_ALREADY_INITIALIZED),
    ROW(CKR_VENDOR_DEFINED),
#undef ROW
};

/* A test that says something unknown must not pass by accident. */
static void
refuse(const char *line)
{
    fprintf(stderr, "p11_fault: cannot read the rule: %s\n", line);
    abort();
}

static CK_RV
result_of(const char *text, const char *line)
{
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        if (!strcmp(results[i].name, text))
            return results[i].rv;
    }
    char *end;
    unsigned long rv = strtoul(text, &end, 0);
    if (*end || end == text || rv == 0)
        refuse(line);
    return rv;
}

static void
read_when(struct rule *rule, const char *when, const char *line)
{
    rule->from = 1;
    rule->to = (unsigned long)-1;
    if (!*when)
        return;
    char *end;
    unsigned long n = strtoul(when + (*when == '-'), &end, 10);
    if (n == 0 || (*end && strcmp(end, "+") != 0))
        refuse(line);
    if (*when == '-')
        rule->to = n;
    else
        rule->from = n;
    if (*when != '-' && !*end)
        rule->to = n;
}

static void
read_call_rule(char words[4][64], const char *line)
{
    struct rule *rule = &rules[n_rules];
    if (n_rules++ == RULES_MAX)
        refuse(line);
    *rule = (struct rule){.any = !strcmp(words[0], "*"), .call = FAULT_CALLS_N};
    for (unsigned i = 0; i < FAULT_CALLS_N; i++) {
        if (!strcmp(call_names[i], words[0]))
            rule->call = i;
    }
    if (!rule->any && rule->call == FAULT_CALLS_N)
        refuse(line);
    if (!strcmp(words[1], "return")) {
        rule->action = RETURN;
        rule->rv = result_of(words[2], line);
        read_when(rule, words[3], line);
    } else if (!strcmp(words[1], "sleep") || !strcmp(words[1], "take")) {
        rule->action = !strcmp(words[1], "take") ? TAKE : SLEEP;
        rule->sleep_ns = (int64_t)(strtod(words[2], NULL) * 1e6);
        if (rule->sleep_ns <= 0)
            refuse(line);
        read_when(rule, words[3], line);
    } else {
        static const char *const names[] = {[HANG] = "hang", [WRONG] = "wrong", [SHORT] = "short"};
        rule->action = RETURN;
        for (unsigned i = HANG; i <= SHORT; i++) {
            if (!strcmp(names[i], words[1]))
                rule->action = i;
        }
        if (rule->action == RETURN)
            refuse(line);
        read_when(rule, words[2], line);
    }
}

static bool
yes_no(const char *text, const char *yes, const char *no, const char *line)
{
    if (strcmp(text, yes) != 0 && strcmp(text, no) != 0)
        refuse(line);
    return !strcmp(text, yes);
}

static void
read_set(const char *name, const char *value, const char *line)
{
    struct fault_settings *s = &settings;
    const struct {
        const char *name;
        bool *target;
        const char *yes, *no;
    } flags[] = {
        {"public_objects", &s->public_objects, "yes", "no"},
        {"sensitive", &s->sensitive, "yes", "no"},
        {"extractable", &s->extractable, "yes", "no"},
        {"token", &s->absent, "absent", "present"},
        {"pad", &s->nul_padded, "nul", "blank"},
        {"pin_final_try", &s->pin_final_try, "yes", "no"},
        {"pin_locked", &s->pin_locked, "yes", "no"},
        {"login_required", &s->no_login, "no", "yes"},
        {"write_protected", &s->write_protected, "yes", "no"},
    };
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(flags[i].name, name) != 0)
            continue;
        *flags[i].target = yes_no(value, flags[i].yes, flags[i].no, line);
        s->force_sensitive = s->force_sensitive || flags[i].target == &s->sensitive;
        s->force_extractable = s->force_extractable || flags[i].target == &s->extractable;
        return;
    }
    if (!strcmp(name, "ec_params")) {
        s->params_oid = !strcmp(value, "any") || !strcmp(value, "oid");
        s->params_name = !strcmp(value, "any") || !strcmp(value, "name");
    } else if (!strcmp(name, "ec_point")) {
        s->point_len = !strcmp(value, "raw") ? 32 : !strcmp(value, "octets") ? 34 : 35;
    } else if (!strcmp(name, "sessions_max")) {
        s->sessions_max = strtoul(value, NULL, 10);
    } else if (!strcmp(name, "label")) {
        snprintf(s->label, sizeof(s->label), "%s", value);
    } else if (!strcmp(name, "pin")) {
        snprintf(s->pin, sizeof(s->pin), "%s", value);
    } else {
        refuse(line);
    }
}

static void
read_drop(const char *what, const char *line)
{
    const struct {
        const char *name;
        bool *target;
    } list[] = {{"sessions", &drops.sessions},
                {"login", &drops.login},
                {"module", &drops.module},
                {"objects", &drops.objects}};
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (!strcmp(list[i].name, what)) {
            *list[i].target = true;
            return;
        }
    }
    refuse(line);
}

static void
read_line(char *line)
{
    char words[4][64] = {{0}};
    line[strcspn(line, "#")] = '\0';
    int n = sscanf(line, "%63s %63s %63s %63s", words[0], words[1], words[2], words[3]);
    if (n <= 0)
        return;
    if (!strcmp(words[0], "set") && n >= 3) {
        /* The value is the rest of the line: labels have blanks. */
        char *value = strstr(line, words[1]) + strlen(words[1]);
        value += strspn(value, " \t");
        for (size_t len = strlen(value); len > 0 && strchr(" \t\r", value[len - 1]); len--)
            value[len - 1] = '\0';
        read_set(words[1], value, line);
    } else if (!strcmp(words[0], "drop") && n == 2) {
        read_drop(words[1], line);
    } else if (n >= 2) {
        read_call_rule(words, line);
    } else {
        refuse(line);
    }
}

static void
read_rules(char *text, const char *separators)
{
    n_rules = 0;
    memset(counts, 0, sizeof(counts));
    settings = (struct fault_settings){
        .params_oid = true,
        .params_name = true,
        .point_len = 34,
        .public_objects = true,
        .label = "attestd fault",
        .pin = "12345678",
    };
    char *rest = NULL;
    for (char *line = strtok_r(text, separators, &rest); line;
         line = strtok_r(NULL, separators, &rest))
        read_line(line);
    version++;
}

/* Lock held. */
static void
read_control(void)
{
    struct stat st;
    if (!control_path || stat(control_path, &st) != 0)
        return;
    if (st.st_ino == control_seen.st_ino && st.st_size == control_seen.st_size &&
        st.st_mtim.tv_sec == control_seen.st_mtim.tv_sec &&
        st.st_mtim.tv_nsec == control_seen.st_mtim.tv_nsec)
        return;
    int fd = open(control_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    char text[TEXT_MAX];
    ssize_t n = read(fd, text, sizeof(text) - 1);
    fstat(fd, &control_seen);
    close(fd);
    if (n < 0)
        return;
    text[n] = '\0';
    read_rules(text, "\n");
}

void
fault_rules_init(void)
{
    pthread_mutex_lock(&lock);
    char text[TEXT_MAX] = "";
    const char *given = getenv("P11_FAULT_RULES");
    const char *log_path = getenv("P11_FAULT_LOG");
    if (given)
        snprintf(text, sizeof(text), "%s", given);
    control_path = getenv("P11_FAULT_CONTROL");
    memset(&control_seen, 0, sizeof(control_seen));
    read_rules(text, ";");
    if (log_path && log_fd < 0)
        log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    read_control();
    pthread_mutex_unlock(&lock);
}

void
fault_settings_get(struct fault_settings *ret)
{
    pthread_mutex_lock(&lock);
    *ret = settings;
    pthread_mutex_unlock(&lock);
}

struct fault_drops
fault_drops_take(void)
{
    pthread_mutex_lock(&lock);
    struct fault_drops taken = drops;
    drops = (struct fault_drops){0};
    pthread_mutex_unlock(&lock);
    return taken;
}

static void
add_ns(struct timespec *t, int64_t ns)
{
    ns += t->tv_nsec;
    t->tv_sec += ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
}

static void
sleep_until(const struct timespec *t)
{
    /* A network does not round its answers up to the timer slack of 50 us. */
    static __thread bool precise;
    if (!precise)
        prctl(PR_SET_TIMERSLACK, 1UL);
    precise = true;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, t, NULL) != 0)
        ;
}

/* Lock held. The rules for the count-th call, added up; true when one says to hang. */
static bool
apply_rules(enum fault_call call, unsigned long count, struct fault_verdict *v, int64_t *sleep_ns)
{
    bool hang = false;
    *v = (struct fault_verdict){.rv = CKR_OK};
    *sleep_ns = 0;
    for (unsigned i = 0; i < n_rules; i++) {
        const struct rule *rule = &rules[i];
        if ((!rule->any && rule->call != call) || count < rule->from || count > rule->to)
            continue;
        if (rule->action == RETURN && v->rv == CKR_OK)
            v->rv = rule->rv;
        *sleep_ns += rule->action == SLEEP ? rule->sleep_ns : 0;
        v->take_ns += rule->action == TAKE ? rule->sleep_ns : 0;
        hang = hang || rule->action == HANG;
        v->wrong = v->wrong || rule->action == WRONG;
        v->shortened = v->shortened || rule->action == SHORT;
    }
    return hang;
}

struct fault_verdict
fault_enter(enum fault_call call)
{
    struct timespec start;
    struct fault_verdict v;
    int64_t sleep_ns;
    clock_gettime(CLOCK_MONOTONIC, &start);
    pthread_mutex_lock(&lock);
    read_control();
    if (log_fd >= 0)
        dprintf(log_fd, "%s\n", call_names[call]);
    unsigned long count = ++counts[call];
    while (apply_rules(call, count, &v, &sleep_ns)) {
        unsigned long seen = version;
        while (version == seen) {
            pthread_mutex_unlock(&lock);
            struct timespec pause = {.tv_nsec = HANG_LOOK_MS * 1000000};
            nanosleep(&pause, NULL);
            pthread_mutex_lock(&lock);
            read_control();
        }
        count = ++counts[call];
    }
    pthread_mutex_unlock(&lock);
    v.start = start;
    if (sleep_ns > 0) {
        add_ns(&start, sleep_ns);
        sleep_until(&start);
    }
    return v;
}

void
fault_end(struct fault_verdict *v)
{
    if (v->take_ns <= 0)
        return;
    add_ns(&v->start, v->take_ns);
    sleep_until(&v->start);
}
