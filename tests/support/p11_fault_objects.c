/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/p11_fault.h"

static struct fault_pair pairs[FAULT_PAIRS_MAX];
static const char *dir;

static const uint8_t params_oid[] = {0x06, 0x03, 0x2b, 0x65, 0x70};
static const uint8_t params_name[] = {0x13, 0x0c, 'e', 'd', 'w', 'a', 'r',
                                      'd',  's',  '2', '5', '5', '1', '9'};

static struct fault_pair *
pair_of(CK_OBJECT_HANDLE object, bool *is_private)
{
    if (object == 0 || object > 2 * FAULT_PAIRS_MAX)
        return NULL;
    struct fault_pair *p = &pairs[(object - 1) / 2];
    *is_private = object % 2;
    return p->used && !(*is_private ? p->private_gone : p->public_gone) ? p : NULL;
}

/* ---- on disk: a file a pair, the struct as it is, since only this module reads it ---- */

static void
path_of(const struct fault_pair *p, char *out, size_t size)
{
    char hex[65];
    sodium_bin2hex(hex, sizeof(hex), p->public_key, sizeof(p->public_key));
    snprintf(out, size, "%s/%s.pair", dir, hex);
}

static void
store(const struct fault_pair *p)
{
    char path[4200], temporary[4210];
    if (!dir || !p->on_token)
        return;
    path_of(p, path, sizeof(path));
    if (p->private_gone && p->public_gone) {
        unlink(path);
        return;
    }
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, p, sizeof(*p)) != (ssize_t)sizeof(*p) || rename(temporary, path) != 0)
        perror(path);
    if (fd >= 0)
        close(fd);
}

void
fault_objects_load(void)
{
    fault_objects_clear(false);
    dir = getenv("P11_FAULT_DIR");
    fault_data_load(dir);
    DIR *d = dir ? opendir(dir) : NULL;
    if (!d)
        return;
    unsigned n = 0;
    const struct dirent *e;
    while ((e = readdir(d)) && n < FAULT_PAIRS_MAX) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".pair") != 0)
            continue;
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, &pairs[n], sizeof(pairs[n])) == (ssize_t)sizeof(pairs[n]))
            n++;
        else
            memset(&pairs[n], 0, sizeof(pairs[n]));
        if (fd >= 0)
            close(fd);
    }
    closedir(d);
}

void
fault_objects_clear(bool also_stored)
{
    fault_data_clear(also_stored);
    for (unsigned i = 0; i < FAULT_PAIRS_MAX; i++) {
        if (also_stored && pairs[i].used) {
            pairs[i].private_gone = pairs[i].public_gone = true;
            store(&pairs[i]);
        }
        /* What has no directory to come back from stays. */
        if (also_stored || dir || !pairs[i].on_token)
            memset(&pairs[i], 0, sizeof(pairs[i]));
    }
}

void
fault_objects_end_session(CK_SESSION_HANDLE session)
{
    for (unsigned i = 0; i < FAULT_PAIRS_MAX; i++) {
        if (pairs[i].used && !pairs[i].on_token && pairs[i].session == session)
            memset(&pairs[i], 0, sizeof(pairs[i]));
    }
}

void
fault_objects_shuffle(void)
{
    unsigned n = 0;
    while (n < FAULT_PAIRS_MAX && pairs[n].used)
        n++;
    if (n < 2)
        return;
    struct fault_pair first = pairs[0];
    memmove(&pairs[0], &pairs[1], (n - 1) * sizeof(pairs[0]));
    pairs[n - 1] = first;
}

const struct fault_pair *
fault_objects_private(CK_OBJECT_HANDLE object)
{
    bool is_private;
    const struct fault_pair *p = pair_of(object, &is_private);
    return p && is_private ? p : NULL;
}

/* ---- making and destroying ---- */

static const CK_ATTRIBUTE *
find_attr(const CK_ATTRIBUTE *t, CK_ULONG n, CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; i < n; i++) {
        if (t[i].type == type)
            return &t[i];
    }
    return NULL;
}

static bool
flag_of(const CK_ATTRIBUTE *t, CK_ULONG n, CK_ATTRIBUTE_TYPE type, bool fallback)
{
    const CK_ATTRIBUTE *a = find_attr(t, n, type);
    return a ? *(const CK_BBOOL *)a->pValue != CK_FALSE : fallback;
}

