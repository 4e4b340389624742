/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/ed25519.h"
#include "base/jsondoc.h"
#include "base/log.h"
#include "base/output.h"
#include "base/service.h"
#include "signer/signer.h"

static const char usage[] =
    "usage: attest-signer [--config FILE] [--check-config] [--accept-log-cut]\n"
    "                     [--passive | --take-over]\n"
    "\n"
    "Holds the keys and signs attestations for attestd. Stays in the foreground.\n"
    "\n"
    "  --config FILE      read FILE instead of " PKGSYSCONFDIR "/attest-signer.yaml\n"
    "  --check-config     say whether the configuration is good, and end\n"
    "  --accept-log-cut   go on from an issuance log that lacks records known to have been\n"
    "                     written; the gap becomes a record\n"
    "  --passive          serve the key set and attestctl, change and sign nothing: for the "
    "import\n"
    "                     of records on a second host\n"
    "  --take-over        own the token from now on, whichever instance owned it before; that one\n"
    "                     must have been stopped\n"
    "  --help, --version\n";

struct arguments {
    const char *config;
    bool check_config;
    struct signer_options options;
};

/* For the PIN and 256 seeds, each in pages of its own while it is worked with. */
#define LOCKED_MIN (256 * 1024)

static enum attest_rc
check_memory(const struct signer_config *config, struct attest_error *err)
{
    if (secret_lockable(LOCKED_MIN))
        return ATTEST_OK;
    if (!config->development)
        return error_set(err, ATTEST_E_CONFIG,
                         "secrets could get into the swap: raise the limit of locked memory "
                         "(LimitMEMLOCK=64M in the unit, ulimit -l)");
    log_event(LOG_LEVEL_WARNING, "memory_not_locked", "note=\"secrets could get into the swap\"");
    return ATTEST_OK;
}

/* -1: go on; else the exit status. */
static int
read_arguments(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},   {"check-config", no_argument, NULL, 'k'},
        {"accept-log-cut", no_argument, NULL, 'a'}, {"passive", no_argument, NULL, 'p'},
        {"take-over", no_argument, NULL, 't'},      {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},        {0},
    };
    opterr = 0; /* one line is enough, and it is ours */
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            a->config = optarg;
            break;
        case 'k':
            a->check_config = true;
            break;
        case 'a':
            a->options.accept_log_cut = true;
            break;
        case 'p':
            a->options.passive = true;
            break;
        case 't':
            a->options.take_over = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'v':
            puts("attest-signer " PACKAGE_VERSION);
            return 0;
        default:
            fprintf(stderr,
                    "attest-signer: '%s' is unknown or lacks its value; see attest-signer --help\n",
                    argv[optind - 1]);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "attest-signer: '%s' is one argument too many; see attest-signer --help\n",
                argv[optind]);
        return EXIT_USAGE;
    }
    if (a->options.passive && a->options.take_over) {
        fputs("attest-signer: --passive or --take-over, not both\n", stderr);
        return EXIT_USAGE;
    }
    return -1;
}

static int
run(int argc, char **argv)
{
    struct arguments a = {.config = PKGSYSCONFDIR "/attest-signer.yaml"};
    int status = read_arguments(argc, argv, &a);
    if (status >= 0)
        return status;
    secret_wipe_freed();
    struct signer_config config = {0};
    struct attest_error err = {0};
    if (crypto_init(&err) ||
        config_load(&signer_config_schema, a.config, (const char *const *)environ, &config, &err) ||
        signer_config_check(&config, &err)) {
        /* What is wrong with a line names the file already. */
        size_t len = strlen(a.config);
        bool named = strncmp(err.text, a.config, len) == 0 && err.text[len] == ':';
        fprintf(stderr, "attest-signer: %s%s%s\n", named ? "" : a.config, named ? "" : ": ",
                err.text);
        config_done(&signer_config_schema, &config);
        return err.rc == ATTEST_E_CONFIG ? EXIT_REFUSED : EXIT_FAILED;
    }
    if (a.check_config) {
        puts("attest-signer: the configuration is good");
        status = 0;
    } else {
        /* Many short-lived threads' arenas would cost more memory than they save time. */
        mallopt(M_ARENA_MAX, 2);
        umask(077);
        jsondoc_init();
        log_init("attest-signer", (enum log_level)config.log_level);
        status = service_harden(&err) || check_memory(&config, &err)
                     ? EXIT_FAILED
                     : signer_run(&config, &a.options);
        if (err.rc)
            log_event(LOG_LEVEL_ERROR, "start_failed", "why=%s", LOG_QUOTED(slice_cstr(err.text)));
    }
    config_done(&signer_config_schema, &config);
    return status;
}

int
main(int argc, char **argv)
{
    return output_end("attest-signer", run(argc, argv));
}
