/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/b64u.h"
#include "base/bytes.h"
#include "tests/support/bus_record.h"

/*
 * find_secrets SECRETS file FILE: do any eight bytes in a row of a secret stand in this file, as
 * they are, or 16 characters of them in hex or base64? SECRETS has one a line: its name, a blank,
 * its bytes in hex. "-" is standard input.
 * find_secrets SECRETS bus FILE: the same in a record of the bus to a TPM, and does any command in
 * it carry what it has to hide without encrypting it? That needs no SECRETS, which may be missing.
 * find_secrets SECRETS pid PID [guarded]: the same in the memory of a process. With "guarded" each
 * has to stand there, unless its name begins with "derived-", and nothing of it anywhere but in
 * memory that is locked and left out of core dumps.
 * The status is 0 when all is as it should be, 1 when not, 2 when it could not be found out.
 */

enum { CHUNK = 1 << 20, RUN = 8, TEXT_RUN = 16, SECRET_MAX = 256, SECRETS_MAX = 65536 };

struct run { /* bytes that must not be met */
    uint64_t first;
    const char *p; /* the first eight and `len` more */
    unsigned len, secret;
    struct run *next;
};

static struct run **runs;
static const size_t runs_mask = (1 << 16) - 1;
static char *names[SECRETS_MAX];
static unsigned n_secrets, elsewhere;
static bool inside[SECRETS_MAX];