static void
bytes_of(const CK_ATTRIBUTE *t, CK_ULONG n, CK_ATTRIBUTE_TYPE type, uint8_t *out, size_t *len)
{
    const CK_ATTRIBUTE *a = find_attr(t, n, type);
    *len = a ? a->ulValueLen : 0;
    if (*len > FAULT_TEXT_MAX)
        *len = FAULT_TEXT_MAX;
    if (*len)
        memcpy(out, a->pValue, *len);
}

static bool
value_is(const CK_ATTRIBUTE *a, const void *p, size_t len)
{
    return a && a->ulValueLen == len && (len == 0 || !memcmp(a->pValue, p, len));
}

CK_RV
fault_objects_generate(const struct fault_settings *set, CK_SESSION_HANDLE session,
                       const CK_ATTRIBUTE *public_template, CK_ULONG n_public,
                       const CK_ATTRIBUTE *private_template, CK_ULONG n_private,
                       CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    const CK_ATTRIBUTE *params = find_attr(public_template, n_public, CKA_EC_PARAMS);
    bool by_oid = value_is(params, params_oid, sizeof(params_oid));
    bool by_name = value_is(params, params_name, sizeof(params_name));
    if (!(by_oid && set->params_oid) && !(by_name && set->params_name))
        return CKR_DOMAIN_PARAMS_INVALID;
    unsigned i = 0;
    while (i < FAULT_PAIRS_MAX && pairs[i].used)
        i++;
    if (i == FAULT_PAIRS_MAX)
        return CKR_DEVICE_MEMORY;
    struct fault_pair *p = &pairs[i];
    *p = (struct fault_pair){.used = true, .params_name = by_name, .session = session};
    p->on_token = flag_of(private_template, n_private, CKA_TOKEN, false);
    p->sensitive = set->force_sensitive ? set->sensitive
                                        : flag_of(private_template, n_private, CKA_SENSITIVE, true);
    p->extractable = set->force_extractable
                         ? set->extractable
                         : flag_of(private_template, n_private, CKA_EXTRACTABLE, false);
    bytes_of(private_template, n_private, CKA_ID, p->id, &p->id_len);
    bytes_of(private_template, n_private, CKA_LABEL, p->label, &p->label_len);
    crypto_sign_keypair(p->public_key, p->secret);
    p->public_gone = !set->public_objects;
    store(p);
    *private_key = 2 * i + 1;
    *public_key = set->public_objects ? 2 * i + 2 : CK_INVALID_HANDLE;
    return CKR_OK;
}

CK_RV
fault_objects_destroy(CK_OBJECT_HANDLE object)
{
    bool is_private;
    if (object >= FAULT_DATA_FIRST)
        return fault_data_destroy(object);
    struct fault_pair *p = pair_of(object, &is_private);
    if (!p)
        return CKR_OBJECT_HANDLE_INVALID;
    if (is_private)
        p->private_gone = true;
    else
        p->public_gone = true;
    store(p);
    if (p->private_gone && p->public_gone)
        memset(p, 0, sizeof(*p));
    return CKR_OK;
}

/* ---- reading ---- */

struct value {
    union {
        CK_ULONG number;
        CK_BBOOL flag;
        uint8_t bytes[FAULT_TEXT_MAX];
    };
    size_t len;
};

static void
point_value(const struct fault_settings *set, const struct fault_pair *p, struct value *v)
{
    static const uint8_t octets[] = {0x04, 0x20}, bits[] = {0x03, 0x21, 0x00};
    size_t head = (size_t)set->point_len - sizeof(p->public_key);
    memcpy(v->bytes, head == 2 ? octets : bits, head);
    memcpy(v->bytes + head, p->public_key, sizeof(p->public_key));
    v->len = head + sizeof(p->public_key);
}

static void
bytes_value(struct value *v, const uint8_t *p, size_t len)
{
    memcpy(v->bytes, p, len);
    v->len = len;
}

