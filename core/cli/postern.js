#!/usr/bin/env node
/**
 * The `postern` command. Plain JavaScript without dependencies, so that it can say what is missing: in a checkout it
 * installs and compiles first, where that is needed. `--prepare` does only that.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const OLDEST = [20, 19];

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
  process.stderr.write(`postern needs Node ${OLDEST.join('.')} or newer; this is ${process.versions.node}\n`);
  process.exit(1);
}

// The system ends the first process of a container by no signal that it does not listen for. A command that listens decides itself.
if (process.pid === 1) {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ]) {
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) process.exit(code);
    });
  }
}

const root = fileURLToPath(new URL('../..', import.meta.url));
if (existsSync(new URL('main.ts', import.meta.url))) {
  const { prepare } = await import('./checkout.js');
  if (!(await prepare(root))) process.exit(1);
}
if (process.argv[2] !== '--prepare') {
  const { main } = await import(new URL('../../dist/core/cli/main.js', import.meta.url).href);
  process.exit(await main(process.argv.slice(2)));
}
