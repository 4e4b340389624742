// SPDX-License-Identifier: MIT
// What a peer in JavaScript is but for its library (tests/bench/peer.h says what is spoken).
//   version   what the library calls itself
//   open      gets {jwks, issuer, audience}; returns verify(token), which throws at a bad token
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export function versionOf(name) {
  let folder = dirname(createRequire(import.meta.url).resolve(name));
  for (; ; folder = dirname(folder)) {
    try {
      const found = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      if (found.name === name) return found.version;
    } catch { /* further up */ }
  }
}

export async function serve(version, open) {
  let verify;
  let warm = 0;
  let tokens = [];
  const commands = {
    async open(rest) {
      verify = await open(JSON.parse(rest));
      return `ready ${version}`;
    },
    async check(token) {
      await verify(token);
      return 'ok';
    },
    async tokens(rest) {
      [warm, ...tokens] = rest.split(' ');
      return 'ok';
    },
    async lap() {
      for (let i = 0; i < warm; i++) await verify(tokens[i]);
      const start = process.cpuUsage();
      for (let i = Number(warm); i < tokens.length; i++) await verify(tokens[i]);
      const { user, system } = process.cpuUsage(start);
      return `${(user + system) * 1000}`;
    },
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const [command] = line.split(' ', 1);
    let answer;
    try {
      answer = await commands[command](line.slice(command.length + 1));
    } catch (error) {
      answer = `no ${error.code ?? error.message}`.split('\n')[0];
    }
    process.stdout.write(`${answer}\n`);
  }
}
