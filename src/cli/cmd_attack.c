/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/attack.h"
#include "cli/command.h"

static enum exit_status attack(const struct cli_args *args);

const struct cli_command cmd_attack = {
    .name = "attack",
    .summary = "attack a verifier in every way known here",
    .operands = "",
    .operands_max = 0,
    .options =
        {
            {"only", "ATTACK", NULL, "this one alone; may be given several times", NULL, true},
        },
    .text = "Makes keys and a verifier of libattest in this process, and attacks it with real\n"
            "tokens, key sets and HTTP answers. Nothing else is touched, and nobody is asked.\n"
            "A table shows what each attack tried, with which codes it was refused, and what\n"
            "that shows. Ends with 1 when anything got through.\n\n"
            "  attest attack\n"
            "  attest attack --only alg_none --only token_replay --json\n",
    .run = attack,
};

static const struct attack *const groups[] = {
    attacks_on_identity, attacks_on_claims, attacks_on_time,     attacks_on_jose,
    attacks_on_crypto,   attacks_on_keys,   attacks_on_fetching, attacks_on_memory,
};

struct tally {
    size_t attacks, tries;
    size_t of[ATTACK_OUTCOMES];
};

/* ---- for people ---- */

/* "1003 1008", in order and each once. */
static void
list_codes(const struct attack_run *run, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (int code = ATTEST_E_EXPIRED; code <= ATTEST_E_PROOF; code++) {
        bool there = false;
        for (size_t i = 0; i < run->n; i++)
            there |= run->tries[i].got == code;
        if (there && len + 6 < size)
            len += (size_t)snprintf(out + len, size - len, "%s%d", len ? " " : "", code);
    }
}

static const char *
outcome_text(enum attack_outcome outcome)
{
    static const char *const texts[ATTACK_OUTCOMES] = {
        [ATTACK_REFUSED] = "refused",        [ATTACK_WRONG] = "WRONG CODE",
        [ATTACK_THROUGH] = "GOT THROUGH",    [ATTACK_VOID] = "says nothing",
        [ATTACK_NOT_BUILT] = "not built in",
    };
    return texts[outcome];
}

static void
print_row(const struct attack *attack, const struct attack_run *run)
{
    char codes[ATTACK_CODES_MAX * 6 + 1];
    list_codes(run, codes, sizeof(codes));
    printf("%-22s  %-12s  %5zu  %-24s  %s\n", attack->id, outcome_text(attack_outcome(run)), run->n,
           codes, attack->proves);
    for (size_t i = 0; i < run->n; i++) {
        const struct attack_try *t = &run->tries[i];
        if (t->got == ATTEST_OK)
            printf("    got through: %s (%d was due)\n", t->name, t->expected);
        else if (t->got != t->expected)
            printf("    wrong code: %s (%d came, %d was due)\n", t->name, t->got, t->expected);
    }
    if (run->broken != ATTEST_OK)
        printf("    %s\n", run->text);
}

static void
print_end(const struct tally *tally)
{
    printf("\n%zu attacks, %zu tries: ", tally->attacks, tally->tries);
    if (tally->of[ATTACK_THROUGH])
        printf("%zu got through\n", tally->of[ATTACK_THROUGH]);
    else if (tally->of[ATTACK_VOID] + tally->of[ATTACK_WRONG] + tally->of[ATTACK_NOT_BUILT])
        printf("none got through, but %zu were refused for another reason, %zu say nothing and %zu "
               "are not built in\n",
               tally->of[ATTACK_WRONG], tally->of[ATTACK_VOID], tally->of[ATTACK_NOT_BUILT]);
    else
        printf("none got through\n");
}

/* ---- for machines ---- */

