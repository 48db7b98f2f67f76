/** OpenTelemetry's packages: tracing and its page ask for those that package.json has as optional peers. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { PACKAGES } from '../../plugins/tracing/packages.ts';

const read = (path: string): string =>
  readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');

interface Manifest {
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>;
}

/** `^1.9.1` is 1, `^0.223.0` is 0.223 (semver: of version 0, the minor is what may not change). */
function compatible(range: string): string {
  return /^\^(0\.\d+|[1-9]\d*)/.exec(range)?.[1] ?? range;
}

test('they are the optional peers, in the versions that go with Postern', () => {
  const { peerDependencies, peerDependenciesMeta } = JSON.parse(read('package.json')) as Manifest;
  const peers = Object.entries(peerDependencies).filter(([name]) => name.startsWith('@opentelemetry/'));
  expect(peers.length).toBeGreaterThan(3);
  expect([...PACKAGES].sort()).toEqual(peers.map(([name, range]) => `${name}@${compatible(range)}`).sort());
  expect(peers.filter(([name]) => peerDependenciesMeta[name]?.optional !== true)).toEqual([]);
});

test('the page of tracing has the command that installs them', () => {
  const [, command = ''] = /^npm install ((?:.*\\\n)*.*)$/m.exec(read('plugins/tracing/README.md')) ?? [];
  expect(command.split(/[\s\\]+/).sort()).toEqual([...PACKAGES].sort());
});
