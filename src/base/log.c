/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_MAX_LEN 2048
#define QUOTED_MAX 200

const char *const log_level_names[] = {"error", "warning", "info", "debug", NULL};

/* What syslog(3) calls these levels; the journal reads "<N>" in front of a line. */
static const char *const journal_prefix[] = {"<3>", "<4>", "<6>", "<7>"};

static struct {
    const char *program;
    enum log_level most;
    bool journal;
} logger = {NULL, LOG_LEVEL_INFO, false};

/* JOURNAL_STREAM is inherited; it speaks of this standard error only if device and inode agree. */
static bool
stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    char end;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu%c", &device, &inode, &end) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == (dev_t)device &&
           st.st_ino == (ino_t)inode;
}

void
log_init(const char *program, enum log_level most)
{
    logger.program = program;
    logger.most = most;
    logger.journal = stderr_is_journal();
}

static void
add(char *line, size_t *len, const char *format, va_list ap)
{
    size_t room = LINE_MAX_LEN - *len;
    int n = vsnprintf(line + *len, room, format, ap);
    if (n > 0)
        *len += (size_t)n < room ? (size_t)n : room - 1;
}

static void __attribute__((format(printf, 3, 4)))
addf(char *line, size_t *len, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    add(line, len, format, ap);
    va_end(ap);
}

void
log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (level > logger.most)
        return;
    int saved_errno = errno;
    char line[LINE_MAX_LEN + 1];
    char now[CLOCK_TEXT_SIZE];
    size_t len = 0;
    clock_format(now, clock_wall_s());
    addf(line, &len, "%sts=%s level=%s", logger.journal ? journal_prefix[level] : "", now,
         log_level_names[level]);
    if (logger.program)
        addf(line, &len, " program=%s", logger.program);
    addf(line, &len, " event=%s", event);
    if (format && *format) {
        addf(line, &len, " ");
        va_list ap;
        va_start(ap, format);
        add(line, &len, format, ap);
        va_end(ap);
    }
    /* A value that skipped LOG_QUOTED() must still not be able to start a line. */
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
    line[len++] = '\n';
    /* There is no one to tell when the log itself cannot be written. */
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
    errno = saved_errno;
}

const char *
log_quote(struct log_quoted *room, struct slice s)
{
    static const char more[] = "...";
    char *out = room->text;
    /* The longest thing that may still come: one escape, the dots, the quote, the NUL. */
    char *end = out + sizeof(room->text) - sizeof("\\xff...\"");
    size_t i = 0;
    *out++ = '"';
    for (; i < s.len && i < QUOTED_MAX && out <= end; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c >= 0x20 && c < 0x7f) {
            *out++ = (char)c;
        } else {
            out += sprintf(out, "\\x%02x", c);
        }
    }
    if (i < s.len) {
        memcpy(out, more, sizeof(more) - 1);
        out += sizeof(more) - 1;
    }
    *out++ = '"';
    *out = '\0';
    return room->text;
}

bool
log_limit_ok(struct log_limit *limit, unsigned burst, unsigned per_s, unsigned *suppressed)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int64_t now_ms = clock_mono_ms();
    bool ok;
    pthread_mutex_lock(&lock);
    if (limit->window_start_ms == 0 || now_ms - limit->window_start_ms >= (int64_t)per_s * 1000) {
        limit->window_start_ms = now_ms;
        limit->used = 0;
    }
    ok = limit->used < burst;
    if (ok) {
        limit->used++;
        if (suppressed)
            *suppressed = limit->dropped;
        limit->dropped = 0;
    } else {
        limit->dropped++;
    }
    pthread_mutex_unlock(&lock);
    return ok;
}
