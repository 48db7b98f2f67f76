/** A driver's own suite: where its source comes from, how it is run, and what may fail behind a gateway for the reasons in the README. */
import { spawnSync } from 'node:child_process';

/** The database in which a suite runs. */
export const DATABASE = 'suite';

/** Where a suite connects. */
export interface Server {
  readonly host: string;
  readonly port: number;
  /** What logs a role in: its password, or a token. */
  readonly password: (role: string) => string;
}

/** Results of tests by their names; true where one has passed. */
export type Results = ReadonlyMap<string, boolean>;

/** The unpacked source of a driver's release. */
export interface Source {
  readonly folder: string;
  /** Where the programs are that it needs. Default: those of the process. */
  readonly path?: string;
}

/** One driver's. */
export interface Suite {
  /** Gets a pinned release from its registry into an empty folder. @throws Error where that, or a program that it needs, cannot be had here */
  fetch(into: string): Source;
  /** What the database has before it runs. */
  readonly setup?: string;
  /** Runs the tests in a copy of the source, `all` of them or those for {@link part}. */
  run(source: Source, server: Server, all: boolean): Results;
  /** What is run within a few minutes, for people. Default: all of it. */
  readonly part?: string;
  /** What may fail in addition. */
  readonly known: Readonly<Record<'session' | 'transaction', readonly string[]>>;
}

/** A program, where it runs, and what it finds in its environment. */
interface Command {
  readonly in: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly path?: string | undefined;
}

/** There is no time left for a program. */
export class OutOfTime extends Error {}

/** When programs have to have ended, by `performance.now()`. */
let end = Infinity;

/** All programs from here on together have so many seconds. Default: each has ten minutes. */
export function limitTo(seconds: number): void {
  end = performance.now() + seconds * 1_000;
}

/** What `timeout` of the GNU core utilities ends with. */
const TIMED_OUT = [124, 137];

/** Runs a program, and what it starts itself, to its end. @throws OutOfTime; Error where it cannot be started */
export function ended(
  program: readonly string[],
  command: Command,
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const seconds = Math.floor(Math.min(600, (end - performance.now()) / 1_000));
  if (seconds < 1) throw new OutOfTime();
  const env = { ...process.env, ...command.environment };
  if (command.path !== undefined) env['PATH'] = command.path;
  const limited = ['--kill-after=2', String(seconds), ...program];
  const { status, stdout, stderr, error } = spawnSync('timeout', limited, {
    cwd: command.in,
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  });
  if (error) throw error;
  if (TIMED_OUT.includes(status ?? 0)) throw new OutOfTime();
  return { status, stdout, stderr };
}

/** The same for a program that has to succeed; returns what it prints to stdout. @throws Error with the end of what it prints to stderr */
export function output(program: readonly string[], command: Command): string {
  const { status, stdout, stderr } = ended(program, command);
  if (status !== 0) throw new Error(`${program.slice(0, 3).join(' ')}: ${stderr.trim().slice(-300)}`);
  return stdout;
}

/** libpq's variables for the role `postgres`. */
export const variables = ({ host, port, password }: Server): Record<string, string> => ({
  PGHOST: host,
  PGPORT: String(port),
  PGUSER: 'postgres',
  PGPASSWORD: password('postgres'),
  PGDATABASE: DATABASE,
  PGSSLMODE: 'disable',
});
