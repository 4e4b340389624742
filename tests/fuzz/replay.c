/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the fuzzer's main(): runs a target over its corpus, tests/fuzz/corpus/NAME/, or
 * over the files and directories named on the command line. Every file goes in whole, and cut off
 * at each of its first bytes, since a parser's end of input is where it most often goes wrong.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (1 << 20)
#define CUTS_MAX 512

static size_t n_inputs;

/* A copy of just that size, so that a sanitizer sees a read behind the end. */
static void
run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    n_inputs++;
}

static int
run_file(const char *path)
{
    static uint8_t data[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    size_t size = fread(data, 1, sizeof(data), f);
    fclose(f);
    run(data, size);
    for (size_t cut = 0; cut < size && cut < CUTS_MAX; cut++)
        run(data, cut);
    return 0;
}

static int
run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return run_file(path);
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    if (n < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    int failed = 0;
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            failed |= run_file(file);
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int
main(int argc, char **argv)
{
    int failed = 0;
    if (argc < 2)
        failed = run_path(TESTS_DIR "/fuzz/corpus/" FUZZ_NAME);
    for (int i = 1; i < argc; i++)
        failed |= run_path(argv[i]);
    printf("%s: %zu inputs\n", FUZZ_NAME, n_inputs);
    return failed || n_inputs == 0;
}
