# SPDX-License-Identifier: MIT
"""The other side of the interoperability test, with PyJWT.

    pyjwt.py verify ISSUER AUDIENCE   token on standard input; prints its sub; exit 1 with the error
    pyjwt.py ride ISSUER AUDIENCE     for each token, a line of standard input, one line: "ok", or "no" and
                                      the error; one key set kept by PyJWKClient, for 2 s at most
    pyjwt.py judge JWKS ISSUER AUDIENCE
                                      the same with a key set in a file, and tokens in base64url
    pyjwt.py sign CLAIMS JWKS KID     signs the claims in a file with a new key, whose public half goes
                                      to the file JWKS; prints the token
"""
import base64
import json
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def decode(client, token, issuer, audience):
    return jwt.decode(
        token,
        client.get_signing_key_from_jwt(token).key,
        algorithms=["EdDSA"],
        issuer=issuer,
        audience=audience,
        options={"require": ["exp", "iat", "nbf", "iss", "aud", "sub", "jti"]},
    )


def verify(issuer, audience):
    token = sys.stdin.read().strip()
    client = jwt.PyJWKClient(issuer + "/.well-known/jwks.json")
    try:
        claims = decode(client, token, issuer, audience)
    except jwt.PyJWTError as error:
        print(type(error).__name__)
        return 1
    print(claims["sub"])
    return 0


def ride(issuer, audience):
    client = jwt.PyJWKClient(issuer + "/.well-known/jwks.json", lifespan=2)
    for line in sys.stdin:
        try:
            decode(client, line.strip(), issuer, audience)
            print("ok", flush=True)
        except jwt.PyJWTError as error:
            print("no", type(error).__name__, flush=True)
    return 0


def judge(jwks_file, issuer, audience):
    with open(jwks_file, encoding="utf-8") as given:
        keys = {key.key_id: key.key for key in jwt.PyJWKSet.from_json(given.read()).keys}
    for line in sys.stdin:
        line = line.strip()
        token = base64.urlsafe_b64decode(line + "=" * (-len(line) % 4))
        try:
            jwt.decode(
                token,
                keys[jwt.get_unverified_header(token)["kid"]],
                algorithms=["EdDSA"],
                issuer=issuer,
                audience=audience,
                leeway=30,
                options={"require": ["exp", "iat", "nbf", "iss", "aud", "sub", "jti"]},
            )
            print("ok")
        except Exception as error:  # it lets through what its JSON reader and its cryptography throw
            print("no", type(error).__name__)
    return 0


def sign(claims_file, jwks_file, kid):
    private = Ed25519PrivateKey.generate()
    jwk = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(private.public_key()))
    jwk.update(kid=kid, use="sig", alg="EdDSA")
    with open(jwks_file, "w", encoding="ascii") as out:
        json.dump({"keys": [jwk]}, out)
    with open(claims_file, encoding="utf-8") as given:
        claims = json.load(given)
    now = int(time.time())
    claims.update(iat=now, nbf=now, exp=now + 300)
    print(jwt.encode(claims, private, algorithm="EdDSA", headers={"kid": kid}))
    return 0


sys.exit({"verify": verify, "ride": ride, "judge": judge, "sign": sign}[sys.argv[1]](*sys.argv[2:]))
