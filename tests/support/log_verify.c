/* SPDX-License-Identifier: MIT */
/*
 * Verifies an issuance log, its checkpoints included, and holds received tokens against it.
 *
 *     log_verify DIR ISSUER [--log-key X] [--tokens FILE] [--events]
 *
 * X is the log key's public part in base64url; without it checkpoints are counted, not verified.
 * FILE is what signer_load wrote: each of its tokens must have exactly one record that counts.
 * Prints one line of JSON; with --events then a line "N OP KID ACTIVE" for each record of an event,
 * in order, "?" for what it does not have. Exit status: 0 good, 1 not, 3 could not be done.
 */
#include <getopt.h>
#include <string.h>

#include "base/b64u.h"
#include "base/file.h"
#include "chainlog/verify.h"
#include "jwks/jwk.h"

enum { TOKENS_MAX = 64 << 20 };

struct audit {
    const char *issuer;
    struct pubkey log_key;
    struct buf records; /* lines "jti sha256 kid" of the sign records that count */
    struct buf ops;     /* the other ops, in order, blanks between */
    struct buf events;
    unsigned long signs;
};

static struct slice
text(const struct chainlog_record *r, const char *name)
{
    const struct json_node *node = json_member(r->json, r->root, name);
    return node && node->type == JSON_STRING ? node->text : (struct slice){"?", 1};
}

static enum attest_rc
visit(void *ctx, const struct chainlog_record *r, bool is_void, struct attest_error *err)
{
    struct audit *a = ctx;
    if (is_void)
        return ATTEST_OK;
    if (!slice_is(r->op, "sign")) {
        int64_t event;
        buf_printf(&a->ops, "%.*s ", SLICE_ARG(r->op));
        if (json_int64(json_member(r->json, r->root, "event"), &event))
            buf_printf(&a->events, "%lld %.*s %.*s %.*s\n", (long long)event, SLICE_ARG(r->op),
                       SLICE_ARG(text(r, "kid")), SLICE_ARG(text(r, "active")));
        return ATTEST_OK;
    }
    if (!slice_is(text(r, "iss"), a->issuer))
        return error_set(err, ATTEST_E_CORRUPT, "a record of another issuer");
    a->signs++;
    buf_printf(&a->records, "%.*s %.*s %.*s\n", SLICE_ARG(text(r, "jti")),
               SLICE_ARG(text(r, "token_sha256")), SLICE_ARG(text(r, "kid")));
    return buf_rc(&a->records);
}

/* HEADER.PAYLOAD.SIGNATURE by the log key. */
static enum attest_rc
checkpoint(void *ctx, struct slice jws, struct chainlog_head *ret, struct attest_error *err)
{
    struct audit *a = ctx;
    char payload[1024];
    uint8_t sig[PUBKEY_SIG_LEN];
    size_t len;
    JSON_NODES(j, 32);
    static const struct json_limits limits = {1024, 512, 2, 16};
    const char *dot = memchr(jws.p, '.', jws.len);
    const char *last = dot ? memchr(dot + 1, '.', jws.len - (size_t)(dot + 1 - jws.p)) : NULL;
    if (!last)
        return error_set(err, ATTEST_E_MALFORMED, "a checkpoint that is no JWS");
    struct slice middle = {dot + 1, (size_t)(last - dot - 1)};
    struct slice end = {last + 1, jws.len - (size_t)(last + 1 - jws.p)};
    if (!b64u_decode_exact(sig, sizeof(sig), end) ||
        !pubkey_verify(&a->log_key, (struct slice){jws.p, (size_t)(last - jws.p)}, sig))
        return error_set(err, ATTEST_E_SIGNATURE, "a checkpoint that the log key did not sign");
    int64_t seq;
    if (!b64u_decode(payload, sizeof(payload), &len, middle) ||
        json_read(&j, payload, len, &limits, err) ||
        !json_int64(json_member(&j, json_root(&j), "seq"), &seq))
        return error_set(err, ATTEST_E_MALFORMED, "a checkpoint without a sequence number");
    const struct json_node *iss = json_member(&j, json_root(&j), "iss");
    const struct json_node *head = json_member(&j, json_root(&j), "head");
    if (!iss || !slice_is(iss->text, a->issuer) || !head ||
        !hex_decode(ret->hash, SHA256_LEN, head->text))
        return error_set(err, ATTEST_E_CORRUPT, "a checkpoint of another log");
    ret->seq = (uint64_t)seq;
    return ATTEST_OK;
}

