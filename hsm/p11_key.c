/* SPDX-License-Identifier: MIT */
#include "hsm/p11_key.h"

#include <string.h>

#define KEYS_MAX 4096 /* on one token */
#define SAME_ID_MAX 8 /* objects with one CKA_ID that are looked at */
#define POINT_SIZE 64 /* room for any known form of a point, and to notice a longer one */

#define ATTR(type, value)                                                                          \
    {                                                                                              \
        (type), &(value), sizeof(value)                                                            \
    }

bool
p11_point_decode(const uint8_t *p, size_t len, uint8_t public_key[ED25519_PUBLIC_LEN])
{
    static const struct {
        size_t len;
        uint8_t head[3];
    } forms[] = {{32, {0}}, {34, {0x04, 0x20}}, {35, {0x03, 0x21, 0x00}}};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        size_t head_len = forms[i].len - ED25519_PUBLIC_LEN;
        if (len == forms[i].len && !memcmp(p, forms[i].head, head_len)) {
            memcpy(public_key, p + head_len, ED25519_PUBLIC_LEN);
            return true;
        }
    }
    return false;
}

CK_RV
p11_find_objects(struct p11_conn *conn, CK_ATTRIBUTE *template, CK_ULONG n_template,
                 CK_OBJECT_HANDLE *out, size_t max, size_t *n)
{
    *n = 0;
    CK_RV rv = P11_CALL(conn, C_FindObjectsInit, conn->session, template, n_template);
    if (rv != CKR_OK)
        return rv;
    CK_ULONG got = 1;
    while (*n < max && got > 0) {
        got = 0;
        rv = P11_CALL(conn, C_FindObjects, conn->session, out + *n, max - *n, &got);
        if (rv != CKR_OK || got > max - *n)
            break;
        *n += got;
    }
    /* Without this the session stays in its search; the first error is the one to tell. */
    const char *failed = conn->call;
    CK_RV final_rv = P11_CALL(conn, C_FindObjectsFinal, conn->session);
    if (rv == CKR_OK)
        return final_rv;
    conn->call = failed;
    return rv;
}

/* CKR_OK and *ok false when the object has no point that we can read. */
static CK_RV
read_point(struct p11_conn *conn, CK_OBJECT_HANDLE object, uint8_t public_key[ED25519_PUBLIC_LEN],
           bool *ok)
{
    uint8_t point[POINT_SIZE];
    CK_ATTRIBUTE attr = ATTR(CKA_EC_POINT, point);
    *ok = false;
    CK_RV rv = P11_CALL(conn, C_GetAttributeValue, conn->session, object, &attr, 1UL);
    if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE ||
        rv == CKR_BUFFER_TOO_SMALL)
        return CKR_OK;
    if (rv == CKR_OK && attr.ulValueLen <= sizeof(point))
        *ok = p11_point_decode(point, attr.ulValueLen, public_key);
    return rv;
}

static CK_RV
find_by_id(struct p11_conn *conn, CK_OBJECT_CLASS class, const uint8_t id[KEYSTORE_ID_LEN],
           CK_OBJECT_HANDLE out[SAME_ID_MAX], size_t *n)
{
    uint8_t wanted[KEYSTORE_ID_LEN];
    memcpy(wanted, id, sizeof(wanted));
    CK_ATTRIBUTE template[] = {ATTR(CKA_CLASS, class), ATTR(CKA_ID, wanted)};
    return p11_find_objects(conn, template, ARRAY_LEN(template), out, SAME_ID_MAX, n);
}

/*
 * The public part that belongs to a private key: from the public object of the same id, or, on
 * tokens that keep none, from the private object itself. *ok is false when neither tells.
 */
static CK_RV
public_of(struct p11_conn *conn, CK_OBJECT_HANDLE private_key, const uint8_t id[KEYSTORE_ID_LEN],
          struct key_ref *ref, CK_OBJECT_HANDLE *public_key, bool *ok)
{
    CK_OBJECT_HANDLE found[SAME_ID_MAX];
    size_t n = 0;
    *ok = false;
    *public_key = CK_INVALID_HANDLE;
    CK_RV rv = find_by_id(conn, CKO_PUBLIC_KEY, id, found, &n);
    if (rv != CKR_OK || n > 1)
        return rv;
    memcpy(ref->id, id, KEYSTORE_ID_LEN);
    ref->public_key = (struct pubkey){.type = PUBKEY_ED25519};
    rv = read_point(conn, n ? found[0] : private_key, ref->public_key.bytes, ok);
    if (n)
        *public_key = found[0];
    return rv;
}

