/** Programs in Python that use a driver as its users do, and what each of their cases gave. */
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { executable } from './executable.ts';

const run = promisify(execFile);
const DRIVERS = { psycopg: ['psycopg', 'psycopg_pool'], asyncpg: ['asyncpg'] } as const;
const PROGRAM_MS = 240_000;

/** A driver that some program is written for. */
export type Driver = keyof typeof DRIVERS;

/** What a case gave: its `result`, or the `error` that ended it, with its trace. */
export type Outcome = Readonly<{ case: string; result?: unknown; error?: string }>;

const fileOf = (driver: Driver): string =>
  fileURLToPath(new URL(`drivers/${driver}_program.py`, import.meta.url));

/** A Python that has the driver, the system's first; undefined where there is none. */
export function pythonWith(driver: Driver): string | undefined {
  const found = ['/usr/bin/python3', executable('python3')].filter((path) => path !== undefined);
  const modules = `import ${DRIVERS[driver].join(', ')}`;
  return found.find((python) => spawnSync(python, ['-c', modules]).status === 0);
}

/** The names of a program's cases, in the order in which it runs them. */
export function casesOf(driver: Driver): string[] {
  const text = readFileSync(fileOf(driver), 'utf8');
  return [...text.matchAll(/^(?:async )?def case_(\w+)/gm)].map(([, name = '']) => name);
}

/** Runs a program to its end, or those of its `cases`. @throws Error with its complaints where it breaks off */
export async function runProgram(
  python: string,
  driver: Driver,
  env: NodeJS.ProcessEnv,
  cases: readonly string[] = [],
): Promise<ReadonlyMap<string, Outcome>> {
  const args = ['-B', fileOf(driver), ...cases.map((name) => `case_${name}`)];
  const { stdout } = await run(python, args, {
    env: { ...process.env, ...env },
    timeout: PROGRAM_MS,
    maxBuffer: 64 * 1_048_576,
  });
  const outcomes = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Outcome);
  return new Map(outcomes.map((outcome) => [outcome.case, outcome]));
}
