/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_INTENT_H
#define HSM_TPM2_INTENT_H

#include "hsm/tpm2_link.h"

/*
 * What a command is about to do with counters of the TPM, on the disk before it is done:
 * PATH.counters beside a file of sealed keys. A TPM has room for few counters, and one that no file
 * names would stay for ever. Whoever comes next undoes what was begun: of the counters that are
 * noted, those which neither PATH nor PATH.new names are removed. So the file of keys alone
 * decides, and a cut may come anywhere.
 *
 * One line of TPM2_INTENT_LINE bytes for each, added in one write: "define" and the handle of one
 * that may be there, "remove" and the handle of one that is there and ours. Where a counter of
 * somebody else's came between, it has a value; what is only noted as "define" is removed only
 * while it has none. Whoever has it open has it locked.
 */

#define TPM2_INTENT_LINE 16 /* bytes, the newline among them */

enum tpm2_intent_kind { TPM2_INTENT_DEFINE, TPM2_INTENT_REMOVE };

struct tpm2_intent {
    int fd; /* -1: not open */
    char *path, *sealed_path;
};

#define TPM2_INTENT_CLOSED ((struct tpm2_intent){.fd = -1})

/* Empty, or with what is left of another time. ATTEST_E_BUSY: another process has it open. */
enum attest_rc tpm2_intent_open(struct tpm2_intent *intent, const char *sealed_path,
                                struct attest_error *err);
void tpm2_intent_close(struct tpm2_intent *intent); /* an empty one is removed */

static inline void
tpm2_intent_auto(struct tpm2_intent *intent)
{
    tpm2_intent_close(intent);
}

/* Durable when it returns ATTEST_OK. */
enum attest_rc tpm2_intent_note(struct tpm2_intent *intent, enum tpm2_intent_kind kind,
                                uint32_t index, struct attest_error *err);

/*
 * Empties it, but for what PATH.new alone names, which nobody knows yet whether it counts. On
 * failure all of it stays for the next time. link: NULL when the TPM is out of reach, which is a
 * failure only if there is something to remove.
 */
enum attest_rc tpm2_intent_settle(struct tpm2_intent *intent, struct tpm2_link *link,
                                  struct attest_error *err);

/* All of that for what is left, if there is something, as far as it goes. */
void tpm2_intent_finish(const char *sealed_path, struct tpm2_link *link);

#endif
