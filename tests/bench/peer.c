/* SPDX-License-Identifier: MIT */
#include "tests/bench/peer.h"

#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ANSWER_MS 60000

extern char **environ;

struct peer {
    pid_t pid;
    int fd;
    char answer[256];
    char version[64];
};

static bool
say(struct peer *peer, const char *text, size_t len)
{
    while (len) {
        ssize_t n = send(peer->fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* Says one line and takes the one that is the answer. */
static bool
ask(struct peer *peer, struct slice line)
{
    size_t len = 0;
    if (!say(peer, line.p, line.len) || !say(peer, "\n", 1))
        return false;
    while (len < sizeof(peer->answer) - 1) {
        struct pollfd fd = {.fd = peer->fd, .events = POLLIN};
        ssize_t n = poll(&fd, 1, ANSWER_MS) == 1
                        ? read(peer->fd, peer->answer + len, sizeof(peer->answer) - 1 - len)
                        : -1;
        if (n <= 0)
            return false;
        len += (size_t)n;
        peer->answer[len] = '\0';
        if (peer->answer[len - 1] != '\n')
            continue;
        peer->answer[len - 1] = '\0';
        return true;
    }
    return false;
}

static bool
spawn(struct peer *peer, const char *command)
{
    int fd[2];
    const char *const argv[] = {"sh", "-c", command, NULL};
    posix_spawn_file_actions_t actions;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0)
        return false;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd[1], 0);
    posix_spawn_file_actions_adddup2(&actions, fd[1], 1);
    int failed = posix_spawn(&peer->pid, "/bin/sh", &actions, NULL, (char **)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fd[1]);
    if (failed) {
        close(fd[0]);
        return false;
    }
    peer->fd = fd[0];
    return true;
}

struct peer *
peer_open(const char *command, const struct contest *c)
{
    AUTO(buf) struct buf line;
    buf_init(&line, 4096);
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer || !spawn(peer, command)) {
        free(peer);
        return NULL;
    }
    buf_printf(&line,
               "open {\"jwks\":%s,\"issuer\":\"" CONTEST_ISSUER
               "\",\"audience\":\"" CONTEST_AUDIENCE "\"}",
               c->jwks);
    if (ask(peer, buf_view(&line)) && sscanf(peer->answer, "ready %63[^\n]", peer->version) == 1)
        return peer;
    peer_close(peer);
    return NULL;
}

bool
peer_check(struct peer *peer, const char *token)
{
    AUTO(buf) struct buf line;
    buf_init(&line, 16384);
    buf_printf(&line, "check %s", token);
    return ask(peer, buf_view(&line)) && strcmp(peer->answer, "ok") == 0;
}

bool
peer_take(struct peer *peer, const struct contest *c)
{
    AUTO(buf) struct buf line;
    buf_init(&line, CONTEST_TOKENS * 8192);
    buf_printf(&line, "tokens %d", CONTEST_WARM);
    for (size_t i = 0; i < CONTEST_TOKENS; i++)
        buf_printf(&line, " %s", c->token[i]);
    return ask(peer, buf_view(&line)) && strcmp(peer->answer, "ok") == 0;
}

int64_t
peer_lap_ns(struct peer *peer)
{
    if (!ask(peer, slice_cstr("lap")))
        return 0;
    return strtoll(peer->answer, NULL, 10);
}

const char *
peer_version(const struct peer *peer)
{
    return peer->version;
}

/* It ends when nobody speaks to it any more. */
void
peer_close(struct peer *peer)
{
    close(peer->fd);
    waitpid(peer->pid, NULL, 0);
    free(peer);
}
