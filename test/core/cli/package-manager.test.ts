/** Which ancestors of a process are a package manager and its shells, told from lists of processes. */
import { expect, test } from 'vitest';
import { findProcess, packageManagersAbove } from '../../../core/cli/package-manager.ts';
import type { Ancestor } from '../../../core/cli/package-manager.ts';
import { hasProc } from '../../support/gateway-process.ts';

/** Processes from the parent up; each is the child of the next. */
function above(...commands: readonly string[]): readonly number[] {
  const processes = commands.map((command, place): Ancestor => {
    const args = command.includes('|') ? command.split('|') : [command];
    return { pid: 100 - place, parent: place === commands.length - 1 ? 0 : 99 - place, args };
  });
  const find = (pid: number): Ancestor | undefined => processes.find((one) => one.pid === pid);
  return packageManagersAbove(100, find).map(({ pid }) => pid);
}

test.each([
  ['npx', ['sh|-c|postern start', 'npm exec postern start', 'bash', 'init'], [100, 99]],
  ['a script that says exec', ['npm start', 'bash', 'init'], [100]],
  ['a script of a script', ['sh', 'npm run serve', 'sh', 'npm start', 'init'], [100, 99, 98, 97]],
  ['npm without a title', ['sh', '/usr/bin/node|/usr/lib/node_modules/npm/bin/npm-cli.js|start'], [100, 99]],
  ['npx without a title', ['sh', 'node|/usr/lib/node_modules/npm/bin/npx-cli.js|postern'], [100, 99]],
  ['pnpm', ['/bin/sh', 'node|/usr/local/lib/pnpm.cjs|start', 'init'], [100, 99]],
  ['yarn', ['/bin/sh', 'node|/usr/share/yarn/bin/yarn.js|start', 'init'], [100, 99]],
  ['a shell of ssh, which ends at once', ['sh', 'npm start', 'bash|-c|nohup npm start &', 'sshd'], [100, 99]],
  ['a shell alone', ['bash', 'sshd'], []],
  ['a shell that names npm', ['sh|-c|npm start; postern start', 'init'], []],
  ['a supervisor', ['node|/opt/supervisor.js', 'npm start'], []],
  ['nothing, for the first process', [], []],
])('%s', (_, commands, expected) => {
  expect(above(...commands)).toEqual(expected);
});

test.skipIf(!hasProc)('a process is looked up with its parent and its arguments', () => {
  expect(findProcess(process.pid)).toMatchObject({ pid: process.pid, parent: process.ppid });
  expect(findProcess(2 ** 22 + 1)).toBeUndefined();
});