static void __attribute__((noreturn, format(printf, 1, 2))) cannot(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("find_secrets: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

static void *
room(size_t len)
{
    void *p = calloc(1, len);
    if (!p)
        cannot("out of memory");
    return p;
}

static size_t
place_of(uint64_t first)
{
    return (size_t)(first * UINT64_C(0x9e3779b97f4a7c15) >> 40) & runs_mask;
}

/* Every run of so many bytes in a row; of what is shorter, the whole. */
static void
add_runs(const char *p, size_t len, size_t run_len)
{
    if (len < run_len)
        run_len = len;
    if (run_len < RUN)
        return;
    char *kept = room(len);
    memcpy(kept, p, len);
    for (size_t i = 0; i + run_len <= len; i++) {
        struct run *run = room(sizeof(*run));
        memcpy(&run->first, kept + i, RUN);
        run->p = kept + i;
        run->len = (unsigned)(run_len - RUN);
        run->secret = n_secrets;
        run->next = runs[place_of(run->first)];
        runs[place_of(run->first)] = run;
    }
}

/* The characters that the secret alone decides, with so many other bytes before it. */
static void
add_base64(const uint8_t *p, size_t len, size_t before)
{
    uint8_t bytes[SECRET_MAX + 2] = {0};
    char text[2 * SECRET_MAX];
    memcpy(bytes + before, p, len);
    b64u_encode(text, bytes, before + len);
    size_t from = (8 * before + 5) / 6, to = 8 * (before + len) / 6;
    add_runs(text + from, to - from, TEXT_RUN);
    for (size_t i = from; i < to; i++)
        text[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    add_runs(text + from, to - from, TEXT_RUN);
}

static void
add_secret(const uint8_t *p, size_t len)
{
    char hex[2 * SECRET_MAX + 1];
    add_runs((const char *)p, len, RUN);
    hex_encode(hex, p, len);
    add_runs(hex, 2 * len, TEXT_RUN);
    for (size_t i = 0; i < 2 * len; i++)
        hex[i] = (char)(hex[i] >= 'a' ? hex[i] - 'a' + 'A' : hex[i]);
    add_runs(hex, 2 * len, TEXT_RUN);
    for (size_t before = 0; before < 3; before++)
        add_base64(p, len, before);
}

static void
read_secrets(const char *path, bool may_be_missing)
{
    FILE *in = strcmp(path, "-") != 0 ? fopen(path, "r") : stdin;
    char line[3 * SECRET_MAX], name[64], hex[2 * SECRET_MAX + 1];
    uint8_t bytes[SECRET_MAX];
    if (!in && may_be_missing)
        return;
    if (!in)
        cannot("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof(line), in)) {
        if (sscanf(line, "%63s %512s", name, hex) != 2 || n_secrets == SECRETS_MAX)
            cannot("%s: line %u is no name and hex digits", path, n_secrets + 1);
        size_t len = strlen(hex) / 2;
        if (len < RUN || !hex_decode(bytes, len, slice_cstr(hex)))
            cannot("%s: %s: at least %d bytes in hex expected", path, name, RUN);
        names[n_secrets] = strdup(name);
        add_secret(bytes, len);
        n_secrets++;
    }
    fclose(in);
    if (n_secrets == 0)
        cannot("%s: no secret to look for", path);
}

/* What is met in len bytes. Of a run that goes on behind them only the first bytes are compared. */
static void
look(const char *p, size_t len, uint64_t at, bool guarded, const char *where)
{
    for (size_t i = 0; i + RUN <= len; i++) {
        uint64_t first;
        memcpy(&first, p + i, RUN);
        for (const struct run *run = runs[place_of(first)]; run; run = run->next) {
            size_t behind = len - i - RUN;
            if (run->first != first ||
                memcmp(p + i + RUN, run->p + RUN, run->len < behind ? run->len : behind) != 0)
                continue;
            if (guarded) {
                inside[run->secret] = true;
                continue;
            }
            if (elsewhere++ < 10)
                printf("%s at %" PRIx64 " in %s\n", names[run->secret], at + i, where);
        }
    }
}

/* How many commands of this record are open. */
static unsigned
look_bus(const char *path)
{
    unsigned commands, open;
    if (!bus_record_look(path, &commands, &open))
        cannot("%s: no record of a bus", path);
    return open;
}

static uint64_t
look_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        cannot("%s: %s", path, strerror(errno));
    char *chunk = room(CHUNK);
    uint64_t at = 0;
    ssize_t got;
    while ((got = pread(fd, chunk, CHUNK, (off_t)at)) > 0) {
        look(chunk, (size_t)got, at, false, path);
        at += got == CHUNK ? CHUNK - TEXT_RUN : (uint64_t)got;
    }
    if (got < 0)
        cannot("%s: %s", path, strerror(errno));
    close(fd);
    free(chunk);
    return at;
}

/* One mapping, as far as it can be read: guard pages cannot. */
static uint64_t
look_mapping(int mem, uint64_t from, uint64_t to, bool guarded, const char *where)
{
    char *chunk = room(CHUNK);
    uint64_t seen = 0;
    while (from < to) {
        uint64_t want = to - from < CHUNK ? to - from : CHUNK;
        ssize_t got = pread(mem, chunk, (size_t)want, (off_t)from);
        if (got <= 0)
            break;
        look(chunk, (size_t)got, from, guarded, where);
        seen += (uint64_t)got;
        from += (uint64_t)got > TEXT_RUN && from + (uint64_t)got < to ? (uint64_t)got - TEXT_RUN
                                                                      : (uint64_t)got;
    }
    free(chunk);
    return seen;
}

static uint64_t
look_process(const char *pid, bool guarded_allowed)
{
    char path[64], line[1024], where[256] = "";
    snprintf(path, sizeof(path), "/proc/%s/mem", pid);
    int mem = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%s/smaps", pid);
    FILE *maps = fopen(path, "r");
    if (mem < 0 || !maps)
        cannot("process %s: %s", pid, strerror(errno));
    uint64_t from = 0, to = 0, seen = 0, seen_guarded = 0;
    while (fgets(line, sizeof(line), maps)) {
        char name[200] = "";
        uint64_t first, end;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %*s %199s", &first, &end, name) >=
            2) {
            from = first;
            to = end;
            snprintf(where, sizeof(where), "process %s %s", pid, name);
            continue;
        }
        if (strncmp(line, "VmFlags:", 8) != 0)
            continue;
        /* rd: readable; lo: locked; dd: not in core dumps (proc(5)) */
        bool guarded = guarded_allowed && strstr(line, " lo") && strstr(line, " dd");
        if (strstr(line, " rd")) {
            uint64_t n = look_mapping(mem, from, to, guarded, where);
            seen += n;
            seen_guarded += guarded ? n : 0;
        }
    }
    fclose(maps);
    close(mem);
    printf("process %s: %" PRIu64 " bytes looked at, %" PRIu64 " of them guarded\n", pid, seen,
           seen_guarded);
    return seen;
}

int
main(int argc, char **argv)
{
    bool process = argc >= 4 && !strcmp(argv[2], "pid");
    bool bus = argc == 4 && !strcmp(argv[2], "bus");
    bool guarded = process && argc == 5 && !strcmp(argv[4], "guarded");
    if (argc != (guarded ? 5 : 4) || (!process && !bus && strcmp(argv[2], "file") != 0))
        cannot("SECRETS file|bus FILE, or SECRETS pid PID [guarded]");
    runs = room((runs_mask + 1) * sizeof(struct run *));
    read_secrets(argv[1], bus);
    unsigned open_commands = bus ? look_bus(argv[3]) : 0;
    uint64_t seen = process ? look_process(argv[3], guarded) : look_file(argv[3]);
    if (seen == 0)
        cannot("%s: nothing there to look at", argv[3]);
    unsigned lacking = 0;
    for (unsigned i = 0; guarded && i < n_secrets; i++) {
        if (!inside[i] && strncmp(names[i], "derived-", 8) != 0) {
            printf("%s is not in guarded memory\n", names[i]);
            lacking++;
        }
    }
    if (elsewhere > 0)
        printf("%u runs of secret bytes where none may be\n", elsewhere);
    return elsewhere || lacking || open_commands ? 1 : 0;
}