static CK_RV
read_value(const struct fault_settings *set, const struct fault_pair *p, bool is_private,
           CK_ATTRIBUTE_TYPE type, struct value *v)
{
    const struct {
        CK_ATTRIBUTE_TYPE type;
        bool value, of_private;
    } flags[] = {
        {CKA_TOKEN, p->on_token, is_private},
        {CKA_PRIVATE, is_private, is_private},
        {CKA_SENSITIVE, p->sensitive, true},
        {CKA_ALWAYS_SENSITIVE, p->sensitive, true},
        {CKA_EXTRACTABLE, p->extractable, true},
        {CKA_NEVER_EXTRACTABLE, !p->extractable, true},
        {CKA_SIGN, true, true},
        {CKA_VERIFY, true, false},
        {CKA_DECRYPT, false, true},
        {CKA_UNWRAP, false, true},
        {CKA_DERIVE, false, is_private},
    };
    memset(v, 0, sizeof(*v));
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (flags[i].type != type || flags[i].of_private != is_private)
            continue;
        v->flag = flags[i].value ? CK_TRUE : CK_FALSE;
        v->len = sizeof(v->flag);
        return CKR_OK;
    }
    if (type == CKA_CLASS || type == CKA_KEY_TYPE) {
        v->number = type == CKA_KEY_TYPE ? CKK_EC_EDWARDS
                    : is_private         ? CKO_PRIVATE_KEY
                                         : CKO_PUBLIC_KEY;
        v->len = sizeof(v->number);
    } else if (type == CKA_ID) {
        bytes_value(v, p->id, p->id_len);
    } else if (type == CKA_LABEL) {
        bytes_value(v, p->label, p->label_len);
    } else if (type == CKA_EC_PARAMS) {
        bytes_value(v, p->params_name ? params_name : params_oid,
                    p->params_name ? sizeof(params_name) : sizeof(params_oid));
    } else if (type == CKA_EC_POINT && (!is_private || !set->public_objects)) {
        point_value(set, p, v);
    } else if (type == CKA_VALUE && is_private) {
        return CKR_ATTRIBUTE_SENSITIVE;
    } else {
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
    return CKR_OK;
}

CK_RV
fault_objects_attributes(const struct fault_settings *set, bool logged_in, CK_OBJECT_HANDLE object,
                         CK_ATTRIBUTE *attributes, CK_ULONG n)
{
    bool is_private;
    if (object >= FAULT_DATA_FIRST && logged_in)
        return fault_data_attributes(object, attributes, n);
    const struct fault_pair *p = pair_of(object, &is_private);
    if (!p || (is_private && !logged_in))
        return CKR_OBJECT_HANDLE_INVALID;
    CK_RV ret = CKR_OK;
    for (CK_ULONG i = 0; i < n; i++) {
        struct value v;
        CK_RV rv = read_value(set, p, is_private, attributes[i].type, &v);
        if (rv == CKR_OK && attributes[i].pValue && attributes[i].ulValueLen < v.len)
            rv = CKR_BUFFER_TOO_SMALL;
        if (rv == CKR_OK && attributes[i].pValue)
            memcpy(attributes[i].pValue, v.bytes, v.len);
        attributes[i].ulValueLen = rv == CKR_OK ? v.len : CK_UNAVAILABLE_INFORMATION;
        ret = rv == CKR_OK ? ret : rv;
    }
    return ret;
}

CK_OBJECT_HANDLE
fault_objects_next(const struct fault_settings *set, bool logged_in, const CK_ATTRIBUTE *template,
                   CK_ULONG n, CK_OBJECT_HANDLE *handle)
{
    for (CK_OBJECT_HANDLE h = *handle; h < FAULT_DATA_FIRST + FAULT_DATA_MAX; h++) {
        bool is_private;
        if (h >= FAULT_DATA_FIRST && (!logged_in || !fault_data_match(h, template, n)))
            continue;
        const struct fault_pair *p = pair_of(h, &is_private);
        bool match = h >= FAULT_DATA_FIRST || (p && (!is_private || logged_in));
        for (CK_ULONG i = 0; p && match && i < n; i++) {
            struct value v;
            match = read_value(set, p, is_private, template[i].type, &v) == CKR_OK &&
                    value_is(&template[i], v.bytes, v.len);
        }
        if (match) {
            *handle = h + 1;
            return h;
        }
    }
    *handle = FAULT_DATA_FIRST + FAULT_DATA_MAX;
    return CK_INVALID_HANDLE;
}
