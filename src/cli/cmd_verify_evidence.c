/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/b64u.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "evidence/document.h"
#include "fetch/fetch.h"
#include "token/subject.h"

#define EVIDENCE_PATH "/.well-known/attestation-evidence"
#define URL_LEN_MAX 2048
#define EXPECT_FILE_MAX 16384
#define NONCE_TEXT_LEN 43
#define FETCH_TIMEOUT_MS 30000

static enum exit_status verify_evidence(const struct cli_args *args);

const struct cli_command cmd_verify_evidence = {
    .name = "verify-evidence",
    .summary = "check what a TPM says about an issuer's key set",
    .operands = "[FILE|URL|-]",
    .operands_max = 1,
    .options =
        {
            {"ak", "FILE", NULL, "the attestation key: its public area, or its name in hex", NULL},
            {"expect-pcrs", "FILE", NULL, "values that the PCRs must have, as tpm2_pcrread prints",
             NULL},
            {"nonce", "NONCE", NULL, "that the evidence was asked for with; a URL gets a new one",
             NULL},
            {"save-key-set", "FILE", NULL, "where the key set goes when all is well", NULL},
        },
    .text =
        "Checks evidence in a file, or asks the issuer at URL for it with a nonce of its own. The\n"
        "attestation key and the PCRs come from the issuer's operator, not from the evidence.\n"
        "Exit status 0 when every check held, 1 when one did not, 3 when nothing could be said.\n\n"
        "It shows that software which may use this key, on the TPM that holds it and with these\n"
        "PCRs, vouched for this key set; not what that software was beyond the PCRs.\n"
        "Without --nonce a file may be as old as it likes.\n\n"
        "  attest verify-evidence --ak issuer.ak --expect-pcrs golden.pcrs "
        "https://ai.example.com\n",
    .run = verify_evidence,
};

static enum exit_status
failed(const struct attest_error *err, const char *next)
{
    return cli_complain(EXIT_FAILED, cmd_verify_evidence.name, "%s; %s", err->text, next);
}

/* ---- what is expected ---- */

struct expected {
    uint8_t ak_name[TPM_NAME_LEN], nonce[EVIDENCE_NONCE_LEN];
    struct tpm_pcrs pcrs;
    bool fresh; /* the nonce is ours */
};

static enum exit_status
read_expected(const struct cli_args *args, struct expected *to)
{
    const char *ak, *pcrs, *nonce = cli_value(args, "nonce");
    AUTO(buf) struct buf ak_file;
    AUTO(buf) struct buf pcrs_file;
    struct attest_error err = {0};
    buf_init(&ak_file, EXPECT_FILE_MAX);
    buf_init(&pcrs_file, EXPECT_FILE_MAX);
    if (!cli_need(args, "ak", &ak) || !cli_need(args, "expect-pcrs", &pcrs))
        return EXIT_USAGE;
    if (nonce && !b64u_decode_exact(to->nonce, sizeof(to->nonce), slice_cstr(nonce)))
        return cli_complain(EXIT_USAGE, cmd_verify_evidence.name,
                            "--nonce takes 32 bytes in base64url, %d characters", NONCE_TEXT_LEN);
    to->fresh = nonce;
    if (file_read(ak, EXPECT_FILE_MAX, &ak_file, &err) ||
        evidence_pin_read(buf_view(&ak_file), to->ak_name, &err))
        return failed(&err, "--ak takes the attestation key as the issuer's operator has it");
    if (file_read(pcrs, EXPECT_FILE_MAX, &pcrs_file, &err) ||
        evidence_pcrs_read(buf_view(&pcrs_file), &to->pcrs, &err))
        return failed(&err, "--expect-pcrs takes what tpm2_pcrread sha256:… prints");
    return EXIT_DONE;
}

/* ---- where it comes from ---- */

static enum exit_status
judge_answer(const struct fetch_answer *answer)
{
    static const struct {
        long status;
        const char *what;
    } list[] = {
        {404, "the issuer gives no evidence; its keys may not be sealed by a TPM"},
        {429, "the issuer gives evidence once a second; try again"},
        {503, "the issuer's TPM or signer is out of reach; try again later"},
    };
    if (answer->status == 200)
        return EXIT_DONE;
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        if (list[i].status == answer->status)
            return cli_complain(EXIT_FAILED, cmd_verify_evidence.name, "%s", list[i].what);
    }
    return cli_complain(EXIT_FAILED, cmd_verify_evidence.name,
                        "the issuer answers with status %ld; is this its URL", answer->status);
}

