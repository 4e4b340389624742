/* SPDX-License-Identifier: MIT */

/*
 * A server that lets agents in by their attestation; docs/verifier.md goes through it.
 *
 *     cc -o server server.c $(pkg-config --cflags --libs libattest libmicrohttpd)
 *     ./server -k root.jwk https://ai.example.com https://mcp.example.com 8000
 *
 *     curl -H "Authorization: Bearer $(cat token)" http://127.0.0.1:8000/
 *
 *     -k root.jwk       the issuer's root key, by a way that you trust. Without it whoever serves
 *                       the issuer's key set is believed
 *     -r redis://HOST   all servers that name this Redis or Valkey accept a token once between
 *                       them; one that no verifier knows yet costs 503 for minutes
 *                       (docs/verifier.md, "Replay"). Without it this process remembers by itself
 *
 * For a bound token the proof comes in a field of its own: Attestation-Proof. There is no TLS here;
 * put yours in front, for a token is a secret until it was used.
 */
#define _GNU_SOURCE /* asprintf() */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <attest/attest.h>
#include <microhttpd.h>

/* ---- the verifier: made once, shared by all threads ---- */

static struct attest_policy *
make_policy(const char *issuer, const char *audience, struct attest_error *err)
{
    struct attest_policy *policy = NULL;
    if (attest_policy_new(&policy, err) == ATTEST_OK &&
        attest_policy_add_audience(policy, audience, err) == ATTEST_OK &&
        /* Remove this line: http:// to this machine, for trying it out. */
        attest_policy_allow_loopback_http(policy, err) == ATTEST_OK &&
        attest_policy_add_issuer(policy, issuer, ATTEST_TRUST_PROVIDER, err) == ATTEST_OK &&
        attest_policy_freeze(policy, err) == ATTEST_OK)
        return policy;
    attest_policy_free(policy);
    return NULL;
}

static void
on_event(void *ctx, const struct attest_event *event)
{
    const char *issuer = attest_event_issuer(event), *state = attest_event_state(event);
    (void)ctx;
    fprintf(stderr, "%s code=%d issuer=%s state=%s %s\n",
            attest_event_name(attest_event_kind(event)), (int)attest_event_code(event),
            issuer ? issuer : "-", state ? state : "-", attest_event_text(event));
}

/* Once for the life of the process: what one store has seen, another would accept again. */
static struct attest_replay *
make_store(const char *redis, struct attest_error *err)
{
    struct attest_replay *store = NULL;
    enum attest_rc rc = redis ? attest_replay_new_redis(redis, 0, &store, err)
                              : attest_replay_new_memory(0, &store, err);
    return rc == ATTEST_OK ? store : NULL;
}

static struct attest_keys *
make_keys(const char *issuer, const char *root, struct attest_error *err)
{
    struct attest_keys *keys = NULL;
    if (attest_keys_new(&keys, err) == ATTEST_OK &&
        (!root || attest_keys_pin_root_file(keys, issuer, root, err) == ATTEST_OK))
        return keys;
    attest_keys_free(keys);
    return NULL;
}

static struct attest_verifier *
make_verifier(struct attest_policy *policy, struct attest_keys *keys, struct attest_replay *store,
              struct attest_error *err)
{
    struct attest_verifier *verifier = NULL;
    if (attest_verifier_new_fetching(policy, keys, store, NULL, &verifier, err) == ATTEST_OK &&
        attest_verifier_on_event(verifier, on_event, NULL, err) == ATTEST_OK &&
        attest_verifier_start_thread(verifier, err) == ATTEST_OK)
        return verifier;
    attest_verifier_free(verifier);
    return NULL;
}

/* ---- one request ---- */

/* Hands text over: it is free()d when it was sent. retry_after_s NULL: no use to try again. */
static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned status, const char *retry_after_s,
       const char *type, char *text)
{
    struct MHD_Response *response =
        text ? MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE) : NULL;
    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (retry_after_s)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, retry_after_s);
    enum MHD_Result sent = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return sent;
}

