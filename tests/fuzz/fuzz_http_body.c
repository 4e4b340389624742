/* SPDX-License-Identifier: MIT */
/*
 * The body of POST /v1/attestations, as attestd reads it and as the signer reads it again. What is
 * accepted is written for the signer, who must read the same request; what is refused names a
 * member and says why.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "token/mint_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NODES 1024
#define OUT_MAX (1 << 20)

static void
must(bool holds)
{
    if (!holds)
        abort();
}

static enum attest_rc
read_body(char *text, size_t len, struct json *json, struct mint_request *request)
{
    char member[64];
    memset(member, 'x', sizeof(member));
    struct attest_error err = {0};
    enum attest_rc rc = json_read(json, text, len, &mint_request_limits, &err);
    if (rc) {
        must(rc == ATTEST_E_MALFORMED && err.rc == rc && *err.text);
        return rc;
    }
    rc = mint_request_read(json, json_root(json), request, member, sizeof(member), &err);
    if (rc)
        must(err.rc == rc && *err.text && memchr(member, '\0', sizeof(member)));
    return rc;
}

/* Every slice lies in the text or is absent. */
static void
in_text(struct slice s, const char *text, size_t len)
{
    must(!s.p || s.len == 0 || (s.p >= text && s.p + s.len <= text + len));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_node nodes[2][NODES];
    struct json json[2] = {{nodes[0], NODES, 0}, {nodes[1], NODES, 0}};
    struct mint_request asked, again;
    AUTO(mem) char *text = malloc(size + 1);
    must(text);
    memcpy(text, data, size);
    if (read_body(text, size, &json[0], &asked))
        return 0;
    must(asked.n_audiences >= 1 && asked.n_audiences <= MINT_AUDIENCES_MAX);
    must(asked.n_capabilities <= MINT_CAPABILITIES_MAX && asked.lifetime_s >= 0);
    must(asked.model_family.p && asked.model_version.p && asked.provider.p);
    in_text(asked.model_version, text, size);
    in_text(asked.nested_attestation, text, size);
    for (size_t i = 0; i < asked.n_audiences; i++)
        in_text(asked.audience[i], text, size);

    AUTO(buf) struct buf first;
    AUTO(buf) struct buf second;
    buf_init(&first, OUT_MAX);
    buf_init(&second, OUT_MAX);
    mint_request_write(&asked, &first);
    must(buf_rc(&first) == ATTEST_OK);
    AUTO(mem) char *written = slice_dup(buf_view(&first));
    must(written);
    must(read_body(written, first.len, &json[1], &again) == ATTEST_OK);
    must(again.n_audiences == asked.n_audiences && again.lifetime_s == asked.lifetime_s &&
         again.cnf == asked.cnf && again.enterprise == asked.enterprise);
    mint_request_write(&again, &second);
    must(buf_rc(&second) == ATTEST_OK && slice_eq(buf_view(&first), buf_view(&second)));
    return 0;
}