/* Of an issuer's URL, or of the address of its evidence. */
static struct slice
base_of(const char *url)
{
    struct slice base = slice_cstr(url);
    if (base.len > strlen(EVIDENCE_PATH) &&
        strcmp(url + base.len - strlen(EVIDENCE_PATH), EVIDENCE_PATH) == 0)
        base.len -= strlen(EVIDENCE_PATH);
    return issuer_base(base);
}

static enum exit_status
fetch_evidence(const char *issuer, struct expected *expected, struct buf *text)
{
    char url[URL_LEN_MAX], nonce[NONCE_TEXT_LEN + 1] = "";
    AUTO(fetch_answer) struct fetch_answer answer = {0};
    struct attest_error err = {0};
    struct slice base = base_of(issuer);
    if (issuer[strcspn(issuer, "?#")])
        return cli_complain(EXIT_USAGE, cmd_verify_evidence.name,
                            "the URL must end before its '?' or '#': the nonce is put behind it "
                            "here, a new one or that of --nonce");
    if (!expected->fresh)
        random_bytes(expected->nonce, sizeof(expected->nonce));
    expected->fresh = true;
    b64u_encode(nonce, expected->nonce, sizeof(expected->nonce));
    int n = snprintf(url, sizeof(url), "%.*s" EVIDENCE_PATH "?nonce=%s", SLICE_ARG(base), nonce);
    if (n < 0 || n >= URL_LEN_MAX)
        return cli_complain(EXIT_USAGE, cmd_verify_evidence.name, "the URL is too long");
    const struct fetch_request request = {
        .url = url,
        .type = "application/json",
        .answer_max = EVIDENCE_DOCUMENT_MAX,
        .timeout_ms = FETCH_TIMEOUT_MS,
    };
    enum attest_rc rc = fetch_init(&err);
    if (!rc)
        rc = fetch_once(&request, &answer, &err);
    if (rc == ATTEST_E_CONFIG)
        return cli_complain(EXIT_USAGE, cmd_verify_evidence.name, "%s", err.text);
    if (rc)
        return failed(&err, rc == ATTEST_E_UNSUPPORTED
                                ? "fetch it with another program, and give the file"
                                : "is attestd running there");
    buf_slice(text, buf_view(&answer.body));
    return judge_answer(&answer);
}

static enum exit_status
obtain(const char *from, struct expected *expected, struct buf *text)
{
    struct attest_error err = {0};
    if (from && strstr(from, "://"))
        return fetch_evidence(from, expected, text);
    if (file_read(from ? from : "-", EVIDENCE_DOCUMENT_MAX, text, &err))
        return failed(&err, "a file with evidence, or an issuer's URL expected");
    if (!from && !text->len)
        return cli_complain(EXIT_USAGE, cmd_verify_evidence.name,
                            "evidence is missing: a file, an issuer's URL, or standard input");
    return EXIT_DONE;
}

/* ---- what comes of it ---- */

struct outcome {
    struct evidence_document document;
    struct evidence_verdict verdict;
    struct expected expected;
    struct attest_error err;
    bool readable, verified;
};

static const char *
result_of(const struct outcome *o, unsigned check)
{
    if (o->readable && check == (unsigned)o->verdict.failed)
        return "refused";
    bool made = o->readable && check < (unsigned)o->verdict.failed;
    return made && (check != EVIDENCE_NONCE || o->expected.fresh) ? "ok" : "not made";
}

static void
print_table(const struct outcome *o)
{
    char name[2 * TPM_NAME_LEN + 1], digest[2 * SHA256_LEN + 1];
    uint8_t hash[SHA256_LEN];
    for (unsigned i = 0; i < EVIDENCE_CHECKS; i++)
        printf("%-24s%s\n", evidence_check_name((enum evidence_check)i), result_of(o, i));
    if (!o->verified) {
        printf("refused: %s\n", o->err.text);
        return;
    }
    hex_encode(name, o->verdict.ak.name, TPM_NAME_LEN);
    sha256(hash, o->document.evidence.key_set.p, o->document.evidence.key_set.len);
    hex_encode(digest, hash, sizeof(hash));
    printf("verified: key %s vouched for the key set %s%s\n", name, digest,
           o->expected.fresh ? "" : "; nobody knows when: there was no --nonce");
}

