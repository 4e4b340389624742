/* SPDX-License-Identifier: MIT */
#ifndef ISSUER_ISSUER_CONFIG_H
#define ISSUER_ISSUER_CONFIG_H

#include "base/config.h"

/* attestd.yaml, ATTESTD_…: the table behind parser, dump, man page and this struct. */
struct issuer_config {
    char *issuer; /* URL, the `iss` of every token */
    struct config_list listen;
    char *unix_group;
    struct config_list mint_users;
    char *signer_socket;
    char *event_log;
    char *admin_listen;
    char *tls_certificate, *tls_key;
    int64_t threads;
    int64_t connections_max, per_address_max;
    struct config_list proxies;
    int64_t request_timeout_ms, idle_timeout_s, sign_timeout_ms, stop_s;
    bool development;
    int log_level;
};

extern const struct config_schema issuer_config_schema;

/*
 * What no single row can say: the issuer's form, certificate and key together, addresses that can
 * be read. ATTEST_E_CONFIG with the key's name in err.
 */
enum attest_rc issuer_config_check(const struct issuer_config *config, struct attest_error *err);

#endif
