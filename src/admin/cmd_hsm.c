/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "admin/answer.h"
#include "admin/daemons.h"
#include "admin/pins.h"
#include "admin/table.h"
#include "base/jsondoc.h"
#include "hsm/token_admin.h"

/* The token that is meant: from the options, else from the signer's configuration. */
struct target {
    struct signer_config settings;
    const char *module, *uri;
};

static void
target_auto(struct target *t)
{
    signer_settings_done(&t->settings);
}

static enum exit_status
find_target(const struct options *o, bool uri_needed, struct target *t)
{
    struct attest_error err = {0};
    /* What is said in full on the line needs no file. */
    bool look = o->config || !o->module || (uri_needed && !o->keystore);
    if (look && signer_settings(o->config, &t->settings, &err))
        return complain(EXIT_FAILED, "%s; correct it, or name another with --config", err.text);
    t->module = o->module ? o->module : t->settings.module;
    t->uri = o->keystore ? o->keystore : t->settings.keystore;
    if (uri_needed && !t->uri)
        return complain(EXIT_USAGE, "which token? give --keystore pkcs11:token=NAME or --config");
    return EXIT_DONE;
}

static const char *
advice_for(enum attest_rc rc)
{
    switch (rc) {
    case ATTEST_E_KEY_OUT_OF_REACH:
        return "see what is there with attestctl hsm slots";
    case ATTEST_E_PIN:
        return "it was tried once; some tokens lock after three";
    default:
        return NULL;
    }
}

static const char *
slot_state(const struct token_slot *slot)
{
    return !slot->present       ? "empty"
           : !slot->initialized ? "not initialised"
           : slot->pin_locked   ? "PIN locked"
           : !slot->pin_set     ? "no PIN"
                                : "ready";
}

static json_t *
slot_json(const struct token_slot *slot)
{
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s}", "slot", (json_int_t)slot->slot_id,
                     "description", slot->description, "state", slot_state(slot), "label",
                     slot->label, "manufacturer", slot->manufacturer, "model", slot->model,
                     "serial", slot->serial);
}

static enum exit_status
print_slots(const struct options *o, const struct token_slot *slots, size_t n)
{
    if (o->json) {
        AUTO(json_t) json_t *list = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(list, slot_json(&slots[i]));
        AUTO(json_t) json_t *object = json_pack("{s:O}", "slots", list);
        return print_json(object);
    }
    static const char *const heads[] = {"SLOT",         "STATE", "LABEL",
                                        "MANUFACTURER", "MODEL", "SERIAL"};
    AUTO(table) struct table t;
    table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < n; i++) {
        table_cell(&t, "%lu", slots[i].slot_id);
        table_cell(&t, "%s", slot_state(&slots[i]));
        table_cell(&t, "%s", slots[i].label);
        table_cell(&t, "%s", slots[i].manufacturer);
        table_cell(&t, "%s", slots[i].model);
        table_cell(&t, "%s", slots[i].serial);
    }
    return table_print(&t, stdout) ? EXIT_DONE : complain(EXIT_FAILED, "out of memory");
}

enum exit_status
cmd_hsm_slots(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    AUTO(target) struct target target = {0};
    enum exit_status status = find_target(o, false, &target);
    if (status)
        return status;
    AUTO(mem) struct token_slot *slots = NULL;
    size_t n = 0;
    struct attest_error err = {0};
    if (token_admin_slots(target.module, &slots, &n, &err))
        return report(o, &err, "name the PKCS#11 module with --module");
    return print_slots(o, slots, n);
}

