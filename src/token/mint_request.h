/* SPDX-License-Identifier: MIT */
#ifndef TOKEN_MINT_REQUEST_H
#define TOKEN_MINT_REQUEST_H

#include "base/ed25519.h"
#include "base/json.h"

/*
 * What an agent asks for: the body of POST /v1/attestations (docs/protocol.md, "Minting") and the
 * member `claims` of the signer's `sign` request, which are one form. attestd parses it to refuse
 * early and to name the member; the signer parses it again because it does not believe attestd.
 */

#define MINT_AUDIENCES_MAX 8
#define MINT_CAPABILITIES_MAX 64

enum mint_cnf {
    MINT_CNF_ABSENT, /* the caller's own key where it has one */
    MINT_CNF_NULL,   /* an unbound token, please */
    MINT_CNF_KEY,
};

/* Every slice borrows from the text that was read; an absent one has p NULL. */
struct mint_request {
    struct slice audience[MINT_AUDIENCES_MAX];
    size_t n_audiences;
    bool audience_is_array; /* so that one name in an array stays an array */
    struct slice model_family, model_version, provider, deployment_id;
    bool enterprise;
    struct slice org_id, workload_id, deployment_env;
    struct slice config_hash, system_prompt_hash;
    struct slice safety_level; /* absent: "standard" */
    struct slice capabilities[MINT_CAPABILITIES_MAX];
    size_t n_capabilities;
    struct slice nested_attestation;
    enum mint_cnf cnf;
    uint8_t cnf_key[ED25519_PUBLIC_LEN];
    struct slice cnf_proof;
    int64_t lifetime_s; /* 0: the default */
};

/*
 * Strict: unknown members, wrong types and forbidden bytes are refused by name. err's text starts
 * with the member's path ("agent_identity.provider: missing"), member (of member_size bytes) gets
 * the path alone. ATTEST_E_CLAIMS when the form is wrong.
 */
enum attest_rc mint_request_read(const struct json *j, const struct json_node *object,
                                 struct mint_request *ret, char *member, size_t member_size,
                                 struct attest_error *err);

/* The same as one JSON object, for the frame to the signer and for clients. */
void mint_request_write(const struct mint_request *request, struct buf *out);

/* The limits a reader of it uses. */
extern const struct json_limits mint_request_limits;

#endif
