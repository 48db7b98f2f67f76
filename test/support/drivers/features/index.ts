/** What a driver does for an application: the rows and columns of the table of drivers in core/client/README.md. */
import { fileURLToPath } from 'node:url';

/** Each is one case of each program; a driver without such a thing has no case of that name. */
export const FEATURES = [
  'startup',
  'settings',
  'prepared',
  'changed_table',
  'transactions',
  'cancel',
  'copy',
  'listen',
  'batch',
  'large',
  'errors',
] as const;

/** A case of a program. */
export type Feature = (typeof FEATURES)[number];

/** A database that a program connects to. */
export interface Place {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** libpq's variables for a program that connects there, by the newest protocol that both know. */
export function environmentOf({ host, port, user, password, database }: Place): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGPASSWORD: password,
    PGDATABASE: database,
    PGSSLMODE: 'disable',
    PGMAXPROTOCOLVERSION: 'latest',
  };
}

/** What a case gave, as JSON: its result, or the error that ended it. */
export type Result = { readonly result: unknown } | { readonly error: string };

/** What a program gave; `version` is the driver's. */
export interface Run {
  readonly version: string;
  readonly results: ReadonlyMap<Feature, Result>;
}

/** The cases of a driver that runs in this process. */
export type Cases = Partial<Record<Feature, (place: Place) => Promise<unknown>>>;

const PATIENCE_MS = 60_000;

/** Runs cases of this process, one after the other. */
export async function runCases(version: string, cases: Cases, place: Place): Promise<Run> {
  const results = new Map<Feature, Result>();
  for (const feature of FEATURES) {
    const run = cases[feature];
    if (run) results.set(feature, await resultOf(run(place)));
  }
  return { version, results };
}

async function resultOf(work: Promise<unknown>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('took too long')), PATIENCE_MS);
  });
  try {
    return { result: (await Promise.race([work, late])) ?? null };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
}

/** Reads what a program of another language printed: its version, then a line for each case. */
export function readRun(printed: string): Run {
  const results = new Map<Feature, Result>();
  let version = '';
  for (const line of printed.trim().split('\n')) {
    const { case: name, ...result } = JSON.parse(line) as Result & { readonly case: string };
    const feature = FEATURES.find((one) => one === name);
    if (feature) results.set(feature, result);
    else if (name === 'version' && 'result' in result) version = String(result.result);
  }
  return { version, results };
}

/** A file of this folder. */
export const fileHere = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
