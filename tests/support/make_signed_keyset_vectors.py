#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the cases signed_keyset_* of tests/vectors/valid and tests/vectors/invalid.

    tests/support/make_signed_keyset_vectors.py tests/vectors

The root is the key of RFC 8032 section 7.1 TEST 2. A second run writes the same bytes.
"""
import sys

from vector_lib import ISSUER, KEY, NOW, OTHER, AGENT, Folder, b64u, change, dumps, token_of

ROOT = OTHER
bad = Folder(sys.argv[1] + "/invalid")
good = Folder(sys.argv[1] + "/valid")
for folder in bad, good:
    folder.put("default_root.jwk", dumps(ROOT.cnf()["jwk"]) + "\n")


def head(**changes):
    members = {"alg": "EdDSA", "typ": "jwk-set+jwt", "kid": ROOT.kid}
    members.update(changes)
    return dumps({k: v for k, v in members.items() if v is not ...})


def payload():
    return {"iss": ISSUER, "sub": ISSUER, "iat": NOW - 10, "exp": NOW + 3590,
            "keys": [KEY.jwk()], "log_keys": [AGENT.jwk()],
            "revoked": [{"kid": "gone", "revoked_at": NOW - 100, "reason": "stolen"}]}


def signed(content=None, header=None, key=ROOT):
    text = content if isinstance(content, (str, bytes)) else dumps(content or payload())
    return token_of(header or head(), text, key)


def case(name, expect, content, says=None, **files):
    bad.case("signed_keyset_" + name, expect, content, says, kind="signed_keyset\n", **files)


def claim(name, path, value, expect="E_MALFORMED", says=None):
    case(name, expect, signed(change(payload(), path, value)), says)


def fine(name, content, **files):
    good.case("signed_keyset_" + name, "OK", content, kind="signed_keyset\n", **files)


GOOD = signed()
H, P, S = GOOD.split(b".")

fine("full", GOOD)
fine("least", signed({"iss": ISSUER, "sub": ISSUER, "iat": NOW, "exp": NOW + 1, "keys": []}))
fine("ed25519", signed(header=head(alg="Ed25519")))
fine("next_root", signed({**payload(), "next_root": AGENT.jwk()}))
fine("unknown_members", signed({**payload(), "metadata": {"a": [1, None]}}))
fine("within_skew", GOOD, now="%d\n" % (NOW + 3590 + 29))
fine("revoked_key_still_listed", signed(
    {**payload(), "revoked": [{"kid": KEY.kid, "revoked_at": NOW, "reason": ""}]}))

# ---- who signed it ----

case("other_root", "E_KEY_UNKNOWN", signed(header=head(kid=AGENT.kid), key=AGENT), "not a pinned root")
case("token_key", "E_KEY_UNKNOWN", signed(header=head(kid=KEY.kid), key=KEY), KEY.kid)
case("root_kid_of_other", "E_SIGNATURE", signed(key=AGENT))
case("signature_cut", "E_SIGNATURE", H + b"." + P + b"." + b64u(ROOT.sign(H + b"." + P)[:63]).encode())
case("signature_of_other_payload", "E_SIGNATURE",
     H + b"." + signed(change(payload(), "iat", NOW - 9)).split(b".")[1] + b"." + S)
case("signature_before_content", "E_SIGNATURE", H + b"." + b64u("{{{").encode() + b"." + S)
case("no_signature", "E_MALFORMED", H + b"." + P + b".")
for name, changes in (
        ("alg_none", {"alg": "none"}), ("alg_HS256", {"alg": "HS256"}), ("alg_missing", {"alg": ...}),
        ("typ_missing", {"typ": ...}), ("typ_JWT", {"typ": "JWT"}),
        ("typ_attestation", {"typ": "agent-attestation+jwt"}),
        ("typ_media_type", {"typ": "application/jwk-set+jwt"}),
        ("typ_upper_case", {"typ": "JWK-SET+JWT"}), ("kid_missing", {"kid": ...}),
        ("kid_number", {"kid": 1}), ("jwk_in_header", {"jwk": ROOT.jwk()}),
        ("crit", {"crit": ["exp"]})):
    case(name, "E_MALFORMED", signed(header=head(**changes)))

# ---- whose it is, and when ----

claim("iss_other", "iss", "https://evil.example", "E_ISSUER")
claim("sub_other", "sub", "https://evil.example", "E_ISSUER")
claim("iss_slash", "iss", ISSUER + "/", "E_ISSUER")
claim("iss_array", "iss", [ISSUER], says="iss")
claim("sub_missing", "sub", ..., says="sub")
case("expired", "E_EXPIRED", GOOD, now="%d\n" % (NOW + 3590 + 30))
case("of_the_future", "E_NOT_YET_VALID", GOOD, now="%d\n" % (NOW - 10 - 31))
claim("lives_too_long", "exp", NOW - 10 + 3601, says="exp")
claim("ends_before_it_begins", "exp", NOW - 11, says="exp")
claim("iat_missing", "iat", ..., says="iat")
claim("iat_negative", "iat", -1, says="iat")
claim("iat_string", "iat", str(NOW), says="iat")
claim("exp_missing", "exp", ..., says="exp")
claim("iat_least", "iat", -2**63, says="iat")
claim("exp_greatest", "exp", 2**63 - 1, says="exp")

# ---- what is in it ----

claim("keys_missing", "keys", ..., says="keys")
claim("keys_object", "keys", {}, says="keys")
claim("keys_kid_twice", "keys", [KEY.jwk(), AGENT.jwk(kid=KEY.kid)], says="twice")
claim("keys_private", "keys", [KEY.jwk(d="AAAA")], says="private")
claim("keys_low_order", "keys", [KEY.jwk(x=b64u(b"\1" + bytes(31)))])
claim("log_keys_private", "log_keys", [KEY.jwk(d="AAAA")], says="private")
claim("log_keys_null", "log_keys", None, says="log_keys")
for name, value in (
        ("object", {}), ("null", None), ("of_strings", ["gone"]),
        ("without_kid", [{"revoked_at": 1}]), ("without_time", [{"kid": "a"}]),
        ("kid_empty", [{"kid": "", "revoked_at": 1}]),
        ("kid_too_long", [{"kid": "k" * 257, "revoked_at": 1}]),
        ("time_string", [{"kid": "a", "revoked_at": "1"}]),
        ("reason_object", [{"kid": "a", "revoked_at": 1, "reason": {}}]),
        ("twice", [{"kid": "a", "revoked_at": 1}, {"kid": "a", "revoked_at": 2}])):
    claim("revoked_" + name, "revoked", value, says="revoked")
for name, value in (("null", None), ("list", [AGENT.jwk()]), ("private", AGENT.jwk(d="AAAA")),
                    ("of_other_kind", {"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
                    ("low_order", AGENT.jwk(x=b64u(b"\1" + bytes(31))))):
    case("next_root_" + name, "E_MALFORMED", signed({**payload(), "next_root": value}), "root key")
case("member_twice", "E_MALFORMED", signed(dumps(payload())[:-1] + ',"keys":[]}'))
case("member_twice_escaped", "E_MALFORMED", signed(dumps(payload())[:-1] + ',"\\u0072evoked":[]}'))
case("bytes_behind", "E_MALFORMED", signed(dumps(payload()) + "x"))
case("payload_array", "E_MALFORMED", signed(dumps([payload()])))
case("deep", "E_MALFORMED", signed(dumps(payload())[:-1] + ',"x":' + "[" * 9 + "]" * 9 + "}"))
case("too_many_values", "E_MALFORMED",
     signed(dumps(payload())[:-1] + ',"x":[' + ",".join("0" * 9000) + "]}"))
case("too_large", "E_LIMIT", signed({**payload(), "x": " " * 49152}))
case("plain_set", "E_MALFORMED", dumps({"keys": [KEY.jwk()]}))
case("empty", "E_MALFORMED", b"")

print("%d hostile, %d valid" % (len(bad.names), len(good.names)))
