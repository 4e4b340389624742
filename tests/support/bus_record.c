/* SPDX-License-Identifier: MIT */
#include "tests/support/bus_record.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_LEN = 10, WITH_SESSIONS = 0x8002, DECRYPT = 0x20, ENCRYPT = 0x40 };

/* What carries secrets: to the TPM as its first parameter, or back as its first answer. */
static const struct carrier {
    uint32_t code;
    uint8_t handles, needs; /* so many before the sessions; one of them with this attribute */
    const char *name;
} carriers[] = {
    {0x12a, 1, DECRYPT, "NV_DefineSpace"},
    {0x153, 1, DECRYPT, "Create"},
    {0x191, 1, DECRYPT, "CreateLoaded"},
    {0x129, 1, DECRYPT, "HierarchyChangeAuth"},
    {0x150, 2, DECRYPT, "ObjectChangeAuth"},
    {0x13b, 1, DECRYPT, "NV_ChangeAuth"},
    {0x15e, 1, ENCRYPT, "Unseal"},
    {0x17b, 0, ENCRYPT, "GetRandom"}, /* half of each seed */
};

struct cursor {
    const uint8_t *p, *end;
    bool whole;
};

static uint32_t
take(struct cursor *c, size_t len)
{
    uint32_t value = 0;
    c->whole = c->whole && (size_t)(c->end - c->p) >= len;
    for (size_t i = 0; c->whole && i < len; i++)
        value = value << 8 | *c->p++;
    return value;
}

static void
skip(struct cursor *c, size_t len)
{
    c->whole = c->whole && (size_t)(c->end - c->p) >= len;
    if (c->whole)
        c->p += len;
}

static const struct carrier *
carrier_of(uint32_t code)
{
    for (size_t i = 0; i < sizeof(carriers) / sizeof(*carriers); i++)
        if (carriers[i].code == code)
            return &carriers[i];
    return NULL;
}

/* Whether what this command carries is encrypted. A command that is cut short is not. */
static bool
is_encrypted(const struct carrier *carrier, const uint8_t *p, size_t len)
{
    struct cursor c = {p, p + len, true};
    uint32_t tag = take(&c, 2), attributes = 0;
    skip(&c, HEADER_LEN - 2 + (size_t)carrier->handles * 4);
    uint32_t area_len = tag == WITH_SESSIONS ? take(&c, 4) : 0;
    struct cursor area = {c.p, c.p + area_len, c.whole && area_len <= (size_t)(c.end - c.p)};
    while (area.whole && area.p < area.end) {
        skip(&area, 4);              /* session */
        skip(&area, take(&area, 2)); /* nonce */
        attributes |= take(&area, 1);
        skip(&area, take(&area, 2)); /* HMAC */
    }
    return area.whole && attributes & carrier->needs;
}

bool
bus_record_look(const char *path, unsigned *commands, unsigned *open)
{
    static uint8_t message[1 << 16];
    uint8_t head[5];
    FILE *in = fopen(path, "re");
    if (!in)
        return false;
    *commands = *open = 0;
    bool whole = true;
    size_t got;
    while (whole && (got = fread(head, 1, sizeof(head), in)) > 0) {
        struct cursor c = {head + 1, head + got, got == sizeof(head)};
        size_t len = take(&c, 4);
        whole = c.whole && (head[0] == '<' || head[0] == '>') && len <= sizeof(message) &&
                fread(message, 1, len, in) == len;
        if (!whole || head[0] != '>')
            continue;
        c = (struct cursor){message, message + len, true};
        skip(&c, 6);
        const struct carrier *carrier = carrier_of(take(&c, 4));
        (*commands)++;
        if (!carrier || is_encrypted(carrier, message, len))
            continue;
        printf("command %u to the TPM, TPM2_%s, is not encrypted\n", *commands, carrier->name);
        (*open)++;
    }
    whole = whole && !ferror(in);
    fclose(in);
    return whole;
}
