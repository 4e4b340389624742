/* SPDX-License-Identifier: MIT */
#include "hsm/p11_uri.h"

#include <p11-kit/uri.h>
#include <string.h>

struct p11_uri {
    P11KitUri *kit;
};

void
p11_uri_free(struct p11_uri *uri)
{
    if (!uri)
        return;
    p11_kit_uri_free(uri->kit);
    free(uri);
}

/* p11-kit drops query attributes that it does not know; a misspelt one would go unnoticed. */
static bool
query_known(const char *text)
{
    static const char known[] = "module-path=";
    const char *p = strchr(text, '?');
    while (p) {
        if (strncmp(p + 1, known, sizeof(known) - 1) != 0)
            return false;
        p = strchr(p + 1, '&');
    }
    return true;
}

static enum attest_rc
check_members(const struct p11_uri *uri, const char *text, struct attest_error *err)
{
    CK_ULONG n_attributes = 0;
    p11_kit_uri_get_attributes(uri->kit, &n_attributes);
    if (p11_kit_uri_get_pin_value(uri->kit))
        return error_set(err, ATTEST_E_CONFIG,
                         "keystore URI: pin-value is refused; put the PIN into a file");
    if (p11_kit_uri_get_pin_source(uri->kit))
        return error_set(err, ATTEST_E_CONFIG,
                         "keystore URI: pin-source is not used; set pin.file instead");
    if (p11_kit_uri_get_module_name(uri->kit))
        return error_set(err, ATTEST_E_CONFIG,
                         "keystore URI: module-name is not used; give module-path");
    if (n_attributes > 0)
        return error_set(err, ATTEST_E_CONFIG,
                         "keystore URI: names an object (object, type or id); name a token only");
    if (p11_kit_uri_any_unrecognized(uri->kit) || !query_known(text))
        return error_set(err, ATTEST_E_CONFIG, "keystore URI: has an unknown attribute");
    const char *path = p11_kit_uri_get_module_path(uri->kit);
    if (path && path[0] != '/')
        return error_set(err, ATTEST_E_CONFIG, "keystore URI: module-path must be absolute");
    return ATTEST_OK;
}

enum attest_rc
p11_uri_parse(const char *text, struct p11_uri **ret, struct attest_error *err)
{
    AUTO(p11_uri) struct p11_uri *uri = calloc(1, sizeof(*uri));
    if (!uri || !(uri->kit = p11_kit_uri_new()))
        return error_set(err, ATTEST_E_NOMEM, "out of memory");
    int result = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri->kit);
    if (result != P11_KIT_URI_OK)
        return error_set(err, ATTEST_E_CONFIG, "keystore URI: %s", p11_kit_uri_message(result));
    enum attest_rc rc = check_members(uri, text, err);
    if (rc)
        return rc;
    *ret = STEAL(uri);
    return ATTEST_OK;
}

const char *
p11_uri_module_path(const struct p11_uri *uri)
{
    return p11_kit_uri_get_module_path(uri->kit);
}

bool
p11_uri_match(const struct p11_uri *uri, const CK_INFO *module, CK_SLOT_ID slot,
              const CK_SLOT_INFO *slot_info, const CK_TOKEN_INFO *token)
{
    CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(uri->kit);
    return (wanted == (CK_SLOT_ID)-1 || wanted == slot) &&
           p11_kit_uri_match_module_info(uri->kit, module) &&
           p11_kit_uri_match_slot_info(uri->kit, slot_info) &&
           p11_kit_uri_match_token_info(uri->kit, token);
}
