/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

/*
 * A way to a TPM that writes down every byte that goes over it: a TCTI module (TCG TSS 2.0 TCTI
 * 1.0), which the loader takes by its path: "/path/tcti_log.so:FILE,TCTI". Each message is added
 * to FILE behind a '>' (to the TPM) or '<' and its length, four bytes, the highest first. FILE has
 * no comma in its name. A message that cannot be written down is not sent.
 *
 * Where the configuration of a program cannot be changed: found by the name of another module, of
 * which it is given the configuration, and $TCTI_LOG says "FILE,MODULE".
 *
 * A power cut at a chosen moment: where a file FILE.cut says "N PID", process PID is killed before
 * the Nth command from then on, whoever sends it, and the file is removed. Somebody in the bus:
 * where FILE.alter says "N", the last bit of the Nth answer from then on is another than the TPM's.
 */

#define LOG_MAGIC UINT64_C(0x61747463746c6f67)

struct tcti_log {
    TSS2_TCTI_CONTEXT_COMMON_CURRENT common;
    TSS2_TCTI_CONTEXT *inner;
    int fd;
    char *cut_path, *alter_path;
};

static struct tcti_log *
log_of(TSS2_TCTI_CONTEXT *tcti)
{
    struct tcti_log *log = (struct tcti_log *)tcti;
    return log && log->common.v1.magic == LOG_MAGIC ? log : NULL;
}

static TSS2_RC
write_down(struct tcti_log *log, char direction, const uint8_t *p, size_t len)
{
    uint8_t head[5] = {(uint8_t)direction, (uint8_t)(len >> 24), (uint8_t)(len >> 16),
                       (uint8_t)(len >> 8), (uint8_t)len};
    const struct iovec both[] = {{head, sizeof(head)}, {(void *)(uintptr_t)p, len}};
    return writev(log->fd, both, 2) == (ssize_t)(sizeof(head) + len) ? TSS2_RC_SUCCESS
                                                                     : TSS2_TCTI_RC_IO_ERROR;
}

static void
count_down(const char *path)
{
    int n = 0, pid = 0;
    FILE *in = fopen(path, "re");
    if (!in)
        return;
    bool whole = fscanf(in, "%d %d", &n, &pid) == 2;
    fclose(in);
    if (!whole || pid <= 1)
        return;
    if (n <= 1) {
        unlink(path);
        kill(pid, SIGKILL);
        return;
    }
    FILE *out = fopen(path, "we");
    if (!out)
        return;
    fprintf(out, "%d %d\n", n - 1, pid);
    fclose(out);
}

/* One less in the file; whether that was the last, and the file is gone. */
static bool
count_answer(const char *path)
{
    int n = 0;
    FILE *in = fopen(path, "re");
    if (!in)
        return false;
    bool whole = fscanf(in, "%d", &n) == 1;
    fclose(in);
    if (whole && n <= 1)
        return unlink(path) == 0;
    FILE *out = whole ? fopen(path, "we") : NULL;
    if (!out)
        return false;
    fprintf(out, "%d\n", n - 1);
    fclose(out);
    return false;
}

static TSS2_RC
transmit(TSS2_TCTI_CONTEXT *tcti, size_t len, const uint8_t *command)
{
    struct tcti_log *log = log_of(tcti);
    if (!log || !command)
        return TSS2_TCTI_RC_BAD_REFERENCE;
    count_down(log->cut_path);
    TSS2_RC rv = write_down(log, '>', command, len);
    return rv ? rv : Tss2_Tcti_Transmit(log->inner, len, command);
}

/* Asked without a buffer it says how much there is, and nothing has crossed yet. */
static TSS2_RC
receive(TSS2_TCTI_CONTEXT *tcti, size_t *len, uint8_t *answer, int32_t timeout)
{
    struct tcti_log *log = log_of(tcti);
    if (!log)
        return TSS2_TCTI_RC_BAD_REFERENCE;
    TSS2_RC rv = Tss2_Tcti_Receive(log->inner, len, answer, timeout);
    if (rv || !answer)
        return rv;
    rv = write_down(log, '<', answer, *len);
    if (*len > 0 && count_answer(log->alter_path))
        answer[*len - 1] ^= 1;
    return rv;
}

