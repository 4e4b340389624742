/* SPDX-License-Identifier: MIT */
#include "base/iphost.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static bool
parse(struct slice host, int family, void *address)
{
    char text[INET6_ADDRSTRLEN];
    if (host.len >= sizeof(text))
        return false;
    memcpy(text, host.p, host.len);
    text[host.len] = '\0';
    return inet_pton(family, text, address) == 1;
}

bool
iphost_v6(struct slice host, struct in6_addr *ret)
{
    return host.len > 2 && host.p[0] == '[' && host.p[host.len - 1] == ']' &&
           parse((struct slice){host.p + 1, host.len - 2}, AF_INET6, ret);
}

bool
iphost_is_loopback(struct slice host)
{
    static const char name[] = "localhost";
    struct in6_addr v6;
    uint8_t v4[4];
    if (iphost_v6(host, &v6))
        return IN6_IS_ADDR_LOOPBACK(&v6);
    if (parse(host, AF_INET, v4))
        return v4[0] == 127;
    return host.len == strlen(name) && strncasecmp(host.p, name, host.len) == 0;
}
