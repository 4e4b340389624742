/* SPDX-License-Identifier: MIT */
#include "replay/redis_url.h"

#include <string.h>

#define PORT_DEFAULT 6379

static bool
read_number(const char *text, int min, int max, int *ret)
{
    int n = 0;
    if (!*text || strlen(text) > 5)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        n = n * 10 + (*text - '0');
    }
    *ret = n;
    return n >= min && n <= max;
}

/* Cuts text at the first c; what is behind, or NULL when there is none. */
static char *
cut(char *text, char c)
{
    char *at = strchr(text, c);
    if (!at)
        return NULL;
    *at = '\0';
    return at + 1;
}

static bool
read_login(struct redis_url *url, char *login)
{
    char *password = cut(login, ':');
    if (password ? !*password : !*login)
        return false;
    url->password = password;
    url->user = *login ? login : NULL;
    return true;
}

static bool
read_host(struct redis_url *url, char *host)
{
    char *port;
    if (*host == '[') {
        char *behind = cut(++host, ']');
        if (!behind || (*behind && *behind != ':'))
            return false;
        port = *behind ? behind + 1 : NULL;
    } else {
        port = cut(host, ':');
    }
    url->host = host;
    return *host && (!port || read_number(port, 1, 65535, &url->port));
}

/* Cuts room, the text of a URL, into its parts. */
static bool
cut_up(char *room, struct redis_url *ret)
{
    if (strncmp(room, "unix:///", 8) == 0) {
        ret->path = room + 7;
        return ret->path[1] != '\0';
    }
    ret->tls = strncmp(room, "rediss://", 9) == 0;
    if (!ret->tls && strncmp(room, "redis://", 8) != 0)
        return false;
    char *host = room + (ret->tls ? 9 : 8), *database = cut(host, '/');
    if (database && *database && !read_number(database, 0, 65535, &ret->database))
        return false;
    char *at = strrchr(host, '@');
    if (at) {
        *at = '\0';
        if (!read_login(ret, host))
            return false;
        host = at + 1;
    }
    return read_host(ret, host);
}

enum attest_rc
redis_url_read(const char *url, struct redis_url *ret, struct attest_error *err)
{
    size_t len = strlen(url);
    *ret = (struct redis_url){.port = PORT_DEFAULT};
    bool good = len < REDIS_URL_MAX && !strpbrk(url, "%?# \t\r\n");
    if (good) {
        ret->room = secret_try_copy(url, len + 1);
        if (!ret->room.p)
            return error_set(err, ATTEST_E_NOMEM, "replay store: no guarded memory");
        good = cut_up((char *)ret->room.p, ret);
    }
    if (!good)
        return error_set(err, ATTEST_E_CONFIG,
                         "replay store: redis[s]://[[user]:password@]host[:port][/database] or "
                         "unix:///path is wanted, and nothing in it is percent-encoded");
    return ATTEST_OK;
}