static void
finalize(TSS2_TCTI_CONTEXT *tcti)
{
    struct tcti_log *log = log_of(tcti);
    if (!log)
        return;
    Tss2_TctiLdr_Finalize(&log->inner);
    close(log->fd);
    free(log->cut_path);
    free(log->alter_path);
}

static TSS2_RC
cancel(TSS2_TCTI_CONTEXT *tcti)
{
    struct tcti_log *log = log_of(tcti);
    return log ? Tss2_Tcti_Cancel(log->inner) : TSS2_TCTI_RC_BAD_REFERENCE;
}

static TSS2_RC
poll_handles(TSS2_TCTI_CONTEXT *tcti, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
    struct tcti_log *log = log_of(tcti);
    return log ? Tss2_Tcti_GetPollHandles(log->inner, handles, n) : TSS2_TCTI_RC_BAD_REFERENCE;
}

static TSS2_RC
set_locality(TSS2_TCTI_CONTEXT *tcti, uint8_t locality)
{
    struct tcti_log *log = log_of(tcti);
    return log ? Tss2_Tcti_SetLocality(log->inner, locality) : TSS2_TCTI_RC_BAD_REFERENCE;
}

static TSS2_RC
make_sticky(TSS2_TCTI_CONTEXT *tcti, TPM2_HANDLE *handle, uint8_t sticky)
{
    struct tcti_log *log = log_of(tcti);
    return log ? Tss2_Tcti_MakeSticky(log->inner, handle, sticky) : TSS2_TCTI_RC_BAD_REFERENCE;
}

static TSS2_RC
init_with(struct tcti_log *log, const char *config)
{
    const char *comma = strchr(config, ',');
    if (!comma)
        return TSS2_TCTI_RC_BAD_VALUE;
    char *path = strndup(config, (size_t)(comma - config));
    if (!path)
        return TSS2_TCTI_RC_MEMORY;
    log->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log->fd < 0 || asprintf(&log->cut_path, "%s.cut", path) < 0 ||
        asprintf(&log->alter_path, "%s.alter", path) < 0) {
        free(path);
        return TSS2_TCTI_RC_IO_ERROR;
    }
    free(path);
    TSS2_RC rv = Tss2_TctiLdr_Initialize(comma + 1, &log->inner);
    if (rv) {
        close(log->fd);
        free(log->cut_path);
        free(log->alter_path);
        return rv;
    }
    log->common = (TSS2_TCTI_CONTEXT_COMMON_CURRENT){
        .v1 = {.magic = LOG_MAGIC,
               .version = 2,
               .transmit = transmit,
               .receive = receive,
               .finalize = finalize,
               .cancel = cancel,
               .getPollHandles = poll_handles,
               .setLocality = set_locality},
        .makeSticky = make_sticky,
    };
    return TSS2_RC_SUCCESS;
}

static TSS2_RC
init(TSS2_TCTI_CONTEXT *tcti, size_t *size, const char *config)
{
    const char *named = getenv("TCTI_LOG");
    char *whole;
    if (!size)
        return TSS2_TCTI_RC_BAD_VALUE;
    if (!tcti) {
        *size = sizeof(struct tcti_log);
        return TSS2_RC_SUCCESS;
    }
    if (*size < sizeof(struct tcti_log) || !config)
        return TSS2_TCTI_RC_BAD_VALUE;
    if (!named)
        return init_with((struct tcti_log *)tcti, config);
    if (asprintf(&whole, "%s:%s", named, config) < 0)
        return TSS2_TCTI_RC_MEMORY;
    TSS2_RC rv = init_with((struct tcti_log *)tcti, whole);
    free(whole);
    return rv;
}

static const TSS2_TCTI_INFO info = {
    .version = 2,
    .name = "tcti-log",
    .description = "writes down what crosses another TCTI",
    .config_help = "FILE,TCTI",
    .init = init,
};

__attribute__((visibility("default"))) const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);

const TSS2_TCTI_INFO *
Tss2_Tcti_Info(void)
{
    return &info;
}