/* "X", or "X.Y" for a P-256 key. */
static bool
read_log_key(const char *arg, struct pubkey *ret)
{
    const char *dot = strchr(arg, '.');
    struct slice x = {arg, dot ? (size_t)(dot - arg) : strlen(arg)};
    return !jwk_decode(ret, dot ? PUBKEY_P256 : PUBKEY_ED25519, x, slice_cstr(dot ? dot + 1 : ""));
}

static int
compare_lines(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The lines of a buffer, which is cut into strings, sorted. */
static char **
sorted_lines(struct buf *b, size_t *n)
{
    size_t max = 1;
    for (size_t i = 0; i < b->len; i++)
        max += b->p[i] == '\n';
    char **lines = calloc(max, sizeof(*lines));
    *n = 0;
    if (!lines || !buf_terminate(b))
        abort();
    for (char *save = NULL, *line = strtok_r(b->p, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save))
        lines[(*n)++] = line;
    qsort(lines, *n, sizeof(*lines), compare_lines);
    return lines;
}

/* How many tokens have not exactly one record; both lists are sorted. */
static unsigned long
unrecorded(char **tokens, size_t n_tokens, char **records, size_t n_records)
{
    unsigned long bad = 0;
    size_t r = 0;
    for (size_t t = 0; t < n_tokens; t++) {
        while (r < n_records && strcmp(records[r], tokens[t]) < 0)
            r++;
        size_t same = 0;
        while (r + same < n_records && strcmp(records[r + same], tokens[t]) == 0)
            same++;
        bad += same != 1;
    }
    return bad;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"log-key", required_argument, NULL, 'k'},
                                            {"tokens", required_argument, NULL, 't'},
                                            {"events", no_argument, NULL, 'e'},
                                            {0}};
    bool events = false;
    const char *tokens_path = NULL;
    struct audit audit = {0};
    struct chainlog_checks checks = {.visit = visit, .ctx = &audit};
    struct attest_error err = {0};
    if (crypto_init(&err))
        return 3;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 't')
            tokens_path = optarg;
        else if (c == 'e')
            events = true;
        else if (c != 'k' || !read_log_key(optarg, &audit.log_key))
            return 3;
        else
            checks.checkpoint = checkpoint;
    }
    if (argc - optind != 2)
        return 3;
    audit.issuer = argv[optind + 1];
    buf_init(&audit.records, TOKENS_MAX);
    buf_init(&audit.ops, TOKENS_MAX);
    buf_init(&audit.events, TOKENS_MAX);
    AUTO(buf) struct buf tokens;
    buf_init(&tokens, TOKENS_MAX);
    if (tokens_path && file_read(tokens_path, TOKENS_MAX, &tokens, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 3;
    }
    struct chainlog_report report;
    enum attest_rc rc = chainlog_verify(argv[optind], &checks, &report, &err);
    if (rc) {
        fprintf(stderr, "segment %u line %llu: %s\n", report.segment,
                (unsigned long long)report.line, err.text);
        return 1;
    }
    size_t n_tokens = 0, n_records = 0;
    AUTO(mem) char **token_lines = sorted_lines(&tokens, &n_tokens);
    AUTO(mem) char **record_lines = sorted_lines(&audit.records, &n_records);
    unsigned long bad = unrecorded(token_lines, n_tokens, record_lines, n_records);
    printf("{\"segments\":%llu,\"records\":%llu,\"void\":%llu,\"signs\":%lu,\"checkpoints\":%llu,"
           "\"checkpoint_seq\":%llu,\"seq\":%llu,\"torn\":%zu,\"tokens\":%zu,\"unrecorded\":%lu,"
           "\"ops\":\"%.*s\"}\n",
           (unsigned long long)report.segments, (unsigned long long)report.records,
           (unsigned long long)report.voided, audit.signs, (unsigned long long)report.checkpoints,
           (unsigned long long)report.checkpoint_seq, (unsigned long long)report.head.seq,
           report.torn_len, n_tokens, bad, SLICE_ARG(buf_view(&audit.ops)));
    if (events)
        printf("%.*s", SLICE_ARG(buf_view(&audit.events)));
    buf_done(&audit.records);
    buf_done(&audit.ops);
    buf_done(&audit.events);
    return bad || report.torn_len ? 1 : 0;
}
