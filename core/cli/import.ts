/** `postern import`: writes a config that does what a pgbouncer.ini says, and says what it cannot do. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import type { CommandLine } from '../contract/command.ts';
import { valueOf } from './command-line.ts';
import { importFrom } from './pgbouncer/draft.ts';
import { Remarks } from './pgbouncer/remarks.ts';
import { destination, pathIn, writeConfig } from './written/config-file.ts';
import { configText } from './written/config-text.ts';

/** Relative paths are to PgBouncer's working directory, which nobody knows: the folder of the file is tried first. */
function finder(ini: string): (path: string) => string {
  return (path) => {
    const plain = path.startsWith('~/') ? `${homedir()}${path.slice(1)}` : path;
    const beside = isAbsolute(plain) ? plain : join(dirname(ini), plain);
    return existsSync(beside) ? beside : plain;
  };
}

/**
 * Writes the config and says on standard error what is not taken over; resolves with exit code 0, or with 1 where the config is written but
 * not valid, as without a file that it names.
 * @throws ConfigError for a file that PgBouncer would not start with, and for a config that is there
 */
export async function importPgBouncer(line: CommandLine): Promise<number> {
  const [path = ''] = line.operands;
  const to = destination(valueOf(line, 'config'), valueOf(line, 'force') !== undefined);
  const remarks = new Remarks();
  const found = finder(path);
  const given = {
    users: line.options['user'] ?? [],
    remarks,
    found,
    pathOf: (file: string) => pathIn(to, found(file)),
  };
  const { draft, variables, databases, users } = await importFrom(path, given);
  const names = variables.names;
  const { complaint } = await writeConfig(to, configText(draft), { variables: names, anyway: true });
  const state = complaint === '' ? 'valid' : 'not valid yet';
  const lines = [
    ...remarks.lines(),
    `${to.path} is written and ${state}: ${databases} databases, ${users} users.`,
    ...(complaint === '' ? [] : complaint.split('\n').map((one) => `  ${one}`)),
    `Set before the start, each to the password of its role at the server: ${names.join(', ')}`,
    'Then: postern check --online, postern start.',
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
  return complaint === '' ? 0 : 1;
}
