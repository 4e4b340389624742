/* SPDX-License-Identifier: MIT */
/*
 * What is on a token, past the keystore: a line "private ID" for each private key, "public ID KID"
 * for each public one, "data LABEL" for each data object.
 *
 *     p11_kids MODULE URI PIN-FILE
 *
 * Exit status 0, or 3 when it could not be done.
 */
#include <string.h>

#include "base/file.h"
#include "hsm/p11_key.h"
#include "jwks/jwk.h"

enum { OBJECTS_MAX = 1024 };

/* The value of an attribute, or nothing. */
static struct slice
attribute(struct p11_conn *conn, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, char *out,
          size_t size)
{
    CK_ATTRIBUTE attr = {type, out, size};
    if (conn->f->C_GetAttributeValue(conn->session, object, &attr, 1) != CKR_OK)
        return (struct slice){out, 0};
    return (struct slice){out, attr.ulValueLen};
}

static void
print_object(struct p11_conn *conn, CK_OBJECT_CLASS class, CK_OBJECT_HANDLE object)
{
    char id[64], more[128], hex[2 * sizeof(id) + 1], kid[JWK_THUMBPRINT_LEN + 1] = "?";
    struct pubkey public_key = {.type = PUBKEY_ED25519};
    struct slice id_value = attribute(conn, object, CKA_ID, id, sizeof(id));
    if (class == CKO_DATA) {
        struct slice label = attribute(conn, object, CKA_LABEL, more, sizeof(more));
        printf("data %.*s\n", SLICE_ARG(label));
        return;
    }
    hex_encode(hex, (const uint8_t *)id_value.p, id_value.len);
    if (class == CKO_PRIVATE_KEY) {
        printf("private %s\n", hex);
        return;
    }
    struct slice point = attribute(conn, object, CKA_EC_POINT, more, sizeof(more));
    if (p11_point_decode((const uint8_t *)point.p, point.len, public_key.bytes))
        jwk_thumbprint(kid, &public_key);
    printf("public %s %s\n", hex, kid);
}

static bool
print_class(struct p11_conn *conn, CK_OBJECT_CLASS class)
{
    static CK_OBJECT_HANDLE found[OBJECTS_MAX];
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_TOKEN, &yes, sizeof(yes)}};
    size_t n = 0;
    if (p11_find_objects(conn, template, 2, found, OBJECTS_MAX, &n) != CKR_OK)
        return false;
    for (size_t i = 0; i < n; i++)
        print_object(conn, class, found[i]);
    return true;
}

int
main(int argc, char **argv)
{
    struct p11_module module = {0};
    struct p11_conn conn = {0};
    AUTO(p11_uri) struct p11_uri *uri = NULL;
    AUTO(buf) struct buf pin;
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    CK_RV rv;
    buf_init(&pin, 256);
    if (argc != 4 || crypto_init(NULL) || p11_uri_parse(argv[2], &uri, NULL) ||
        p11_module_load(&module, argv[1], NULL) || file_read(argv[3], 255, &pin, NULL))
        return 3;
    while (pin.len && pin.p[pin.len - 1] == '\n')
        pin.len--;
    conn.f = module.f;
    if (p11_module_initialize(&module, &conn) != CKR_OK ||
        p11_find_slot(&conn, uri, &slot, &info, &rv, NULL) ||
        conn.f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &conn.session) != CKR_OK ||
        conn.f->C_Login(conn.session, CKU_USER, (CK_UTF8CHAR_PTR)pin.p, pin.len) != CKR_OK ||
        !print_class(&conn, CKO_PRIVATE_KEY) || !print_class(&conn, CKO_PUBLIC_KEY) ||
        !print_class(&conn, CKO_DATA))
        return 3;
    p11_module_finalize(&module, &conn);
    return 0;
}