static void
write_pcrs(const struct tpm_pcrs *pcrs, struct buf *out)
{
    const char *comma = "";
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        char hex[2 * SHA256_LEN + 1];
        if (!(pcrs->chosen >> i & 1))
            continue;
        hex_encode(hex, pcrs->values[i], SHA256_LEN);
        buf_printf(out, "%s\"%u\":\"%s\"", comma, i, hex);
        comma = ",";
    }
}

static void
write_json(const struct outcome *o, struct buf *out)
{
    char name[2 * TPM_NAME_LEN + 1], digest[2 * SHA256_LEN + 1];
    uint8_t hash[SHA256_LEN];
    buf_printf(out, "{\"verified\":%s,\"fresh\":%s,\"error\":", o->verified ? "true" : "false",
               o->verified && o->expected.fresh ? "true" : "false");
    if (o->verified)
        buf_str(out, "null");
    else
        json_put_string(out, slice_cstr(o->err.text));
    buf_str(out, ",\"checks\":[");
    for (unsigned i = 0; i < EVIDENCE_CHECKS; i++)
        buf_printf(out, "%s{\"check\":\"%s\",\"result\":\"%s\"}", i ? "," : "",
                   evidence_check_name((enum evidence_check)i), result_of(o, i));
    buf_str(out, "]");
    if (o->verified) {
        hex_encode(name, o->verdict.ak.name, TPM_NAME_LEN);
        sha256(hash, o->document.evidence.key_set.p, o->document.evidence.key_set.len);
        hex_encode(digest, hash, sizeof(hash));
        buf_printf(out, ",\"ak\":\"%s\",\"key_set_sha256\":\"%s\",\"pcrs\":{\"sha256\":{", name,
                   digest);
        write_pcrs(&o->expected.pcrs, out);
        buf_str(out, "}}");
    }
    buf_str(out, "}\n");
}

static void
judge(struct buf *text, struct outcome *o)
{
    enum attest_rc rc = evidence_document_read(text->p, text->len, &o->document, &o->err);
    if (rc)
        return;
    o->readable = true;
    const struct evidence_expect expect = {
        .ak_name = o->expected.ak_name,
        .pcrs = &o->expected.pcrs,
        .nonce = o->expected.fresh ? o->expected.nonce : NULL,
    };
    rc = evidence_check(&o->document.evidence, &expect, &o->verdict, &o->err);
    o->verified = rc == ATTEST_OK;
}

static void
outcome_auto(struct outcome *o)
{
    evidence_document_done(&o->document);
}

static enum exit_status
verify_evidence(const struct cli_args *args)
{
    AUTO(outcome) struct outcome o = {0};
    AUTO(buf) struct buf text;
    AUTO(buf) struct buf out;
    const char *save = cli_value(args, "save-key-set");
    struct attest_error err = {0};
    buf_init(&text, EVIDENCE_DOCUMENT_MAX);
    buf_init(&out, 16384);
    enum exit_status status = read_expected(args, &o.expected);
    if (status == EXIT_DONE)
        status = obtain(args->operand, &o.expected, &text);
    if (status != EXIT_DONE)
        return status;
    /* A program goes by the exit status: what it installs must not be from before a revocation. */
    if (save && !o.expected.fresh)
        return cli_complain(EXIT_USAGE, cmd_verify_evidence.name,
                            "--save-key-set wants --nonce, or the issuer's URL: nobody knows how "
                            "old this evidence is");
    judge(&text, &o);
    if (args->json) {
        write_json(&o, &out);
        fwrite(out.p, 1, out.len, stdout);
    } else {
        print_table(&o);
    }
    if (o.verified && save && file_replace(save, 0644, o.document.evidence.key_set, &err))
        return failed(&err, "--save-key-set takes the name of a file");
    return o.verified ? EXIT_DONE : EXIT_REFUSED;
}
