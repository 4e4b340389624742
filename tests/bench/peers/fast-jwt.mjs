// SPDX-License-Identifier: MIT
// Its cache is off: it would answer for a token that it has seen without looking.
import { createPublicKey } from 'node:crypto';
import { createVerifier } from 'fast-jwt';
import { serve, versionOf } from './lines.mjs';

await serve(versionOf('fast-jwt'), ({ jwks, issuer, audience }) => createVerifier({
  key: createPublicKey({ key: jwks.keys[0], format: 'jwk' }).export({ type: 'spki', format: 'pem' }),
  algorithms: ['EdDSA'],
  allowedIss: issuer,
  allowedAud: audience,
  clockTolerance: 30000,
  cache: false,
}));
