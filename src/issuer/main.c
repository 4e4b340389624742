/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "base/ed25519.h"
#include "base/log.h"
#include "base/output.h"
#include "base/service.h"
#include "issuer/issuer.h"

static const char usage[] =
    "usage: attestd [--config FILE] [--insecure-open-mint]\n"
    "       attestd --check-config [--config FILE]\n"
    "\n"
    "Serves tokens, the key set and discovery; attest-signer makes the signatures.\n"
    "\n"
    "  --config FILE         read FILE instead of " PKGSYSCONFDIR "/attestd.yaml\n"
    "  --check-config        read the configuration, say what is wrong with it, and stop\n"
    "  --insecure-open-mint  let everyone on this machine mint over loopback TCP\n"
    "  --help, --version\n";

struct command_line {
    const char *config_path;
    bool check_config, open_mint;
};

/* EXIT_DONE: go on; else the exit status, -1 for an early end that is no failure. */
static int
read_command_line(int argc, char **argv, struct command_line *ret)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check-config", no_argument, NULL, 'k'},
        {"insecure-open-mint", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {0},
    };
    *ret = (struct command_line){.config_path = PKGSYSCONFDIR "/attestd.yaml"};
    opterr = 0; /* one line is enough, and it is ours */
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            ret->config_path = optarg;
            break;
        case 'k':
            ret->check_config = true;
            break;
        case 'o':
            ret->open_mint = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return -1;
        case 'v':
            puts("attestd " PACKAGE_VERSION);
            return -1;
        default:
            fprintf(stderr, "attestd: '%s' is unknown or lacks its value; see attestd --help\n",
                    argv[optind - 1]);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "attestd: '%s' is not expected; see attestd --help\n", argv[optind]);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

static int
complain(const struct attest_error *err)
{
    fprintf(stderr, "attestd: %s\n", err->text);
    return err->rc == ATTEST_E_CONFIG ? EXIT_REFUSED : EXIT_FAILED;
}

static void
reload(struct issuer *iss)
{
    struct attest_error err;
    service_notify("STATUS=reloading");
    if (issuer_reload(iss, &err))
        log_event(LOG_LEVEL_ERROR, "reload_failed", "why=%s action=\"the old one is kept\"",
                  LOG_QUOTED(slice_cstr(err.text)));
    else
        log_event(LOG_LEVEL_INFO, "reloaded", "what=certificate");
    service_notify("STATUS=serving");
}

/* Until a signal says stop. */
static void
serve(struct issuer *iss, int signal_fd)
{
    int64_t watchdog_ms = service_watchdog_ms();
    for (;;) {
        struct pollfd p = {.fd = signal_fd, .events = POLLIN};
        int n = poll(&p, 1, watchdog_ms ? (int)watchdog_ms : -1);
        if (watchdog_ms)
            service_notify("WATCHDOG=1");
        struct signalfd_siginfo info;
        if (n <= 0 || read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
            continue;
        if (info.ssi_signo != SIGHUP)
            return;
        reload(iss);
    }
}

static int
start_and_serve(const struct issuer_config *config, bool open_mint)
{
    struct attest_error err;
    AUTO(fd) int signal_fd = service_signal_fd();
    if (signal_fd < 0) {
        error_set(&err, ATTEST_E_IO, "no signalfd");
        return complain(&err);
    }
    struct issuer *iss = NULL;
    struct issuer_options options = {.config = config, .open_mint = open_mint};
    if (service_harden(&err) || crypto_init(&err) || issuer_start(&options, &iss, &err))
        return complain(&err);
    log_event(LOG_LEVEL_INFO, "ready", "issuer=%s version=%s",
              LOG_QUOTED(slice_cstr(config->issuer)), PACKAGE_VERSION);
    service_notify("READY=1\nSTATUS=serving");
    serve(iss, signal_fd);
    log_event(LOG_LEVEL_INFO, "stopping", "stop_s=%lld", (long long)config->stop_s);
    service_notify("STOPPING=1");
    issuer_stop(iss);
    log_event(LOG_LEVEL_INFO, "stopped", "status=0");
    return EXIT_DONE;
}

static int
run(int argc, char **argv)
{
    struct command_line line;
    int status = read_command_line(argc, argv, &line);
    if (status != EXIT_DONE)
        return status < 0 ? EXIT_DONE : status;
    mallopt(M_ARENA_MAX, 2); /* an arena a thread would cost more memory than it saves time */
    struct attest_error err;
    struct issuer_config config = {0};
    if (config_load(&issuer_config_schema, line.config_path, (const char *const *)environ, &config,
                    &err))
        return complain(&err);
    log_init("attestd", (enum log_level)config.log_level);
    if (issuer_config_check(&config, &err))
        status = complain(&err);
    else if (line.check_config)
        puts("attestd: the configuration is fine");
    else
        status = start_and_serve(&config, line.open_mint);
    config_done(&issuer_config_schema, &config);
    return status;
}

int
main(int argc, char **argv)
{
    return output_end("attestd", run(argc, argv));
}
