/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/p11_fault.h"

/* What a data object holds, in the order of its file. */
enum { APPLICATION, LABEL, VALUE, PARTS };

struct part {
    uint8_t p[FAULT_DATA_LEN_MAX];
    size_t len;
};

struct data {
    bool used;
    struct part parts[PARTS];
};

static const CK_ATTRIBUTE_TYPE part_types[PARTS] = {CKA_APPLICATION, CKA_LABEL, CKA_VALUE};
static struct data all[FAULT_DATA_MAX];
static const char *dir;

static void
store(void)
{
    char path[4200], temporary[4210];
    if (!dir)
        return;
    snprintf(path, sizeof(path), "%s/data", dir);
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, all, sizeof(all)) != (ssize_t)sizeof(all) ||
        rename(temporary, path) != 0)
        perror(path);
    if (fd >= 0)
        close(fd);
}

void
fault_data_load(const char *from)
{
    char path[4200];
    dir = from;
    if (!dir)
        return;
    snprintf(path, sizeof(path), "%s/data", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, all, sizeof(all)) != (ssize_t)sizeof(all))
        memset(all, 0, sizeof(all));
    if (fd >= 0)
        close(fd);
}

void
fault_data_clear(bool also_stored)
{
    if (!also_stored)
        return;
    memset(all, 0, sizeof(all));
    store();
}

static struct data *
data_of(CK_OBJECT_HANDLE object)
{
    CK_OBJECT_HANDLE i = object - FAULT_DATA_FIRST;
    return object >= FAULT_DATA_FIRST && i < FAULT_DATA_MAX && all[i].used ? &all[i] : NULL;
}

CK_RV
fault_data_create(const CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
    struct data made = {.used = true};
    bool is_data = false;
    for (CK_ULONG i = 0; i < n; i++) {
        if (t[i].type == CKA_CLASS)
            is_data = *(const CK_OBJECT_CLASS *)t[i].pValue == CKO_DATA;
        for (int part = 0; part < PARTS; part++) {
            if (t[i].type != part_types[part])
                continue;
            if (t[i].ulValueLen > FAULT_DATA_LEN_MAX)
                return CKR_ATTRIBUTE_VALUE_INVALID;
            memcpy(made.parts[part].p, t[i].pValue, t[i].ulValueLen);
            made.parts[part].len = t[i].ulValueLen;
        }
    }
    if (!is_data)
        return CKR_TEMPLATE_INCONSISTENT;
    for (unsigned i = 0; i < FAULT_DATA_MAX; i++) {
        if (all[i].used)
            continue;
        all[i] = made;
        store();
        *ret = FAULT_DATA_FIRST + i;
        return CKR_OK;
    }
    return CKR_DEVICE_MEMORY;
}

CK_RV
fault_data_destroy(CK_OBJECT_HANDLE object)
{
    struct data *d = data_of(object);
    if (!d)
        return CKR_OBJECT_HANDLE_INVALID;
    memset(d, 0, sizeof(*d));
    store();
    return CKR_OK;
}

static const struct part *
part_of(const struct data *d, CK_ATTRIBUTE_TYPE type)
{
    for (int part = 0; part < PARTS; part++) {
        if (part_types[part] == type)
            return &d->parts[part];
    }
    return NULL;
}

CK_RV
fault_data_attributes(CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG n)
{
    const struct data *d = data_of(object);
    CK_RV ret = CKR_OK;
    if (!d)
        return CKR_OBJECT_HANDLE_INVALID;
    for (CK_ULONG i = 0; i < n; i++) {
        CK_ATTRIBUTE *a = &attributes[i];
        const struct part *part = part_of(d, a->type);
        CK_RV rv = part ? CKR_OK : CKR_ATTRIBUTE_TYPE_INVALID;
        if (part && a->pValue && a->ulValueLen < part->len)
            rv = CKR_BUFFER_TOO_SMALL;
        if (rv == CKR_OK && a->pValue)
            memcpy(a->pValue, part->p, part->len);
        a->ulValueLen = rv == CKR_OK ? part->len : CK_UNAVAILABLE_INFORMATION;
        ret = rv == CKR_OK ? ret : rv;
    }
    return ret;
}

bool
fault_data_match(CK_OBJECT_HANDLE object, const CK_ATTRIBUTE *template, CK_ULONG n)
{
    const struct data *d = data_of(object);
    for (CK_ULONG i = 0; d && i < n; i++) {
        const struct part *part = part_of(d, template[i].type);
        bool match;
        if (template[i].type == CKA_CLASS)
            match = *(const CK_OBJECT_CLASS *)template[i].pValue == CKO_DATA;
        else if (template[i].type == CKA_TOKEN || template[i].type == CKA_PRIVATE)
            match = *(const CK_BBOOL *)template[i].pValue != CK_FALSE;
        else
            match = part && part->len == template[i].ulValueLen &&
                    !memcmp(part->p, template[i].pValue, part->len);
        if (!match)
            d = NULL;
    }
    return d;
}