CK_RV
p11_key_find(struct p11_conn *conn, const struct key_ref *ref, struct p11_pair *ret)
{
    CK_OBJECT_HANDLE found[SAME_ID_MAX];
    size_t n = 0;
    *ret = (struct p11_pair){CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    CK_RV rv = find_by_id(conn, CKO_PRIVATE_KEY, ref->id, found, &n);
    if (rv != CKR_OK || n != 1)
        return rv;
    struct key_ref seen;
    CK_OBJECT_HANDLE public_key;
    bool ok;
    rv = public_of(conn, found[0], ref->id, &seen, &public_key, &ok);
    if (rv != CKR_OK || !ok || !pubkey_eq(&seen.public_key, &ref->public_key))
        return rv;
    *ret = (struct p11_pair){found[0], public_key};
    return CKR_OK;
}

CK_RV
p11_key_find_half(struct p11_conn *conn, const struct key_ref *ref, struct p11_pair *ret)
{
    CK_OBJECT_HANDLE found[SAME_ID_MAX];
    struct pubkey point = {.type = PUBKEY_ED25519};
    size_t n = 0;
    bool ok = false;
    *ret = (struct p11_pair){CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    CK_RV rv = find_by_id(conn, CKO_PRIVATE_KEY, ref->id, found, &n);
    if (rv != CKR_OK || n > 0)
        return rv;
    rv = find_by_id(conn, CKO_PUBLIC_KEY, ref->id, found, &n);
    if (rv == CKR_OK && n == 1)
        rv = read_point(conn, found[0], point.bytes, &ok);
    if (rv == CKR_OK && ok && pubkey_eq(&point, &ref->public_key))
        ret->public_key = found[0];
    return rv;
}

CK_RV
p11_key_list(struct p11_conn *conn, struct key_ref **ret, size_t *n)
{
    AUTO(mem) CK_OBJECT_HANDLE *found = calloc(KEYS_MAX, sizeof(*found));
    AUTO(mem) struct key_ref *refs = NULL;
    size_t n_found = 0, n_refs = 0;
    if (!found)
        return CKR_HOST_MEMORY;
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = {ATTR(CKA_CLASS, class), ATTR(CKA_TOKEN, yes)};
    CK_RV rv = p11_find_objects(conn, template, ARRAY_LEN(template), found, KEYS_MAX, &n_found);
    if (rv != CKR_OK)
        return rv;
    refs = calloc(n_found + 1, sizeof(*refs));
    if (!refs)
        return CKR_HOST_MEMORY;
    for (size_t i = 0; i < n_found; i++) {
        uint8_t id[POINT_SIZE];
        CK_ATTRIBUTE attr = ATTR(CKA_ID, id);
        rv = P11_CALL(conn, C_GetAttributeValue, conn->session, found[i], &attr, 1UL);
        if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_BUFFER_TOO_SMALL)
            continue;
        if (rv == CKR_OK && attr.ulValueLen != KEYSTORE_ID_LEN)
            continue;
        CK_OBJECT_HANDLE public_key;
        bool ok = false;
        if (rv == CKR_OK)
            rv = public_of(conn, found[i], id, &refs[n_refs], &public_key, &ok);
        if (rv != CKR_OK)
            return rv;
        n_refs += ok;
    }
    *ret = STEAL(refs);
    *n = n_refs;
    return CKR_OK;
}

static CK_RV
generate_with(struct p11_conn *conn, const struct p11_key_request *request, bool by_name,
              const uint8_t id[KEYSTORE_ID_LEN], struct p11_pair *ret)
{
    static const uint8_t oid[] = {0x06, 0x03, 0x2b, 0x65, 0x70};
    static const uint8_t name[] = {0x13, 0x0c, 'e', 'd', 'w', 'a', 'r',
                                   'd',  's',  '2', '5', '5', '1', '9'};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE, on_token = request->on_token ? CK_TRUE : CK_FALSE;
    CK_KEY_TYPE type = CKK_EC_EDWARDS;
    CK_OBJECT_CLASS public_class = CKO_PUBLIC_KEY, private_class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE params = {CKA_EC_PARAMS, (void *)(by_name ? name : oid),
                           by_name ? sizeof(name) : sizeof(oid)};
    CK_ATTRIBUTE id_attr = {CKA_ID, (void *)id, KEYSTORE_ID_LEN};
    CK_ATTRIBUTE label = {CKA_LABEL, (void *)request->label, strlen(request->label)};
    CK_ATTRIBUTE public_template[] = {
        ATTR(CKA_CLASS, public_class),
        ATTR(CKA_KEY_TYPE, type),
        ATTR(CKA_TOKEN, on_token),
        ATTR(CKA_PRIVATE, no),
        ATTR(CKA_VERIFY, yes),
        ATTR(CKA_ENCRYPT, no),
        ATTR(CKA_WRAP, no),
        params,
        id_attr,
        label,
    };
    CK_ATTRIBUTE private_template[] = {
        ATTR(CKA_CLASS, private_class),
        ATTR(CKA_KEY_TYPE, type),
        ATTR(CKA_TOKEN, on_token),
        ATTR(CKA_PRIVATE, yes),
        ATTR(CKA_SENSITIVE, yes),
        ATTR(CKA_EXTRACTABLE, no),
        ATTR(CKA_SIGN, yes),
        ATTR(CKA_DECRYPT, no),
        ATTR(CKA_UNWRAP, no),
        ATTR(CKA_DERIVE, no),
        id_attr,
        label,
    };
    CK_MECHANISM mechanism = {CKM_EC_EDWARDS_KEY_PAIR_GEN, NULL, 0};
    return P11_CALL(conn, C_GenerateKeyPair, conn->session, &mechanism, public_template,
                    ARRAY_LEN(public_template), private_template, ARRAY_LEN(private_template),
                    &ret->public_key, &ret->private_key);
}

/* What the private key must be, read back from the token; NULL when it is, or *rv says why not. */
static const char *
find_weakness(struct p11_conn *conn, CK_OBJECT_HANDLE private_key, CK_RV *rv)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        CK_BBOOL wanted;
        bool must_be_told; /* the others are asserted on tokens that keep them */
        const char *weakness;
    } wanted[] = {
        {CKA_SENSITIVE, CK_TRUE, true, "is not sensitive"},
        {CKA_EXTRACTABLE, CK_FALSE, true, "is extractable"},
        {CKA_SIGN, CK_TRUE, true, "does not sign"},
        {CKA_ALWAYS_SENSITIVE, CK_TRUE, false, "was not always sensitive"},
        {CKA_NEVER_EXTRACTABLE, CK_TRUE, false, "was extractable once"},
        {CKA_DECRYPT, CK_FALSE, false, "may decrypt"},
        {CKA_UNWRAP, CK_FALSE, false, "may unwrap"},
        {CKA_WRAP, CK_FALSE, false, "may wrap"},
        {CKA_DERIVE, CK_FALSE, false, "may derive"},
    };
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        CK_BBOOL value = 0xff;
        CK_ATTRIBUTE attr = ATTR(wanted[i].type, value);
        *rv = P11_CALL(conn, C_GetAttributeValue, conn->session, private_key, &attr, 1UL);
        if (*rv != CKR_OK && p11_fate(*rv) != P11_FATE_REQUEST)
            return NULL;
        bool told = *rv == CKR_OK && attr.ulValueLen == sizeof(value);
        if (told ? !value != !wanted[i].wanted : wanted[i].must_be_told)
            return wanted[i].weakness;
    }
    *rv = CKR_OK;
    return NULL;
}

