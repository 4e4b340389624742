/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_EVIDENCE_VECTOR_H
#define SUPPORT_EVIDENCE_VECTOR_H

/*
 * Evidence as a TPM made it (tests/vectors/evidence/swtpm, by swtpm and tpm2-tools), for the tests
 * of src/evidence: evidence_load and evidence_unload are a group's set-up and end.
 */
#include <stdlib.h>
#include <string.h>

#include "base/b64u.h"
#include "evidence/document.h"
#include "support/vector.h"

#define AT "evidence/swtpm/"

static struct {
    char *bytes[6];
    struct evidence evidence;
    uint8_t name[TPM_NAME_LEN];
    struct evidence_expect expect;
} real;

static inline struct slice
vector(size_t i, const char *name)
{
    size_t len;
    real.bytes[i] = vector_read(name, &len);
    return (struct slice){real.bytes[i], len};
}

static inline int
evidence_load(void **state)
{
    (void)state;
    struct attest_error err = {0};
    struct evidence *e = &real.evidence;
    assert_int_equal(crypto_init(&err), ATTEST_OK);
    e->key_set = vector(0, AT "key_set");
    e->quote = vector(1, AT "quote");
    e->signature = vector(2, AT "signature");
    e->ak_public = vector(3, AT "ak_public");
    struct slice nonce = vector(4, AT "nonce");
    assert_int_equal(nonce.len, EVIDENCE_NONCE_LEN);
    memcpy(e->nonce, nonce.p, nonce.len);
    if (evidence_pcrs_read(vector(5, AT "pcrs"), &e->pcrs, &err))
        fail_msg("pcrs: %s", err.text);
    char *name = vector_line(AT "name");
    assert_true(hex_decode(real.name, sizeof(real.name), slice_cstr(name)));
    free(name);
    real.expect = (struct evidence_expect){real.name, &e->pcrs, e->nonce};
    return 0;
}

static inline int
evidence_unload(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(real.bytes); i++)
        free(real.bytes[i]);
    return 0;
}

static inline void
must_fail(const struct evidence *e, const struct evidence_expect *x, enum evidence_check check,
          const char *says)
{
    struct evidence_verdict v;
    struct attest_error err = {0};
    enum attest_rc rc = evidence_check(e, x, &v, &err);
    if (rc != ATTEST_E_DENIED || err.rc != rc || v.failed != check || !strstr(err.text, says))
        fail_msg("expected '%s' (%s), got %d '%s': %s", evidence_check_name(check), says, rc,
                 evidence_check_name(v.failed), err.text);
}

static inline void
must_pass(const struct evidence *e, const struct evidence_expect *x)
{
    struct evidence_verdict v;
    struct attest_error err = {0};
    if (evidence_check(e, x, &v, &err) || v.failed != EVIDENCE_CHECKS)
        fail_msg("%s: %s", evidence_check_name(v.failed), err.text);
}

#endif
