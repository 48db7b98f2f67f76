/** `postern demo`: the gateway's main job, shown to a person in a terminal, and gone when they press Ctrl-C. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { PackageManager } from '../../core/cli/package-manager.ts';
import { drainOrStop, nextSignal } from '../../core/cli/run-gateway.ts';
import { Gateway } from '../../core/gateway.ts';
import { loadConfig } from '../../core/load.ts';
import { packageRoot } from '../../core/package-root.ts';
import { createLogger } from '../../core/telemetry/log.ts';
import { Supervised } from '../../test/support/embedded/supervised.ts';
import { createDemoDatabase } from './database.ts';
import type { DemoDatabase } from './database.ts';
import { ISSUER, Issuer } from './issuer.ts';
import { show } from './show.ts';

/** What the command line said. */
export interface DemoOptions {
  /** A superuser's URL of a running server. Default: a temporary server. */
  readonly database: string | undefined;
  /** Default: 6432, or a free one. */
  readonly port: number | undefined;
  /** The gateway's log on standard output instead of in a file. */
  readonly verbose: boolean;
}

const DEFAULT_PORT = 6432;
const TOKEN_SECONDS = 3_600;

async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => {
      resolve(false);
    });
    server.listen(port, '127.0.0.1', () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}

/** The variables that `gateway.config.ts` reads. */
function setEnvironment(database: DemoDatabase, port: number, keySet: string): void {
  Object.assign(process.env, {
    DEMO_PORT: String(port),
    DEMO_DATABASE_HOST: database.host,
    DEMO_DATABASE_PORT: String(database.port),
    DEMO_DATABASE: database.names.database,
    DEMO_READER: database.names.reader,
    DEMO_READER_PASSWORD: database.passwords.reader,
    DEMO_WRITER: database.names.writer,
    DEMO_WRITER_PASSWORD: database.passwords.writer,
    DEMO_ISSUER: ISSUER,
    DEMO_JWKS: keySet,
  });
}

/** Undone in reverse order, whatever fails: nothing of the demo may stay. */
class Undo {
  readonly #steps: (() => Promise<void>)[] = [];

  add(step: () => Promise<void>): void {
    this.#steps.unshift(step);
  }

  async all(): Promise<void> {
    const results = [];
    for (const step of this.#steps) results.push(...(await Promise.allSettled([step()])));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}

/**
 * Resolves when somebody ends the demo: by a signal, or by ending the npm that runs it. SIGHUP is a closed terminal, on which
 * nothing can be written any more.
 */
function toldToEnd(undo: Undo): Promise<void> {
  const done = new AbortController();
  undo.add(async () => done.abort());
  process.stdout.on('error', () => undefined);
  const signal = nextSignal({ signals: ['SIGINT', 'SIGTERM', 'SIGHUP'] });
  return Promise.race([signal, new PackageManager().gone(done.signal)]);
}

interface Running {
  readonly gateway: Gateway;
  readonly port: number;
  /** File of its log; undefined where the screen has it. */
  readonly log: string | undefined;
}

async function startGateway(options: DemoOptions, wanted: number, folder: string): Promise<Running> {
  const log = options.verbose ? undefined : join(folder, 'gateway.log');
  const output = log === undefined ? undefined : { write: (line: string) => appendFileSync(log, line) };
  const config = await loadConfig(join(packageRoot, 'examples/demo/gateway.config.ts'));
  const gateway = new Gateway(config, createLogger('info', output));
  const { listeners } = await gateway.start();
  return { gateway, port: listeners[0]?.port ?? wanted, log };
}

async function present(options: DemoOptions, undo: Undo): Promise<void> {
  // From the start: a Ctrl-C that comes while something is made is heard when it can be undone.
  const told = toldToEnd(undo);
  process.stdout.write('Postern demo: starting\n');
  const home = await Supervised.open('postern-demo', undefined);
  undo.add(() => home.close());
  const database = await createDemoDatabase(options.database);
  undo.add(() => database.remove());

  const issuer = new Issuer();
  const [keySet, tokenFile] = [join(home.folder, 'jwks.json'), join(home.folder, 'token')];
  issuer.writeKeySet(keySet);
  const token = issuer.token('ada', 'reader', TOKEN_SECONDS);
  writeFileSync(tokenFile, token, { mode: 0o600 });

  const wanted = options.port ?? ((await isFree(DEFAULT_PORT)) ? DEFAULT_PORT : 0);
  setEnvironment(database, wanted, keySet);
  const { gateway, port, log } = await startGateway(options, wanted, home.folder);
  undo.add(() => gateway.stop());

  const instead = wanted === 0 && options.port === undefined ? DEFAULT_PORT : undefined;
  const forged = new Issuer().token('ada', 'reader', TOKEN_SECONDS);
  await show({ database: database.description, port, instead, log, token, tokenFile, forged });
  await told;
  process.stdout.write('\nStopping\n');
  await drainOrStop(gateway);
}

/**
 * Runs the demo until a signal, or the end of the npm that runs it; resolves with exit code 0 when everything it made is gone.
 * @throws Error if PostgreSQL or the gateway cannot be started; what was made until then is gone as well
 */
export async function demo(options: DemoOptions): Promise<number> {
  const undo = new Undo();
  try {
    await present(options, undo);
  } finally {
    await undo.all();
  }
  process.stdout.write('Stopped: the gateway is down, and the database, the roles and the keys are gone\n');
  return 0;
}
