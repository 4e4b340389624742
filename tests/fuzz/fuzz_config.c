/* SPDX-License-Identifier: MIT */
/*
 * A configuration file of either daemon: the first byte says whose. Whatever is accepted can be
 * dumped, and what was dumped as YAML reads back to the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "issuer/issuer_config.h"
#include "signer/signer_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DUMP_MAX (8 << 20)

union any_config {
    struct issuer_config issuer;
    struct signer_config signer;
};

static void
must(bool holds)
{
    if (!holds)
        abort();
}

static void
dump(const struct config_schema *schema, const union any_config *config, bool as_json,
     struct buf *out)
{
    buf_init(out, DUMP_MAX);
    must(config_dump(schema, config, as_json, out) == ATTEST_OK);
}

static void
dump_reads_back(const struct config_schema *schema, const union any_config *config)
{
    AUTO(buf) struct buf first;
    AUTO(buf) struct buf second = {0};
    union any_config again;
    memset(&again, 0, sizeof(again));
    dump(schema, config, false, &first);
    if (first.len > (1 << 20)) /* more than a file may hold: lists grow when they are quoted */
        return;
    must(config_parse(schema, buf_view(&first), NULL, &again, NULL) == ATTEST_OK);
    dump(schema, &again, false, &second);
    must(slice_eq(buf_view(&first), buf_view(&second)));
    config_done(schema, &again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct config_schema *schema =
        data[0] & 1 ? &signer_config_schema : &issuer_config_schema;
    union any_config config;
    memset(&config, 0, sizeof(config));
    struct attest_error err = {0};
    struct slice text = {(const char *)data + 1, size - 1};
    enum attest_rc rc = config_parse(schema, text, NULL, &config, &err);
    if (rc) {
        must(err.rc == rc && *err.text);
        config_done(schema, &config); /* empty already: nothing is freed twice */
        return 0;
    }
    dump_reads_back(schema, &config);
    AUTO(buf) struct buf json;
    dump(schema, &config, true, &json);
    if (schema == &issuer_config_schema)
        (void)issuer_config_check(&config.issuer, &err);
    config_done(schema, &config);
    return 0;
}
