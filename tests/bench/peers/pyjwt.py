# SPDX-License-Identifier: MIT
"""PyJWT as a peer of the bench: tests/bench/peer.h says what is spoken."""
import json
import sys
import time

import jwt


class Peer:
    def open(self, rest):
        given = json.loads(rest)
        self.keys = {k.key_id: k.key for k in jwt.PyJWKSet.from_dict(given["jwks"]).keys}
        self.issuer = given["issuer"]
        self.audience = given["audience"]
        return "ready " + jwt.__version__

    def verify(self, token):
        return jwt.decode(
            token,
            self.keys[jwt.get_unverified_header(token)["kid"]],
            algorithms=["EdDSA"],
            issuer=self.issuer,
            audience=self.audience,
            leeway=30,
        )

    def check(self, token):
        self.verify(token)
        return "ok"

    def tokens(self, rest):
        warm, *self.kept = rest.split(" ")
        self.warm = int(warm)
        return "ok"

    def lap(self, _):
        for token in self.kept[: self.warm]:
            self.verify(token)
        start = time.process_time_ns()
        for token in self.kept[self.warm :]:
            self.verify(token)
        return str(time.process_time_ns() - start)


peer = Peer()
for line in sys.stdin:
    command, _, rest = line.rstrip("\n").partition(" ")
    try:
        answer = {"open": peer.open, "check": peer.check, "tokens": peer.tokens, "lap": peer.lap}[command](rest)
    except (jwt.PyJWTError, KeyError) as error:
        answer = "no " + type(error).__name__
    print(answer, flush=True)