/* The new pair as a whole: its public part is sound and belongs to what signs. */
static const char *
find_fault(struct p11_conn *conn, const struct p11_pair *pair, struct key_ref *ref, CK_RV *rv)
{
    static const char probe[] = "attestd: a new key signs once to show that it can";
    const char *weakness = find_weakness(conn, pair->private_key, rv);
    if (weakness || *rv != CKR_OK)
        return weakness;
    bool ok;
    uint8_t sig[ED25519_SIG_LEN];
    bool has_public = pair->public_key != CK_INVALID_HANDLE;
    ref->public_key = (struct pubkey){.type = PUBKEY_ED25519};
    *rv = read_point(conn, has_public ? pair->public_key : pair->private_key, ref->public_key.bytes,
                     &ok);
    if (*rv == CKR_OK && (!ok || !pubkey_ok(&ref->public_key)))
        return "has no readable public part";
    if (*rv == CKR_OK)
        *rv = p11_key_sign(conn, pair->private_key, probe, sizeof(probe), sig);
    if (*rv == CKR_OK &&
        !pubkey_verify(&ref->public_key, (struct slice){probe, sizeof(probe)}, sig))
        return "signs what its public part does not verify";
    return NULL;
}

static CK_RV
id_taken(struct p11_conn *conn, const uint8_t id[KEYSTORE_ID_LEN], bool *taken)
{
    CK_OBJECT_HANDLE found[SAME_ID_MAX];
    size_t n_private = 0, n_public = 0;
    CK_RV rv = find_by_id(conn, CKO_PRIVATE_KEY, id, found, &n_private);
    if (rv == CKR_OK)
        rv = find_by_id(conn, CKO_PUBLIC_KEY, id, found, &n_public);
    *taken = n_private + n_public > 0;
    return rv;
}

