/* SPDX-License-Identifier: MIT */
#include "support/vector.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void
die(const char *path, const char *what)
{
    fprintf(stderr, "%s: %s\n", path, what);
    abort();
}

static void
path_of(char path[4096], const char *name)
{
    if (snprintf(path, 4096, "%s/vectors/%s", TESTS_DIR, name) >= 4096)
        die(name, "name too long");
}

char *
vector_read_optional(const char *name, size_t *len)
{
    char path[4096];
    path_of(path, name);
    AUTO(file) FILE *f = fopen(path, "rb");
    if (!f && errno == ENOENT)
        return NULL;
    if (!f)
        die(path, strerror(errno));
    char *text = calloc(1, VECTOR_MAX + 1);
    if (!text)
        die(path, "out of memory");
    size_t n = fread(text, 1, VECTOR_MAX + 1, f);
    if (ferror(f) || n > VECTOR_MAX)
        die(path, "unreadable or too large");
    text[n] = '\0';
    *len = n;
    return text;
}

char *
vector_read(const char *name, size_t *len)
{
    char *text = vector_read_optional(name, len);
    if (!text)
        die(name, "no such vector");
    return text;
}

char *
vector_line(const char *name)
{
    size_t len;
    char *text = vector_read(name, &len);
    if (len && text[len - 1] == '\n')
        text[len - 1] = '\0';
    return text;
}

static int
is_folder(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

size_t
vector_each(const char *name, void (*each)(void *ctx, const char *folder), void *ctx)
{
    char path[4096], child[4096 + 257];
    struct dirent **list;
    struct stat st;
    size_t seen = 0;
    path_of(path, name);
    int n = scandir(path, &list, is_folder, alphasort);
    if (n < 0)
        die(path, strerror(errno));
    for (int i = 0; i < n; i++) {
        snprintf(child, sizeof(child), "%s/%s", path, list[i]->d_name);
        if (stat(child, &st) == 0 && S_ISDIR(st.st_mode)) {
            each(ctx, list[i]->d_name);
            seen++;
        }
        free(list[i]);
    }
    free(list);
    return seen;
}
