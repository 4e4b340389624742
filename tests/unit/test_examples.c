/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "issuer/issuer_config.h"
#include "signer/signer_config.h"

#define EXAMPLES TESTS_DIR "/../packaging/"

/* The configuration files that are installed as examples are ones that the daemons accept. */
static void
test_examples(void **state)
{
    (void)state;
    struct attest_error err = {0};
    struct issuer_config issuer = {0};
    struct signer_config signer = {0};
    if (config_load(&issuer_config_schema, EXAMPLES "attestd.yaml", NULL, &issuer, &err) ||
        issuer_config_check(&issuer, &err))
        fail_msg("%s", err.text);
    if (config_load(&signer_config_schema, EXAMPLES "attest-signer.yaml", NULL, &signer, &err) ||
        signer_config_check(&signer, &err))
        fail_msg("%s", err.text);

    /* And they fit together. */
    assert_string_equal(issuer.issuer, signer.issuer);
    assert_string_equal(issuer.signer_socket, signer.signer_socket);
    assert_false(issuer.development);
    assert_false(signer.development);
    assert_string_equal(signer.signer_users.items[0], "attestd");
    config_done(&issuer_config_schema, &issuer);
    config_done(&signer_config_schema, &signer);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
