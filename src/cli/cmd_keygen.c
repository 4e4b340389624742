/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/keyfile.h"

#define NAME_LEN_MAX 128
#define COMMENT_LEN_MAX 256
#define PATH_LEN_MAX 4096

static enum exit_status keygen(const struct cli_args *args);

const struct cli_command cmd_keygen = {
    .name = "keygen",
    .summary = "make an Ed25519 key pair, or look at one",
    .operands = "",
    .options =
        {
            {"name", "NAME", NULL, "makes NAME_private.pem and NAME_public.pem", NULL},
            {"output-dir", "DIR", NULL,
             "where to, made if only it is missing; else the current one", NULL},
            {"comment", "TEXT", NULL, "a line for people, in the public file", NULL},
            {"format", "FORMAT", NULL, "how to answer: pem (the files' names) or json", "pem|json"},
            {"fingerprint", "FILE", NULL, "print the fingerprint of the key in FILE", NULL},
            {"extract-public", "FILE", NULL, "print the public half of the private key in FILE",
             NULL},
        },
    .text = "Makes a key pair for an agent, in two PEM files that OpenSSL reads too. The private\n"
            "file is readable by its owner alone; a file that is there is never overwritten.\n"
            "A fingerprint is the lower-case hex SHA-256 of the 32 bytes of the public key.\n\n"
            "  attest keygen --name agent --output-dir keys --comment 'build bot'\n"
            "  attest keygen --fingerprint keys/agent_public.pem\n"
            "  attest keygen --extract-public keys/agent_private.pem\n",
    .run = keygen,
};

static enum exit_status
failed(const struct attest_error *err)
{
    return cli_complain(EXIT_FAILED, cmd_keygen.name, "%s", err->text);
}

static bool
name_ok(const char *name)
{
    size_t len = strlen(name);
    return len <= NAME_LEN_MAX && name[0] != '.' && name[0] != '-' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static bool
comment_ok(const char *comment)
{
    for (const char *p = comment; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    }
    /* A line that looks like PEM would be read as PEM. */
    return strlen(comment) <= COMMENT_LEN_MAX && !strstr(comment, "-----");
}

struct pair {
    char private_path[PATH_LEN_MAX], public_path[PATH_LEN_MAX];
    const char *name, *comment;
    uint8_t public_key[ED25519_PUBLIC_LEN];
};

static void
put_member(struct buf *out, const char *name, const char *value)
{
    json_put_string(out, slice_cstr(name));
    buf_char(out, ':');
    json_put_string(out, slice_cstr(value));
}

static void
print_pair(const struct pair *pair, bool as_json)
{
    char fingerprint[2 * SHA256_LEN + 1], now[CLOCK_TEXT_SIZE];
    unsigned char base64[48] = {0};
    keyfile_fingerprint(fingerprint, pair->public_key);
    if (!as_json) {
        printf("private key  %s\npublic key   %s\nfingerprint  %s\n", pair->private_path,
               pair->public_path, fingerprint);
        return;
    }
    EVP_EncodeBlock(base64, pair->public_key, ED25519_PUBLIC_LEN);
    clock_format(now, clock_wall_s());
    const struct {
        const char *name, *value;
    } members[] = {
        {"name", pair->name},
        {"fingerprint", fingerprint},
        {"public_key", (const char *)base64},
        {"comment", pair->comment},
        {"created_at", now},
        {"private_key_file", pair->private_path},
        {"public_key_file", pair->public_path},
    };
    AUTO(buf) struct buf out;
    buf_init(&out, 65536);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        buf_char(&out, i ? ',' : '{');
        put_member(&out, members[i].name, members[i].value ? members[i].value : "");
    }
    buf_str(&out, "}\n");
    fwrite(out.p, 1, out.len, stdout);
}

/* The private file first: a public file without its other half would be of no use. */
static enum attest_rc
write_pair(struct pair *pair, struct attest_error *err)
{
    AUTO(buf) struct buf public;
    AUTO(secret) struct secret seed = secret_new(ED25519_SEED_LEN);
    AUTO(secret) struct secret pem = {0};
    buf_init(&public, 4096);
    random_bytes(seed.p, seed.len);
    ed25519_public_from_seed(pair->public_key, &seed);
    if (pair->comment)
        buf_printf(&public, "%s\n", pair->comment);
    enum attest_rc rc = keyfile_public_pem(pair->public_key, &public, err);
    if (rc == ATTEST_OK)
        rc = keyfile_private_pem(&seed, &pem, err);
    struct stat there;
    if (rc == ATTEST_OK && lstat(pair->public_path, &there) == 0)
        rc = error_set(err, ATTEST_E_EXISTS, "%s: already there", pair->public_path);
    if (rc == ATTEST_OK)
        rc = file_create(pair->private_path, 0600, (struct slice){(const char *)pem.p, pem.len},
                         err);
    if (rc != ATTEST_OK)
        return rc;
    rc = file_create(pair->public_path, 0644, buf_view(&public), err);
    if (rc != ATTEST_OK)
        unlink(pair->private_path); /* half a pair is in the way of the next try */
    return rc;
}

