#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the cases es256_* of tests/vectors/valid and tests/vectors/invalid.

    tests/support/make_es256_vectors.py tests/vectors

The key is that of RFC 6979 appendix A.2.5. A signature's secret number is a hash of key and
message, as in that RFC in spirit and not in letter: a second run writes the same bytes.
"""
import hashlib
import sys

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from vector_lib import (ISSUER, KEY, NOW, OTHER, Folder, b64u, claims, dumps, header, key_set,
                        token, token_of)

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF


def point(scalar):
    numbers = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
    return numbers.x, numbers.y


def octets(number):
    return number.to_bytes(32, "big")


class EcKey:
    def __init__(self, scalar):
        self.d = scalar
        self.point = point(scalar)
        self.x, self.y = (b64u(octets(n)) for n in self.point)
        text = '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' % (self.x, self.y)
        self.kid = b64u(hashlib.sha256(text.encode()).digest())

    def jwk(self, **changes):
        members = {"kty": "EC", "crv": "P-256", "kid": self.kid, "x": self.x, "y": self.y,
                   "use": "sig", "alg": "ES256"}
        members.update(changes)
        return {k: v for k, v in members.items() if v is not ...}

    def pair(self, message):
        k = int.from_bytes(hashlib.sha256(octets(self.d) + message).digest(), "big") % N
        r = point(k)[0] % N
        h = int.from_bytes(hashlib.sha256(message).digest(), "big")
        return r, pow(k, -1, N) * (h + r * self.d) % N

    def sign(self, message):
        r, s = self.pair(message)
        return octets(r) + octets(s)


TPM = EcKey(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721)
bad = Folder(sys.argv[1] + "/invalid")
good = Folder(sys.argv[1] + "/valid")
KEYS = key_set(TPM.jwk(), KEY.jwk())
BOTH = "ES256 EdDSA\n"


def head(**changes):
    return header(alg="ES256", kid=TPM.kid) | changes


def case(name, expect, content, says=None, keys=KEYS, alg=BOTH):
    bad.case("es256_" + name, expect, content, says, keys=keys, **({"alg": alg} if alg else {}))


def fine(name, content, keys=KEYS, alg=BOTH):
    good.case("es256_" + name, "OK", content, keys=keys, alg=alg)


TOKEN = token(head=head(), key=TPM)
SIGNED = TOKEN.rpartition(b".")[0]
R, S = TPM.pair(SIGNED)


def with_sig(sig):
    return SIGNED + b"." + b64u(sig).encode()


# ---- accepted, where it is allowed ----

fine("token", TOKEN, alg="ES256\n")
fine("beside_eddsa", token())
fine("key_without_alg", TOKEN, keys=key_set(TPM.jwk(alg=..., use=...)))
fine("other_half_of_the_order", with_sig(octets(R) + octets(N - S)))

# ---- refused: nobody asked for it, or the header asks for what the key is not ----

case("not_asked_for", "E_MALFORMED", TOKEN, "alg ES256 is not allowed", alg=None)
case("only_eddsa_asked_for", "E_MALFORMED", TOKEN, "alg ES256 is not allowed", alg="EdDSA\n")
case("only_es256_asked_for", "E_MALFORMED", token(), "alg EdDSA is not allowed", alg="ES256\n")
for name, alg in (("", "ES256"), ("_without_alg", ...)):
    set_ = key_set(TPM.jwk(alg=alg), KEY.jwk(alg=... if alg is ... else "EdDSA"))
    case("eddsa_header_ec_kid" + name, "E_MALFORMED",
         token(head=head(alg="EdDSA"), key=TPM), "alg EdDSA, but", keys=set_)
    case("ed25519_header_ec_kid_signed_by_ed25519" + name, "E_MALFORMED",
         token(head=header(kid=TPM.kid)), "alg EdDSA, but", keys=set_)
    case("es256_header_okp_kid" + name, "E_MALFORMED",
         token(head=header(alg="ES256"), key=TPM), "alg ES256, but", keys=set_)
    case("es256_header_okp_kid_signed_by_ed25519" + name, "E_MALFORMED",
         token(head=header(alg="ES256")), "alg ES256, but", keys=set_)
for alg in "ES384", "ES512", "ES256K", "ES256\n", "es256", "ESP256":
    case("alg_" + alg.strip() + ("_newline" if alg != alg.strip() else ""), "E_MALFORMED",
         token(head=head(alg=alg), key=TPM), "alg is neither")

# ---- refused: signatures ----

for name, sig in (
        ("der", encode_dss_signature(R, S)), ("der_low", encode_dss_signature(R, min(S, N - S))),
        ("63_bytes", (octets(R) + octets(S))[:63]), ("65_bytes", octets(R) + octets(S) + b"\0"),
        ("64_bytes_behind_64", (octets(R) + octets(S)) * 2), ("r_alone", octets(R)),
        ("r_zero", octets(0) + octets(S)), ("s_zero", octets(R) + octets(0)),
        ("zeros", bytes(64)), ("ones", octets(1) * 2), ("ff", b"\xff" * 64),
        ("r_order", octets(N) + octets(S)), ("s_order", octets(R) + octets(N)),
        ("s_order_and_zero_hash", octets(N) + octets(N)),
        ("r_negative", octets(N - R) + octets(S)), ("swapped", octets(S) + octets(R)),
        ("bit", octets(R) + octets(S ^ 1)), ("r_prime_minus", octets(P - R) + octets(S)),
        ("little_endian", octets(R)[::-1] + octets(S)[::-1]),
        ("ed25519", KEY.sign(SIGNED)), ("of_another_key", EcKey(2).sign(SIGNED)),
        ("of_another_message", TPM.sign(SIGNED + b"x"))):
    case("sig_" + name, "E_SIGNATURE", with_sig(sig), "signature")
if R + N < 2**256:
    case("sig_r_plus_order", "E_SIGNATURE", with_sig(octets(R + N) + octets(S)), "signature")

# ---- key sets ----

OFF_CURVE = octets(TPM.point[1] ^ 1)


def keys(name, jwk, expect="E_MALFORMED", says="is no P-256 public key"):
    bad.case("es256_jwks_" + name, expect, key_set(KEY.jwk(), jwk) if expect == "E_MALFORMED"
             else key_set(jwk), says, kind="keyset\n")


keys("not_on_curve", TPM.jwk(y=b64u(OFF_CURVE)))
keys("infinity", TPM.jwk(x=b64u(bytes(32)), y=b64u(bytes(32))))
keys("x_beyond_the_field", TPM.jwk(x=b64u(octets(P)), y=b64u(octets(0))))
keys("x_ff", TPM.jwk(x=b64u(b"\xff" * 32)))
# x = 5 is on the curve; its other spelling, beyond the prime, must not be one.
keys("x_of_two_spellings", TPM.jwk(x=b64u(octets(P + 5)), y=b64u(octets(
    pow(5**3 - 3 * 5 + 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        (P + 1) // 4, P)))))
keys("swapped", TPM.jwk(x=TPM.y, y=TPM.x))
for name, y in (("missing", ...), ("null", None), ("number", 1), ("empty", ""),
                ("31_bytes", b64u(octets(TPM.point[1])[1:])),
                ("33_bytes", b64u(b"\0" + octets(TPM.point[1]))), ("padded", TPM.y + "="),
                ("odd", True)):
    keys("y_" + name, TPM.jwk(y=y))
keys("x_missing", TPM.jwk(x=...))
keys("x_compressed", TPM.jwk(x=b64u(b"\x02" + octets(TPM.point[0]))))
keys("x_whole_point", TPM.jwk(x=b64u(b"\x04" + octets(TPM.point[0]) + octets(TPM.point[1]))))
keys("private", TPM.jwk(d=b64u(octets(TPM.d))), says="private")
keys("private_null", TPM.jwk(d=None), says="private")
keys("private_of_other_curve", TPM.jwk(crv="P-384", d="AA"), says="private")
keys("kid_of_the_other", TPM.jwk(kid=KEY.kid), says="twice")
for name, jwk in (("crv_ed25519", TPM.jwk(crv="Ed25519")), ("crv_p384", TPM.jwk(crv="P-384")),
                  ("crv_small", TPM.jwk(crv="p-256")), ("crv_secp256k1", TPM.jwk(crv="secp256k1")),
                  ("kty_okp", TPM.jwk(kty="OKP")), ("kty_small", TPM.jwk(kty="ec")),
                  ("okp_of_ec", KEY.jwk(crv="P-256")), ("ec_of_okp", KEY.jwk(kty="EC")),
                  ("alg_eddsa", TPM.jwk(alg="EdDSA")), ("alg_es384", TPM.jwk(alg="ES384")),
                  ("okp_alg_es256", KEY.jwk(alg="ES256")), ("enc", TPM.jwk(use="enc")),
                  ("no_kid", TPM.jwk(kid=...))):
    keys("only_" + name, jwk, "E_NOT_FOUND", "no Ed25519 signature key")

# ---- signed key sets: who pins such a root allows it ----

ROOT = dumps({k: v for k, v in TPM.jwk().items() if k in ("kty", "crv", "x", "y")}) + "\n"
SET = {"iss": ISSUER, "sub": ISSUER, "iat": NOW - 10, "exp": NOW + 3590,
       "keys": [KEY.jwk(), TPM.jwk()], "log_keys": [TPM.jwk()], "revoked": []}


def signed_set(key=TPM, payload=SET, **changes):
    return token_of(dumps({"alg": "ES256", "typ": "jwk-set+jwt", "kid": TPM.kid} | changes),
                    dumps(payload), key)


def root(name, expect, content, says=None, jwk=ROOT, folder=bad):
    folder.case("es256_root_" + name, expect, content, says,
                **{"kind": "signed_keyset\n", "root.jwk": jwk})


root("set", "OK", signed_set(), folder=good)
root("next_is_ed25519", "OK", signed_set(payload=SET | {"next_root": OTHER.jwk()}), folder=good)
root("next_is_p256", "OK", token_of(
    dumps({"alg": "EdDSA", "typ": "jwk-set+jwt", "kid": OTHER.kid}),
    dumps(SET | {"next_root": TPM.jwk()}), OTHER), jwk=dumps(OTHER.jwk()) + "\n", folder=good)
root("eddsa_header", "E_MALFORMED", signed_set(alg="EdDSA"), "alg EdDSA, but")
root("eddsa_header_signed_so", "E_MALFORMED", signed_set(KEY, alg="EdDSA"), "alg EdDSA, but")
root("of_ed25519", "E_MALFORMED", signed_set(kid=OTHER.kid), "alg ES256, but",
     jwk=dumps({"kty": "OKP", "crv": "Ed25519", "x": OTHER.x}) + "\n")
root("signature", "E_SIGNATURE", signed_set(EcKey(3)))
root("next_not_on_curve", "E_MALFORMED",
     signed_set(payload=SET | {"next_root": TPM.jwk(y=b64u(OFF_CURVE))}), "root key")
root("next_private", "E_MALFORMED",
     signed_set(payload=SET | {"next_root": TPM.jwk(d="AA")}), "root key")
root("next_of_other_alg", "E_MALFORMED",
     signed_set(payload=SET | {"next_root": TPM.jwk(alg="EdDSA")}), "root key")
print("%d hostile, %d valid" % (len(bad.names), len(good.names)))
