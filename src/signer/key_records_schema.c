/* SPDX-License-Identifier: MIT */
#include "signer/key_records_schema.h"

#include "base/auto.h"

const char *const key_records_steps[] = {
    /* Times are seconds since the epoch; 0 is "not yet". */
    "CREATE TABLE key ("
    " id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    " public_key BLOB NOT NULL UNIQUE CHECK (length(public_key) = 32),"
    " purpose TEXT NOT NULL,"
    " alg TEXT NOT NULL,"
    " label TEXT NOT NULL,"
    " created_s INTEGER NOT NULL,"
    " published_s INTEGER NOT NULL DEFAULT 0,"
    " active_s INTEGER NOT NULL DEFAULT 0,"
    " retired_s INTEGER NOT NULL DEFAULT 0,"
    " removed_s INTEGER NOT NULL DEFAULT 0,"
    " revoked_s INTEGER NOT NULL DEFAULT 0,"
    " destroyed_s INTEGER NOT NULL DEFAULT 0"
    ") STRICT, WITHOUT ROWID;",

    /* One row for each thing to be remembered: "log_head", "config". */
    "CREATE TABLE mark ("
    " name TEXT PRIMARY KEY NOT NULL,"
    " seq INTEGER NOT NULL,"
    " hash BLOB NOT NULL CHECK (length(hash) = 32)"
    ") STRICT, WITHOUT ROWID;",

    /* Why it was revoked, or activated before its time. */
    "ALTER TABLE key ADD COLUMN reason TEXT NOT NULL DEFAULT '';"
    /* What the token is to look like, until it is known to. */
    "CREATE TABLE intent ("
    " id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    " destroy INTEGER NOT NULL,"
    " caller TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    /* Changes that the issuance log does not have yet. Numbers are not used again. */
    "CREATE TABLE event ("
    " n INTEGER PRIMARY KEY AUTOINCREMENT,"
    " body TEXT NOT NULL"
    ") STRICT;"
    /* Single values: "instance", "passive", "clock". */
    "CREATE TABLE fact ("
    " name TEXT PRIMARY KEY NOT NULL,"
    " value TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;",

    /* Public keys may be those of P-256 too: SQLite changes no constraint of a table in place. */
    "CREATE TABLE key_new ("
    " id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    " public_key BLOB NOT NULL UNIQUE CHECK (length(public_key) IN (32, 64)),"
    " purpose TEXT NOT NULL,"
    " alg TEXT NOT NULL,"
    " label TEXT NOT NULL,"
    " created_s INTEGER NOT NULL,"
    " published_s INTEGER NOT NULL DEFAULT 0,"
    " active_s INTEGER NOT NULL DEFAULT 0,"
    " retired_s INTEGER NOT NULL DEFAULT 0,"
    " removed_s INTEGER NOT NULL DEFAULT 0,"
    " revoked_s INTEGER NOT NULL DEFAULT 0,"
    " destroyed_s INTEGER NOT NULL DEFAULT 0,"
    " reason TEXT NOT NULL DEFAULT ''"
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO key_new SELECT id, public_key, purpose, alg, label, created_s, published_s,"
    " active_s, retired_s, removed_s, revoked_s, destroyed_s, reason FROM key;"
    "DROP TABLE key;"
    "ALTER TABLE key_new RENAME TO key;",
};

const size_t key_records_n_steps = ARRAY_LEN(key_records_steps);