/* One directory and not a path of them, and not in silence: its name may be mistyped. */
static enum exit_status
make_dir(const char *dir)
{
    struct attest_error err = {0};
    if (mkdir(dir, 0700) == 0)
        return cli_complain(EXIT_DONE, cmd_keygen.name, "made the directory %s", dir);
    if (errno == EEXIST)
        return EXIT_DONE;
    if (errno == ENOENT)
        return cli_complain(EXIT_FAILED, cmd_keygen.name,
                            "%s: the directory above it is not there; mkdir -p it first", dir);
    error_errno(&err, ATTEST_E_IO, errno, "%s", dir);
    return failed(&err);
}

static enum exit_status
make_pair(const struct cli_args *args)
{
    const char *dir = cli_value(args, "output-dir"), *format = cli_value(args, "format");
    struct pair pair = {.comment = cli_value(args, "comment")};
    struct attest_error err = {0};
    if (!cli_need(args, "name", &pair.name))
        return EXIT_USAGE;
    if (!name_ok(pair.name))
        return cli_complain(EXIT_USAGE, cmd_keygen.name,
                            "--name takes letters, digits, '.', '_' and '-', at most %d",
                            NAME_LEN_MAX);
    if (pair.comment && !comment_ok(pair.comment))
        return cli_complain(EXIT_USAGE, cmd_keygen.name,
                            "--comment takes one line of at most %d bytes without '-----'",
                            COMMENT_LEN_MAX);
    if (dir && strlen(dir) > PATH_LEN_MAX - NAME_LEN_MAX - 32)
        return cli_complain(EXIT_USAGE, cmd_keygen.name, "--output-dir is too long");
    snprintf(pair.private_path, sizeof(pair.private_path), "%s%s%s_private.pem", dir ? dir : "",
             dir ? "/" : "", pair.name);
    snprintf(pair.public_path, sizeof(pair.public_path), "%s%s%s_public.pem", dir ? dir : "",
             dir ? "/" : "", pair.name);
    enum exit_status status = dir ? make_dir(dir) : EXIT_DONE;
    if (status != EXIT_DONE)
        return status;
    enum attest_rc rc = write_pair(&pair, &err);
    if (rc == ATTEST_E_EXISTS)
        return cli_complain(EXIT_FAILED, cmd_keygen.name, "%s; choose another --name", err.text);
    if (rc != ATTEST_OK)
        return failed(&err);
    print_pair(&pair, args->json || (format && strcmp(format, "json") == 0));
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_DONE;
    return cli_complain(EXIT_FAILED, cmd_keygen.name,
                        "standard output cannot be written; the keys are in %s and %s",
                        pair.private_path, pair.public_path);
}

static enum exit_status
print_fingerprint(const struct cli_args *args, const char *path)
{
    AUTO(keyfile) struct keyfile key = {0};
    struct attest_error err = {0};
    char fingerprint[2 * SHA256_LEN + 1];
    if (keyfile_read(path, &key, &err) != ATTEST_OK)
        return failed(&err);
    keyfile_fingerprint(fingerprint, key.public_key);
    printf(args->json ? "{\"fingerprint\":\"%s\"}\n" : "%s\n", fingerprint);
    return EXIT_DONE;
}

static enum exit_status
print_public(const struct cli_args *args, const char *path)
{
    AUTO(keyfile) struct keyfile key = {0};
    AUTO(buf) struct buf pem;
    AUTO(buf) struct buf out;
    struct attest_error err = {0};
    buf_init(&pem, 4096);
    buf_init(&out, 8192);
    if (keyfile_read(path, &key, &err) != ATTEST_OK ||
        keyfile_public_pem(key.public_key, &pem, &err) != ATTEST_OK)
        return failed(&err);
    if (args->json) {
        buf_str(&out, "{\"public_key\":");
        json_put_string(&out, buf_view(&pem));
        buf_str(&out, "}\n");
    } else {
        buf_slice(&out, buf_view(&pem));
    }
    fwrite(out.p, 1, out.len, stdout);
    return EXIT_DONE;
}

static enum exit_status
keygen(const struct cli_args *args)
{
    const char *fingerprint = cli_value(args, "fingerprint");
    const char *extract = cli_value(args, "extract-public");
    bool making = cli_value(args, "name") || cli_value(args, "output-dir") ||
                  cli_value(args, "comment") || cli_value(args, "format");
    if (!!fingerprint + !!extract + making > 1)
        return cli_complain(EXIT_USAGE, cmd_keygen.name,
                            "one thing at a time: --name, --fingerprint or --extract-public");
    if (fingerprint)
        return print_fingerprint(args, fingerprint);
    if (extract)
        return print_public(args, extract);
    return make_pair(args);
}
