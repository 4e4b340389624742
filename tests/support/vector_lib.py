# SPDX-License-Identifier: MIT
"""What make_invalid_vectors.py makes tokens and key sets of."""
import base64
import copy
import hashlib
import json
import os
import shutil

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://ai.example.com"
AUDIENCE = "https://mcp.example.com"
NOW = 1763700000
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493

# RFC 8032 section 7.1, TEST 1 to TEST 3.
SEEDS = [
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
]


def b64u(data):
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    def __init__(self, seed_hex):
        self.seed = bytes.fromhex(seed_hex)
        self.private = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.x = b64u(self.public)
        text = '{"crv":"Ed25519","kty":"OKP","x":"%s"}' % self.x
        self.kid = b64u(hashlib.sha256(text.encode()).digest())

    def jwk(self, **changes):
        """The key as it is published; a change to ... takes the member out."""
        members = {"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": self.x, "use": "sig",
                   "alg": "EdDSA"}
        members.update(changes)
        return {k: v for k, v in members.items() if v is not ...}

    def cnf(self, **changes):
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": self.x}
        jwk.update(changes)
        return {"jwk": {k: v for k, v in jwk.items() if v is not ...}}

    def sign(self, message):
        return self.private.sign(message)

    def scalar(self):
        h = bytearray(hashlib.sha512(self.seed).digest()[:32])
        h[0] &= 248
        h[31] &= 127
        h[31] |= 64
        return int.from_bytes(h, "little")

    def sign_with_r(self, r_point, message):
        """A signature whose R is a low-order point: r = 0, so S = H(R, A, M) * a."""
        h = hashlib.sha512(r_point + self.public + message).digest()
        s = int.from_bytes(h, "little") * self.scalar() % L
        return r_point + s.to_bytes(32, "little")


KEY, OTHER, AGENT = (Key(seed) for seed in SEEDS)


def dumps(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def header(**changes):
    members = {"alg": "EdDSA", "typ": "JWT", "kid": KEY.kid}
    members.update(changes)
    return {k: v for k, v in members.items() if v is not ...}


def claims():
    return {
        "iss": ISSUER,
        "sub": "spiffe://ai.example.com/model/claude-sonnet-4",
        "aud": AUDIENCE,
        "iat": NOW - 10,
        "nbf": NOW - 10,
        "exp": NOW + 290,
        "jti": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "agent_identity": {
            "model_family": "claude-4",
            "model_version": "claude-sonnet-4",
            "provider": "anthropic",
        },
        "attestation_metadata": {
            "attestation_version": "0.1.0",
            "attestation_type": "provider",
            "safety_level": "standard",
            "capabilities_declared": ["tools"],
        },
    }


def enterprise():
    c = claims()
    c["sub"] = "spiffe://ai.example.com/agent/billing-7"
    c["agent_identity"]["enterprise"] = {
        "org_id": "acme", "workload_id": "billing-7", "deployment_env": "production"}
    c["attestation_metadata"]["attestation_type"] = "enterprise"
    return c


def change(base, path, value):
    """A copy in which the claim at a.b.c has this value, or is gone if it is ... ."""
    c = copy.deepcopy(base)
    at = c
    *way, last = path.split(".")
    for name in way:
        at = at[name]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return c


def token_of(header_text, payload_text, key=KEY):
    """Signs these texts (str or bytes) as they are."""
    signed = (b64u(header_text) + "." + b64u(payload_text)).encode()
    return (signed + b"." + b64u(key.sign(signed)).encode())


def token(payload=None, head=None, key=KEY):
    return token_of(dumps(header() if head is None else head),
                    dumps(claims() if payload is None else payload), key)


def raw_claim(path, text):
    """A signed token in which the claim at path is written as this text."""
    marker = "@@@"
    payload = dumps(change(claims(), path, marker)).replace('"%s"' % marker, text)
    return token_of(dumps(header()), payload)


def key_set(*keys, **more):
    return dumps({"keys": list(keys), **more})


class Folder:
    """tests/vectors/NAME. Cases that others put there stay."""

    def __init__(self, path):
        self.path = path
        os.makedirs(path, exist_ok=True)
        self.names = set()

    def put(self, name, content):
        if isinstance(content, str):
            content = content.encode()
        with open(os.path.join(self.path, name), "wb") as f:
            f.write(content)

    def case(self, name, expect, content, says=None, **files):
        assert name not in self.names, name
        self.names.add(name)
        shutil.rmtree(os.path.join(self.path, name), ignore_errors=True)
        os.makedirs(os.path.join(self.path, name))
        self.put(name + "/input", content)
        self.put(name + "/expect", expect + "\n")
        if says:
            self.put(name + "/says", says + "\n")
        for file_name, text in files.items():
            self.put(name + "/" + file_name, text)