static bool
read_slot(const char *text, unsigned long *ret)
{
    char *end;
    errno = 0;
    *ret = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

enum exit_status
cmd_hsm_init(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    AUTO(target) struct target target = {0};
    AUTO(secret) struct secret so_pin = {0};
    AUTO(secret) struct secret pin = {0};
    struct token_init init = {
        .label = o->label, .so_pin = &so_pin, .pin = &pin, .any_slot = !o->slot};
    if (!o->label)
        return complain(EXIT_USAGE, "how is the token to be called? give --label NAME");
    if (o->slot && !read_slot(o->slot, &init.slot_id))
        return complain(EXIT_USAGE, "--slot takes a number; see attestctl hsm slots");
    enum exit_status status = find_target(o, false, &target);
    if (status == EXIT_DONE)
        status = pin_get_new(o, "new PIN of the security officer", o->so_pin_file, "so-pin-file",
                             &so_pin);
    if (status == EXIT_DONE)
        status = pin_get_new(o, "new PIN of the user", o->pin_file, "pin-file", &pin);
    if (status)
        return status;
    struct token_slot slot = {0};
    struct attest_error err = {0};
    if (token_admin_init(target.module, &init, &slot, &err))
        return report(o, &err, advice_for(err.rc));
    return print_slots(o, &slot, 1);
}

enum exit_status
cmd_hsm_pin(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    bool so = o->so_pin_file != NULL;
    if (so && o->pin_file)
        return complain(EXIT_USAGE, "one PIN at a time; give --pin-file or --so-pin-file");
    AUTO(target) struct target target = {0};
    AUTO(secret) struct secret old_pin = {0};
    AUTO(secret) struct secret new_pin = {0};
    enum exit_status status = find_target(o, true, &target);
    if (status == EXIT_DONE)
        status =
            pin_get(o, "PIN as it is", so ? o->so_pin_file : o->pin_file, "pin-file", &old_pin);
    if (status == EXIT_DONE)
        status = pin_get_new(o, "new PIN", o->new_pin_file, "new-pin-file", &new_pin);
    if (status)
        return status;
    struct attest_error err = {0};
    if (token_admin_pin(target.module, target.uri, so, &old_pin, &new_pin, &err))
        return report(o, &err, advice_for(err.rc));
    if (o->json) {
        AUTO(json_t) json_t *object = json_pack("{s:b}", "ok", 1);
        return print_json(object);
    }
    printf("the PIN of the %s is changed\n", so ? "security officer" : "user");
    return EXIT_DONE;
}

enum exit_status
cmd_hsm_info(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    AUTO(target) struct target target = {0};
    enum exit_status status = find_target(o, true, &target);
    if (status)
        return status;
    struct token_info info = {0};
    struct attest_error err = {0};
    if (token_admin_info(target.module, target.uri, &info, &err))
        return report(o, &err, advice_for(err.rc));
    AUTO(json_t) json_t *object = slot_json(&info.slot);
    AUTO(json_t)
    json_t *rest = json_pack(
        "{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:b, s:b}", "module",
        info.module_description, "module_manufacturer", info.module_manufacturer, "module_version",
        json_sprintf("%u.%u", info.module_major, info.module_minor), "cryptoki_version",
        json_sprintf("%u.%u", info.cryptoki_major, info.cryptoki_minor), "sessions_max",
        (json_int_t)info.sessions_max, "pin_len_min", (json_int_t)info.pin_len_min, "pin_len_max",
        (json_int_t)info.pin_len_max, "login_required", info.login_required, "write_protected",
        info.write_protected, "pin_final_try", info.pin_final_try, "random_generator", info.has_rng,
        "generates_ed25519", info.generates_ed25519, "signs_ed25519", info.signs_ed25519);
    if (!rest || json_object_update(object, rest))
        return complain(EXIT_FAILED, "out of memory");
    if (o->json)
        return print_json(object);
    AUTO(table) struct table t;
    table_init(&t, NULL, 2);
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        table_cell(&t, "%s", name);
        table_cell(&t, "%s", cell_text(&(struct cell){{0}}, value));
    }
    return table_print(&t, stdout) ? EXIT_DONE : complain(EXIT_FAILED, "out of memory");
}

/* Keeps each step for --json, and shows it to a person as it comes. */
struct steps {
    bool json;
    json_t *list;
};

static void
take_step(void *ctx, const char *step, enum attest_rc rc, const char *text)
{
    struct steps *steps = ctx;
    if (steps->json)
        json_array_append_new(steps->list, json_pack("{s:s, s:b, s:s}", "step", step, "ok",
                                                     rc == ATTEST_OK, "text", text));
    else
        printf("%-10s  %-6s  %s\n", step, rc ? "failed" : "ok", text);
}

enum exit_status
cmd_hsm_check(const struct options *o, char **args, int n_args)
{
    (void)args;
    (void)n_args;
    AUTO(target) struct target target = {0};
    AUTO(secret) struct secret pin = {0};
    enum exit_status status = find_target(o, true, &target);
    if (status == EXIT_DONE)
        status = pin_get(o, "PIN", o->pin_file ? o->pin_file : target.settings.pin_file, "pin-file",
                         &pin);
    if (status)
        return status;
    AUTO(json_t) json_t *list = json_array();
    struct steps steps = {.json = o->json, .list = list};
    struct token_check check = {
        .module = target.module,
        .uri = target.uri,
        .pin = &pin,
        .ec_params_name_first = target.settings.ec_params == SIGNER_EC_PARAMS_NAME,
        .report = take_step,
        .ctx = &steps,
    };
    struct attest_error err = {0};
    enum attest_rc rc = token_admin_check(&check, &err);
    if (!o->json)
        return rc ? report(o, &err, advice_for(rc)) : EXIT_DONE;
    AUTO(json_t)
    json_t *object = json_pack("{s:b, s:O, s:s*}", "ok", rc == ATTEST_OK, "steps", list, "error",
                               rc ? err.text : NULL);
    status = print_json(object);
    return status ? status : status_of(rc);
}
