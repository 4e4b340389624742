/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_POLICY_FILE_H
#define VERIFY_POLICY_FILE_H

#include "base/config.h"

/* The keys of a policy file, attest-policy.yaml(5); and those of each item of `issuers`. */
extern const struct config_schema policy_file_schema, policy_file_issuer_schema;

#endif