enum attest_rc
p11_key_generate(struct p11_conn *conn, const struct p11_key_request *request, struct key_ref *ref,
                 struct p11_pair *ret, CK_RV *rv, struct attest_error *err)
{
    struct key_ref made;
    struct p11_pair pair = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    bool taken = false;
    memcpy(made.id, request->id, sizeof(made.id));
    *rv = id_taken(conn, made.id, &taken);
    if (*rv != CKR_OK)
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "%s: %s", conn->call, P11_RV_TEXT(*rv));
    if (taken)
        return error_set(err, ATTEST_E_EXISTS, "the token holds a key with this id already");
    *rv = generate_with(conn, request, request->name_first, made.id, &pair);
    /* Modules differ in how they refuse a form, so any refusal of this request is worth a try. */
    if (*rv != CKR_OK && (p11_fate(*rv) == P11_FATE_REQUEST || *rv == CKR_GENERAL_ERROR ||
                          *rv == CKR_FUNCTION_FAILED))
        *rv = generate_with(conn, request, !request->name_first, made.id, &pair);
    if (*rv != CKR_OK) {
        bool refused = p11_fate(*rv) == P11_FATE_REQUEST || *rv == CKR_MECHANISM_INVALID;
        return error_set(err, refused ? ATTEST_E_UNSUPPORTED : ATTEST_E_KEY_OUT_OF_REACH,
                         "C_GenerateKeyPair: %s", P11_RV_TEXT(*rv));
    }
    const char *fault = find_fault(conn, &pair, &made, rv);
    if (fault || *rv != CKR_OK) {
        const char *call = conn->call;
        p11_key_destroy(conn, &pair);
        if (fault)
            return error_set(err, ATTEST_E_UNSUPPORTED,
                             "the token made a key that %s; it was destroyed", fault);
        return error_set(err, ATTEST_E_KEY_OUT_OF_REACH, "a new key could not be tried: %s: %s",
                         call, P11_RV_TEXT(*rv));
    }
    *ref = made;
    *ret = pair;
    return ATTEST_OK;
}

CK_RV
p11_key_destroy(struct p11_conn *conn, const struct p11_pair *pair)
{
    CK_RV rv = CKR_OK;
    if (pair->private_key != CK_INVALID_HANDLE)
        rv = P11_CALL(conn, C_DestroyObject, conn->session, pair->private_key);
    if (rv == CKR_OK && pair->public_key != CK_INVALID_HANDLE)
        rv = P11_CALL(conn, C_DestroyObject, conn->session, pair->public_key);
    return rv;
}

static CK_RV
discard_class(struct p11_conn *conn, CK_OBJECT_CLASS class, const uint8_t id[KEYSTORE_ID_LEN],
              size_t *n)
{
    CK_OBJECT_HANDLE found[SAME_ID_MAX];
    size_t got = SAME_ID_MAX;
    CK_RV rv = CKR_OK;
    while (rv == CKR_OK && got == SAME_ID_MAX) {
        rv = find_by_id(conn, class, id, found, &got);
        for (size_t i = 0; rv == CKR_OK && i < got; i++, ++*n)
            rv = P11_CALL(conn, C_DestroyObject, conn->session, found[i]);
    }
    return rv;
}

CK_RV
p11_key_discard(struct p11_conn *conn, const uint8_t id[KEYSTORE_ID_LEN], size_t *n)
{
    *n = 0;
    CK_RV rv = discard_class(conn, CKO_PRIVATE_KEY, id, n);
    return rv == CKR_OK ? discard_class(conn, CKO_PUBLIC_KEY, id, n) : rv;
}

CK_RV
p11_key_sign(struct p11_conn *conn, CK_OBJECT_HANDLE private_key, const void *msg, size_t msg_len,
             uint8_t sig[ED25519_SIG_LEN])
{
    /* No parameter: plain Ed25519. Modules refuse an empty CK_EDDSA_PARAMS as often as not. */
    CK_MECHANISM mechanism = {CKM_EDDSA, NULL, 0};
    CK_RV rv = P11_CALL(conn, C_SignInit, conn->session, &mechanism, private_key);
    if (rv != CKR_OK)
        return rv;
    CK_ULONG sig_len = ED25519_SIG_LEN;
    rv = P11_CALL(conn, C_Sign, conn->session, (CK_BYTE_PTR)msg, msg_len, sig, &sig_len);
    if (rv == CKR_OK && sig_len != ED25519_SIG_LEN)
        return CKR_SIGNATURE_LEN_RANGE;
    return rv;
}
