/** Arguments of the `postern` command: what is understood, help, and what is said of the rest. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { COMMANDS } from '../../core/cli/commands.ts';
import { main } from '../../core/cli/main.ts';
import { standaloneCommands } from '../../core/cli/plugin-commands.ts';
import type { Command } from '../../core/contract/command.ts';
import { postern } from '../support/command.ts';
import type { Ran } from '../support/command.ts';
import { prepareCheckout } from '../support/gateway-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'postern-arguments-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

// So that nothing about it is on the streams that the tests read.
beforeAll(prepareCheckout, 120_000);

const commands: Readonly<Record<string, Command>> = { ...COMMANDS, ...(await standaloneCommands()) };
const names = Object.keys(commands);

const run = (...args: readonly string[]): Ran => postern(folder, args);

/** As {@link run}, in this process, since a new one takes half a second: the last test sees that both do the same. */
async function within(...args: readonly string[]): Promise<Ran> {
  const said = { stdout: '', stderr: '' };
  const spies = [
    vi.spyOn(process, 'cwd').mockReturnValue(folder),
    ...(['stdout', 'stderr'] as const).map((stream) =>
      vi.spyOn(process[stream], 'write').mockImplementation((chunk) => {
        said[stream] += String(chunk);
        return true;
      }),
    ),
  ];
  try {
    return { status: await main(args), ...said };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

test('--version prints the version of the package', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  expect(run('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
});

test.each([[['--version']], [['-V']], [['version']]])('%j prints the version as well', async (args) => {
  expect(await within(...args)).toEqual(await within('--version'));
});

test.each([[['--help']], [['-h']], [['help']], [['help', 'help']]])(
  '%j lists every command',
  async (args) => {
    const { status, stdout, stderr } = await within(...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const listed = [...stdout.matchAll(/^ {2}([a-z]+(?: [a-z]+)*) {2,}\S/gm)].map(([, words]) => words);
    expect(listed).toEqual(names);
  },
);

test.each(
  names.flatMap((words) => [`${words} --help`, `${words} -h`, `help ${words}`, `${words} --bogus x -h`]),
)('postern %s is the help of that command, without a config', async (line) => {
  const { status, stdout, stderr } = await within(...line.split(' '));
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const words = names.find((name) => line.replace(/^-*help /, '').startsWith(name)) ?? '';
  expect(stdout.split('\n')[0]).toMatch(new RegExp(`^Usage: postern ${words}( |$)`));
  const { options = {}, operands = [] } = commands[words] ?? {};
  for (const option of Object.keys(options)) expect(stdout).toContain(`  --${option}`);
  for (const operand of operands) expect(stdout).toContain(operand);
});

test('the help of a first word lists the commands behind it', async () => {
  const { status, stdout } = await within('sql', '--help');
  expect(status).toBe(0);
  expect(stdout.match(/^ {2}sql \w+/gm)).toEqual([
    '  sql roles',
    '  sql claims',
    '  sql passwords',
    '  sql tenant',
  ]);
});

test.each([
  [[], 'a command is missing', ''],
  [['bogus'], "there is no command 'bogus'", ''],
  [['chek'], "there is no command 'chek'; did you mean 'check'?", ''],
  [['audt', 'verify'], "there is no command 'audt'; did you mean 'audit verify'?", ''],
  [['constructor'], "there is no command 'constructor'", ''],
  [['help', 'bogus'], "there is no command 'bogus'", ''],
  [['--versoin'], "did you mean '--version'?", ''],
  [['--config', 'x', 'start'], 'a command has to stand before --config', ''],
  [['start', '--bogus'], "'start' has no option --bogus", 'start '],
  [['start', '--confg', 'x'], "'start' has no option --confg; did you mean '--config'?", 'start '],
  [['start', 'more'], "'start' has no use for 'more'", 'start '],
  [['start', '--no-watch=1'], '--no-watch takes no value', 'start '],
  [['check', '--port', '1'], "'check' has no option --port", 'check '],
  [['check', '--config'], '--config needs a value: --config FILE', 'check '],
  [['check', '--config='], '--config needs a value', 'check '],
  [['start', '--config', '--no-watch'], '--config needs a value', 'start '],
  [['check', '--config', 'a', '--config', 'b'], '--config stands there twice', 'check '],
  [['sql'], "'sql' needs to know what: sql roles, sql claims, sql passwords, sql tenant", 'sql '],
  [['sql', 'rolls'], "there is no command 'sql rolls'; did you mean 'sql roles'?", 'sql '],
  [['sql', 'other'], "'sql other'; there is sql roles, sql claims, sql passwords, sql tenant", 'sql '],
  [['sql', 'roles', 'more'], "'sql roles' has no use for 'more'", 'sql roles '],
  [['sql', 'tenant'], "'sql tenant' needs NAME", 'sql tenant '],
  [['access', 'key', 'more'], "'access key' has no use for 'more'", 'access key '],
  [['audit', 'verify'], "'audit verify' needs FILE", 'audit verify '],
  [['token'], "'token' needs DATABASE", 'token '],
  [['token', 'a', 'b'], "'token' has no use for 'b'", 'token '],
  [['demo', '--port', '99999'], '--port 99999 is not a port', 'demo '],
])(
  '%j is not understood: exit code 2, the reason on stderr, and where help is',
  async (args, reason, help) => {
    const { status, stdout, stderr } = await within(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(reason);
    expect(stderr.split('\n').slice(1)).toEqual([`More: postern ${help}--help`, '']);
  },
);

test.each([
  [['help']],
  [['start', '--help']],
  [['sql', 'claims', '-h']],
  [['bogus']],
  [['start', '--bogus']],
])('a process that is started with %j says the same, and ends with the same code', async (args) => {
  expect(run(...args)).toEqual(await within(...args));
});

test('npx finds the command in the checkout', () => {
  const { status, stdout } = spawnSync('npx', ['postern', '--version'], {
    encoding: 'utf8',
    cwd: root,
  });
  expect({ status, stdout }).toEqual({ status: 0, stdout: run('--version').stdout });
});
