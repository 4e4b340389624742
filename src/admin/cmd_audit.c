/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "admin/checkpoint.h"
#include "admin/command.h"
#include "admin/daemons.h"
#include "chainlog/verify.h"
#include "jwks/jwk.h"

static enum exit_status
log_dir(const struct options *o, char **args, int n_args, char *room, size_t room_size,
        const char **ret)
{
    *ret = n_args ? args[0] : NULL;
    if (*ret)
        return EXIT_DONE;
    AUTO(signer_settings) struct signer_config settings = {0};
    struct attest_error err = {0};
    if (signer_settings(o->config, &settings, &err))
        return complain(EXIT_FAILED, "%s; correct it, or name the log's directory", err.text);
    if (!settings.state_dir)
        return complain(EXIT_USAGE, "which log? name its directory, or give --config");
    int n = snprintf(room, room_size, "%s/log", settings.state_dir);
    if (n < 0 || (size_t)n >= room_size)
        return complain(EXIT_USAGE, "state_dir is too long");
    *ret = room;
    return EXIT_DONE;
}

static void
print_report(const struct options *o, const struct chainlog_report *r)
{
    char head[2 * SHA256_LEN + 1];
    hex_encode(head, r->head.hash, sizeof(r->head.hash));
    /* What the log key vouches for; nothing was judged without it. */
    const struct {
        const char *name;
        uint64_t value;
    } facts[] = {
        {"seq", r->head.seq},
        {"segments", r->segments},
        {"records", r->records},
        {"voided", r->voided},
        {"checkpoints", r->checkpoints},
        {"torn_bytes", r->torn_len},
        {"vouched_to", r->checkpoint_seq},
    };
    if (o->json)
        printf("{\"ok\":true,\"head\":\"%s\"", head);
    else
        printf("%-11s  %s\n", "head", head);
    for (size_t i = 0; i < ARRAY_LEN(facts); i++)
        printf(o->json ? ",\"%s\":%llu" : "%-11s  %llu\n", facts[i].name,
               (unsigned long long)facts[i].value);
    if (o->json)
        printf("}\n");
}

/* "X", or "X.Y" for a P-256 key. */
static bool
read_log_key(const char *text, struct pubkey *ret)
{
    size_t x_len = strcspn(text, ".");
    const char *y = text[x_len] ? text + x_len + 1 : text + x_len;
    return !jwk_decode(ret, text[x_len] ? PUBKEY_P256 : PUBKEY_ED25519, (struct slice){text, x_len},
                       slice_cstr(y));
}

/* The chain: nothing was changed, taken out or put in. With the log key: and it says so itself. */
enum exit_status
cmd_audit_verify(const struct options *o, char **args, int n_args)
{
    char room[4096];
    const char *dir;
    struct pubkey log_key;
    struct chainlog_checks checks = {.ctx = &log_key};
    if (o->log_key) {
        if (!read_log_key(o->log_key, &log_key))
            return complain(EXIT_USAGE,
                            "--log-key takes the x that attestctl key list --json shows, and of a "
                            "key in a TPM X.Y");
        checks.checkpoint = checkpoint_judge;
    }
    enum exit_status status = log_dir(o, args, n_args, room, sizeof(room), &dir);
    if (status)
        return status;
    struct chainlog_report r = {0};
    struct attest_error err = {0};
    enum attest_rc rc = chainlog_verify(dir, &checks, &r, &err);
    if (rc == ATTEST_E_CORRUPT)
        return refuse(o, "%s", err.text);
    if (rc)
        return report(o, &err, "name the log's directory, and run this as a user who may read it");
    print_report(o, &r);
    return EXIT_DONE;
}
