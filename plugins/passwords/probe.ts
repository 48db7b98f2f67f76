/** Reads the file of passwords, or asks the database for one, for `postern check --online`. */
import path from 'node:path';
import { reasonOf } from '../../core/index.ts';
import type { Logger, ProbeContext, ProbeFinding } from '../../core/index.ts';
import { usersInFile } from './password-file.ts';
import { PasswordQuery } from './password-query.ts';
import type { From } from './policy.ts';

/** What is worth a line there is a finding here. */
const SILENT: Logger = { info() {}, warn() {}, error() {} };

async function fromFile(file: string, { directory }: ProbeContext): Promise<string> {
  const absolute = path.resolve(directory, file);
  const { size } = await usersInFile(absolute);
  return `${absolute} has ${size} users`;
}

/** A finding on the source of passwords. */
export async function probeSource(from: From, context: ProbeContext): Promise<readonly ProbeFinding[]> {
  const at = `passwords.${from.kind}`;
  try {
    if (from.kind === 'file') return [{ path: at, text: await fromFile(from.file, context) }];
    const source = new PasswordQuery(from, { lookUp: (lookup) => context.lookUp(lookup), log: SILENT });
    await source.find('');
    return [{ path: at, text: `${from.function} of database ${from.database} answers role ${from.role}` }];
  } catch (error) {
    return [{ path: at, level: 'error', text: error instanceof Error ? reasonOf(error) : 'no reason' }];
  }
}
