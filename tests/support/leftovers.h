/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_LEFTOVERS_H
#define TESTS_SUPPORT_LEFTOVERS_H

#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * How often the bytes at p stand in this process's own writable memory, the page that holds p left
 * out. p has to be guarded memory: nothing else of ours shares its page.
 */
static inline unsigned
leftovers_of(const uint8_t *p, size_t len)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0; /* what was freed is kept, in more memory than can be looked through */
#endif
    const char *preload = getenv("LD_PRELOAD");
    if (preload && strstr(preload, "vgpreload"))
        return 0; /* valgrind's state stands in this memory as well, and its blocks to be freed */
    unsigned found = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    uint8_t *chunk = malloc(1 << 20);
    if (!maps || mem < 0 || !chunk)
        abort();
    uintptr_t own = (uintptr_t)p & ~(uintptr_t)4095;
    while (fgets(line, sizeof(line), maps)) {
        uintptr_t from, to;
        char mode[8];
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, mode) != 3 ||
            mode[0] != 'r' || mode[1] != 'w')
            continue;
        for (uintptr_t at = from; at < to; at += (1 << 20) - len) {
            size_t want = to - at < 1 << 20 ? (size_t)(to - at) : 1 << 20;
            ssize_t got = pread(mem, chunk, want, (off_t)at);
            for (ssize_t i = 0; got > 0 && i + (ssize_t)len <= got; i++) {
                uintptr_t here = at + (uintptr_t)i;
                if ((here & ~(uintptr_t)4095) == own || here - (uintptr_t)chunk < 1 << 20)
                    continue;
                if (chunk[i] == p[0] && !memcmp(chunk + i, p, len)) {
                    found++;
                    if (getenv("LEFTOVERS_SAY"))
                        fprintf(stderr, "left at %" PRIxPTR ": %s", here, line);
                }
            }
        }
    }
    memset(chunk, 0, 1 << 20);
    free(chunk);
    close(mem);
    fclose(maps);
    return found;
}

#endif
