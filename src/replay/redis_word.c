/* SPDX-License-Identifier: MIT */
#include "replay/redis_word.h"

#include <string.h>

#include "base/bytes.h"

static const struct redis_word words[] = {
    /* It serves nobody here and now. */
    {"LOADING", ATTEST_E_IO, "Redis is still loading its data"},
    {"BUSY", ATTEST_E_IO, "Redis is busy with a script"},
    {"CLUSTERDOWN", ATTEST_E_IO, "the Redis Cluster is down"},
    {"ERR max number of clients", ATTEST_E_IO, "Redis takes no more connections (maxclients)"},
    /* It refuses us. */
    {"NOAUTH", ATTEST_E_DENIED, "Redis wants a password"},
    {"WRONGPASS", ATTEST_E_DENIED, "Redis refuses user or password"},
    {"ERR AUTH", ATTEST_E_DENIED, "Redis refuses user or password: it has none set"},
    {"DENIED", ATTEST_E_DENIED, "Redis is in protected mode"},
    {"NOPERM", ATTEST_E_DENIED,
     "the ACL must allow info, get, set, watch, multi, exec on attest:{seen}:*"},
    /* It refuses what we ask for, and was told to, or is another one than should be asked. */
    {"NOREPLICAS", ATTEST_E_CONFIG, "Redis takes no writes without its replicas"},
    {"OOM", ATTEST_E_CONFIG, "Redis is full"}, /* which those who are let in can bring about */
    {"MISCONF", ATTEST_E_CONFIG, "Redis takes no writes because it cannot save"},
    {"WRONGTYPE", ATTEST_E_CONFIG, "somebody else has written to our keys"},
    {"READONLY", ATTEST_E_CONFIG, "this Redis has become a replica"},
    {"MASTERDOWN", ATTEST_E_CONFIG, "this Redis has become a replica"},
    {"MOVED", ATTEST_E_CONFIG,
     "Redis Cluster keeps these keys on another node, which has to be named"},
    {"ASK", ATTEST_E_CONFIG, "Redis Cluster is moving these keys to another node"},
    {"TRYAGAIN", ATTEST_E_CONFIG, "Redis Cluster is moving these keys to another node"},
    {"ERR DB index", ATTEST_E_CONFIG, "Redis has no such database"},
    {"ERR SELECT", ATTEST_E_CONFIG, "Redis has no such database"},
};

const struct redis_word *
redis_word_find(const char *reply)
{
    static const struct redis_word unknown = {"", ATTEST_E_CONFIG,
                                              "Redis refuses, for a reason not known here"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t len = strlen(words[i].prefix);
        if (strncmp(reply, words[i].prefix, len) == 0 && (reply[len] == ' ' || reply[len] == '\0'))
            return &words[i];
    }
    return &unknown;
}
