/* SPDX-License-Identifier: MIT */
#include "issuer/issuer_config.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "token/subject.h"

#define AT(member) offsetof(struct issuer_config, member)

static const struct config_key keys[] = {
    {"issuer", CONFIG_STRING, AT(issuer), .required = true,
     .help = "URL that names this provider, the iss of every token; https, or http on loopback"},
    {"listen", CONFIG_LIST, AT(listen), .fallback = "[\"127.0.0.1:8080\"]",
     .help = "where to serve: \"ADDRESS:PORT\", \"[ADDRESS]:PORT\" or \"unix:/path\"; sockets that "
             "the service manager passes under the name attestd take its place"},
    {"unix_group", CONFIG_STRING, AT(unix_group),
     .help = "group that may connect to the UNIX sockets; without it everyone may"},
    {"mint_users", CONFIG_LIST, AT(mint_users),
     .help = "users (names or numbers) that may mint over a UNIX socket"},
    {"signer_socket", CONFIG_STRING, AT(signer_socket),
     .fallback = "/run/attest-signer/signer.sock", .help = "socket of attest-signer"},
    {"event_log", CONFIG_STRING, AT(event_log),
     .fallback = "/sys/kernel/security/tpm0/binary_bios_measurements",
     .help = "the firmware's event log, given along with evidence where it can be read; empty for "
             "none"},
    {"admin_listen", CONFIG_STRING, AT(admin_listen), .fallback = "127.0.0.1:9464",
     .help = "where to serve the metrics: \"ADDRESS:PORT\" or \"unix:/path\"; empty for nowhere"},
    {"tls.certificate", CONFIG_STRING, AT(tls_certificate),
     .help = "PEM file with the certificate chain; TCP listeners then speak TLS only"},
    {"tls.key", CONFIG_STRING, AT(tls_key), .help = "PEM file with the certificate's private key"},
    {"threads", CONFIG_INT, AT(threads), .fallback = "2", .min = 1, .max = 64,
     .help = "threads that serve requests"},
    {"connections_max", CONFIG_INT, AT(connections_max), .fallback = "8192", .min = 16,
     .max = 1000000, .help = "connections at once, all listeners together"},
    {"per_address_max", CONFIG_INT, AT(per_address_max), .fallback = "64", .min = 1, .max = 1000000,
     .help = "connections at once from one IPv4 address or one IPv6 /64"},
    {"proxies", CONFIG_LIST, AT(proxies),
     .help = "addresses that per_address_max does not apply to"},
    {"request_timeout_ms", CONFIG_INT, AT(request_timeout_ms), .fallback = "10000", .min = 100,
     .max = 600000,
     .help = "time for one complete request, from connecting (TLS included) or from its first line "
             "on, in milliseconds; slow bytes do not prolong it"},
    {"idle_timeout_s", CONFIG_INT, AT(idle_timeout_s), .fallback = "60", .min = 1, .max = 86400,
     .help = "time a connection may wait between requests, in seconds"},
    {"sign_timeout_ms", CONFIG_INT, AT(sign_timeout_ms), .fallback = "5000", .min = 10,
     .max = 120000, .help = "time to wait for attest-signer, in milliseconds"},
    {"development", CONFIG_BOOL, AT(development),
     .help = "allow what suits only a developer's machine; announced at every start"},
    {"stop_s", CONFIG_INT, AT(stop_s), .fallback = "10", .min = 0, .max = 600,
     .help = "time to finish what was accepted when stopping, in seconds"},
    {"log_level", CONFIG_ENUM, AT(log_level), .fallback = "info", .choices = log_level_names,
     .help = "error, warning, info or debug"},
};

const struct config_schema issuer_config_schema = {
    .program = "attestd",
    .env_prefix = "ATTESTD_",
    .keys = keys,
    .n_keys = ARRAY_LEN(keys),
};

enum attest_rc
issuer_config_check(const struct issuer_config *config, struct attest_error *err)
{
    enum attest_rc rc = issuer_check(slice_cstr(config->issuer), true, err);
    if (rc)
        return rc;
    if (!config->tls_certificate != !config->tls_key)
        return error_set(err, ATTEST_E_CONFIG, "tls.%s: missing beside tls.%s",
                         config->tls_key ? "certificate" : "key",
                         config->tls_key ? "key" : "certificate");
    if (config->tls_key && strncmp(config->tls_key, "pkcs11:", 7) == 0)
        return error_set(err, ATTEST_E_CONFIG,
                         "tls.key: must be a file; attestd never opens a token");
    return ATTEST_OK;
}
