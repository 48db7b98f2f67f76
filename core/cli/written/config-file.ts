/** A config file that a command writes: never over another one unless that is said, and checked as `postern check` does. */
import { existsSync, linkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { ResolvedConfig } from '../../config/check.ts';
import { ConfigError } from '../../contract/errors.ts';
import { loadConfig } from '../../load.ts';

/** Stands for a variable that is not set while the file is checked. */
const PLACEHOLDER = 'set-before-the-start';

/** Where to write. */
export interface Destination {
  /** Absolute. */
  readonly path: string;
  /** Whether a file that is there is replaced. */
  readonly force: boolean;
}

/** A file that was written. */
export interface Written {
  /** Undefined where the file is not valid. */
  readonly config: ResolvedConfig | undefined;
  /** Why it is not valid, a line for each mistake. Empty: it is. */
  readonly complaint: string;
}

function taken(path: string): ConfigError {
  return new ConfigError(`${path} is there already: name another file by --config, or replace it by --force`);
}

/**
 * Where a command writes its config.
 * @param given as the command line says it. Default: gateway.config.ts in the working directory
 * @throws ConfigError for a file that is there, unless it is to be replaced
 */
export function destination(given: string | undefined, force: boolean): Destination {
  const path = resolve(given ?? 'gateway.config.ts');
  if (!force && existsSync(path)) throw taken(path);
  return { path, force };
}

/**
 * A path as the config says it: relative to its own folder where it is inside of that, so that both can be moved together.
 * @param given relative to the working directory
 */
export function pathIn({ path }: Destination, given: string): string {
  const absolute = resolve(given);
  const inside = relative(dirname(path), absolute);
  return inside.startsWith('..') || isAbsolute(inside) ? absolute : inside;
}

/** Loads a file, with a placeholder for each variable that is not set. */
async function check(path: string, variables: readonly string[]): Promise<Written> {
  const unset = variables.filter((name) => process.env[name] === undefined);
  for (const name of unset) process.env[name] = PLACEHOLDER;
  try {
    return { config: await loadConfig(path), complaint: '' };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { config: undefined, complaint: error.message };
  } finally {
    for (const name of unset) delete process.env[name];
  }
}

function put(from: string, { path, force }: Destination): void {
  if (force) return renameSync(from, path);
  try {
    // Unlike a rename it fails where a file has come up meanwhile.
    linkSync(from, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw taken(path);
    throw error;
  }
}

/**
 * Writes a file beside the destination, checks it there, since its paths are relative, and then puts it in its place.
 * @param anyway whether a file that is not valid is put there, too
 * @throws ConfigError where it cannot be written
 */
export async function writeConfig(
  to: Destination,
  text: string,
  { variables, anyway }: { readonly variables: readonly string[]; readonly anyway: boolean },
): Promise<Written> {
  const beside = join(dirname(to.path), `.${process.pid}.${basename(to.path)}`);
  try {
    writeFileSync(beside, text, { flag: 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(`${to.path} cannot be written: ${code ?? (error as Error).message}`);
  }
  try {
    const { config, complaint } = await check(beside, variables);
    if (config || anyway) put(beside, to);
    return { config, complaint: complaint.replaceAll(beside, to.path) };
  } finally {
    rmSync(beside, { force: true });
  }
}
