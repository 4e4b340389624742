// SPDX-License-Identifier: MIT
// The other side of the interoperability test, with npm's jose.
//   jose.mjs verify ISSUER AUDIENCE   token on standard input; prints its sub; exit 1 with jose's code
//   jose.mjs ride ISSUER AUDIENCE     for each token, a line of standard input, one line: "ok", or "no" and
//                                     jose's code; one key set kept by jose's rules, for 2 s at most, and
//                                     with its usual 30 s between two fetches for an unknown key
//   jose.mjs judge JWKS ISSUER AUDIENCE
//                                     the same with a key set in a file, and tokens in base64url
//   jose.mjs sign CLAIMS JWKS KID     signs the claims in a file with a new key, whose public half goes
//                                     to the file JWKS; prints the token
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createLocalJWKSet, createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';

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

async function ride(issuer, audience) {
  const url = new URL(`${issuer}/.well-known/jwks.json`);
  const keys = createRemoteJWKSet(url, { cacheMaxAge: 2000 });
  for await (const token of createInterface({ input: process.stdin })) {
    try {
      await jwtVerify(token, keys, { issuer, audience });
      console.log('ok');
    } catch (error) {
      console.log('no', error.code);
    }
  }
}

async function judge(jwksFile, issuer, audience) {
  const keys = createLocalJWKSet(JSON.parse(readFileSync(jwksFile, 'utf8')));
  const options = {
    issuer, audience, algorithms: ['EdDSA'], clockTolerance: 30,
    requiredClaims: ['exp', 'iat', 'nbf', 'sub', 'jti'],
  };
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      await jwtVerify(Buffer.from(line, 'base64url').toString('latin1'), keys, options);
      console.log('ok');
    } catch (error) {
      console.log('no', error.code ?? error.name);
    }
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
await { verify, ride, judge, sign }[command](...rest);