static void
put_row(struct buf *out, const struct attack *attack, const struct attack_run *run)
{
    buf_printf(out, "%s{\"attack\":\"%s\",\"outcome\":\"%s\",\"proves\":",
               out->p[out->len - 1] == '[' ? "" : ",", attack->id,
               attack_outcome_name(attack_outcome(run)));
    json_put_string(out, slice_cstr(attack->proves));
    buf_str(out, ",\"error\":");
    if (run->broken != ATTEST_OK)
        json_put_string(out, slice_cstr(run->text));
    else
        buf_str(out, "null");
    buf_str(out, ",\"tries\":[");
    for (size_t i = 0; i < run->n; i++) {
        const struct attack_try *t = &run->tries[i];
        buf_printf(out, "%s{\"name\":", i ? "," : "");
        json_put_string(out, slice_cstr(t->name));
        buf_printf(out, ",\"expected\":%d,\"code\":%d,\"through\":%s}", t->expected, t->got,
                   t->got == ATTEST_OK ? "true" : "false");
    }
    buf_str(out, "]}");
}

static void
put_end(struct buf *out, const struct tally *tally)
{
    buf_printf(out, "],\"attacks_total\":%zu,\"tries_total\":%zu", tally->attacks, tally->tries);
    for (enum attack_outcome o = 0; o < ATTACK_OUTCOMES; o++)
        buf_printf(out, ",\"%s\":%zu", attack_outcome_name(o), tally->of[o]);
    buf_printf(out, ",\"version\":\"%s\"}", attest_version());
}

/* ---- the run ---- */

static bool
is_wanted(const struct cli_args *args, const char *id)
{
    const char *name;
    if (!cli_value(args, "only"))
        return true;
    for (size_t i = 0; (name = cli_value_at(args, "only", i)); i++) {
        if (strcmp(name, id) == 0)
            return true;
    }
    return false;
}

static bool
is_attack(const char *id)
{
    for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
        for (const struct attack *a = groups[g]; a->id; a++) {
            if (strcmp(a->id, id) == 0)
                return true;
        }
    }
    return false;
}

static enum exit_status
status_of(const struct tally *tally, bool asked_for)
{
    if (tally->of[ATTACK_THROUGH] || tally->of[ATTACK_WRONG])
        return EXIT_REFUSED;
    if (tally->of[ATTACK_VOID])
        return cli_complain(EXIT_FAILED, cmd_attack.name,
                            "some attacks could not be made; see what the table says of them");
    /* Without a fetch there is nothing to attack in it; but who asks for that is told. */
    if (tally->of[ATTACK_NOT_BUILT] && (asked_for || tally->of[ATTACK_NOT_BUILT] == tally->attacks))
        return cli_complain(EXIT_FAILED, cmd_attack.name,
                            "not everything that was asked for is built in");
    return EXIT_DONE;
}

static enum exit_status
attack(const struct cli_args *args)
{
    struct tally tally = {0};
    AUTO(mem) struct attack_run *run = malloc(sizeof(*run));
    AUTO(buf) struct buf json;
    const char *id;
    buf_init(&json, 1 << 20);
    buf_str(&json, "{\"attacks\":[");
    if (!run || buf_rc(&json))
        return cli_complain(EXIT_FAILED, cmd_attack.name, "out of memory; try again");
    for (size_t i = 0; (id = cli_value_at(args, "only", i)); i++) {
        if (!is_attack(id))
            return cli_complain(EXIT_USAGE, cmd_attack.name,
                                "there is no attack '%s'; attest attack lists them all", id);
    }
    if (!args->json)
        printf("%-22s  %-12s  %5s  %-24s  %s\n", "attack", "outcome", "tries", "codes",
               "shows that");
    for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
        for (const struct attack *a = groups[g]; a->id; a++) {
            if (!is_wanted(args, a->id))
                continue;
            memset(run, 0, sizeof(*run));
            a->run(run);
            tally.attacks++;
            tally.tries += run->n;
            tally.of[attack_outcome(run)]++;
            if (args->json)
                put_row(&json, a, run);
            else
                print_row(a, run);
        }
    }
    if (!args->json) {
        print_end(&tally);
        return status_of(&tally, cli_value(args, "only") != NULL);
    }
    put_end(&json, &tally);
    if (buf_rc(&json))
        return cli_complain(EXIT_FAILED, cmd_attack.name, "out of memory; try again");
    printf("%.*s\n", SLICE_ARG(buf_view(&json)));
    return status_of(&tally, cli_value(args, "only") != NULL);
}
