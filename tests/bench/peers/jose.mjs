// SPDX-License-Identifier: MIT
import { createLocalJWKSet, jwtVerify } from 'jose';
import { serve, versionOf } from './lines.mjs';

await serve(versionOf('jose'), ({ jwks, issuer, audience }) => {
  const keys = createLocalJWKSet(jwks);
  const options = { issuer, audience, algorithms: ['EdDSA'], clockTolerance: 30 };
  return (token) => jwtVerify(token, keys, options);
});