static const char *
field(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* NULL: no token was shown. */
static const char *
bearer(struct MHD_Connection *connection)
{
    const char *value = field(connection, MHD_HTTP_HEADER_AUTHORIZATION);
    return value && strncasecmp(value, "Bearer ", 7) == 0 ? value + 7 : NULL;
}

static char *
greeting(const struct attest_result *result)
{
    char *text = NULL;
    int n = attest_result_verified(result)
                ? asprintf(&text, "welcome, %s (trust: %s)\n", attest_result_subject(result),
                           attest_trust_name(attest_result_trust(result)))
                : asprintf(&text, "welcome, whoever you are\n");
    return n < 0 ? NULL : text;
}

static enum MHD_Result
serve(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
      const char *version, const char *upload, size_t *upload_len, void **state)
{
    struct attest_verifier *verifier = ctx;
    (void)method, (void)version, (void)upload, (void)upload_len, (void)state;
    if (strcmp(url, "/metrics") == 0) /* yours is not where strangers can read it */
        return answer(connection, MHD_HTTP_OK, NULL, "text/plain; version=0.0.4",
                      attest_verifier_metrics(verifier));

    const char *token = bearer(connection), *proof = field(connection, "Attestation-Proof");
    struct attest_result *result = NULL;
    enum attest_rc rc = attest_verifier_check_traced(verifier, token, token ? strlen(token) : 0,
                                                     proof, proof ? strlen(proof) : 0,
                                                     field(connection, "traceparent"), &result);
    if (!result)
        return MHD_NO; /* out of memory: nothing was decided, so nobody is let in */
    enum MHD_Result sent;
    if (rc == ATTEST_OK)
        sent = answer(connection, MHD_HTTP_OK, NULL, "text/plain", greeting(result));
    else if (!attest_result_retry(result))
        sent = answer(connection, MHD_HTTP_UNAUTHORIZED, NULL, "application/json",
                      attest_result_to_json(result));
    else /* keys come soon; a memory that was lost refuses, for minutes, tokens of before */
        sent = answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                      attest_result_error_code(result) == ATTEST_E_REPLAY_STORE ? "60" : "5",
                      "application/json", attest_result_to_json(result));
    attest_result_free(result);
    return sent;
}

/* ---- the program ---- */

/* 1 to 65535, and nothing before or after it; 0 for anything else. */
static uint16_t
port_of(const char *text)
{
    size_t n = strspn(text, "0123456789");
    unsigned long port = n > 0 && n <= 5 && text[n] == '\0' ? strtoul(text, NULL, 10) : 0;
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

struct options {
    const char *root, *redis, *issuer, *audience;
    uint16_t port;
};

static bool
read_options(int argc, char **argv, struct options *ret)
{
    for (int option; (option = getopt(argc, argv, "k:r:")) != -1;) {
        if (option == 'k')
            ret->root = optarg;
        else if (option == 'r')
            ret->redis = optarg;
        else
            return false;
    }
    if (argc - optind != 3)
        return false;
    ret->issuer = argv[optind];
    ret->audience = argv[optind + 1];
    ret->port = port_of(argv[optind + 2]);
    return ret->port != 0;
}

static struct attest_verifier *
set_up(const struct options *o, struct attest_error *err)
{
    struct attest_policy *policy = make_policy(o->issuer, o->audience, err);
    struct attest_keys *keys = policy ? make_keys(o->issuer, o->root, err) : NULL;
    struct attest_replay *store = keys ? make_store(o->redis, err) : NULL;
    struct attest_verifier *verifier = store ? make_verifier(policy, keys, store, err) : NULL;
    attest_replay_free(store); /* the verifier holds what it needs */
    attest_keys_free(keys);
    attest_policy_free(policy);
    return verifier;
}

int
main(int argc, char **argv)
{
    struct attest_error err = {ATTEST_OK, ""};
    struct options options = {0};
    struct sockaddr_in at = {.sin_family = AF_INET};
    sigset_t ends;
    int which;
    if (!read_options(argc, argv, &options)) {
        fputs("usage: server [-k ROOT.jwk] [-r REDIS] ISSUER AUDIENCE PORT\n", stderr);
        return 2;
    }
    at.sin_port = htons(options.port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);

    struct attest_verifier *verifier = set_up(&options, &err);
    if (!verifier) {
        fprintf(stderr, "server: %s\n", err.text);
        return 3;
    }
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, serve, verifier,
                         MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at, MHD_OPTION_THREAD_POOL_SIZE,
                         4u, MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
    if (daemon) {
        fputs("ready\n", stderr);
        sigwait(&ends, &which);
        MHD_stop_daemon(daemon); /* no check runs any more */
    } else {
        fputs("server: cannot listen on that port\n", stderr);
    }
    attest_verifier_free(verifier);
    return daemon ? 0 : 3;
}
