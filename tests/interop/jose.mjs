// SPDX-License-Identifier: MIT
// The other side of the interoperability test, with npm's jose.
//   jose.mjs verify ISSUER AUDIENCE   token on standard input; prints its sub; exit 1 with jose's code
//   jose.mjs sign CLAIMS JWKS KID     signs the claims in a file with a new key, whose public half goes
//                                     to the file JWKS; prints the token
import { readFileSync, writeFileSync } from 'node:fs';
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';

async function verify(issuer, audience) {
  const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
  const token = readFileSync(0, 'utf8').trim();
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience, requiredClaims: ['jti', 'nbf'] });
    console.log(payload.sub);
  } catch (error) {
    console.log(error.code);
    process.exitCode = 1;
  }
}

async function sign(claimsFile, jwksFile, kid) {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' });
  const jwk = { ...await exportJWK(publicKey), kid, use: 'sig', alg: 'EdDSA' };
  writeFileSync(jwksFile, JSON.stringify({ keys: [jwk] }));
  const claims = JSON.parse(readFileSync(claimsFile, 'utf8'));
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid })
    .setIssuedAt()
    .setNotBefore('0 s')
    .setExpirationTime('5 min')
    .sign(privateKey);
  console.log(token);
}

const [command, ...rest] = process.argv.slice(2);
await { verify, sign }[command](...rest);
