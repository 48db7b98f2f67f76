/** Finds programs of the system. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where Debian puts programs that are not on an ordinary user's PATH. */
const MORE = [
  '/usr/sbin',
  '/usr/local/sbin',
  ...['18', '17', '16', '15'].map((v) => `/usr/lib/postgresql/${v}/bin`),
];

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Another program in place of one: `REDIS_SERVER=/usr/bin/valkey-server` has the tests drive Valkey, or another version. */
const INSTEAD: Readonly<Record<string, string>> = { 'redis-server': 'REDIS_SERVER' };

/** The path of a program, or undefined where it is not installed. @example executable('psql') */
export function executable(name: string): string | undefined {
  const instead = process.env[INSTEAD[name] ?? ''];
  if (instead !== undefined) return instead;
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...MORE];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}
