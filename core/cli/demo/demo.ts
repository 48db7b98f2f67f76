/** `postern demo`: the gateway's main job, shown to a person in a terminal, and gone when they press Ctrl-C. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Gateway } from '../../gateway.ts';
import { loadConfig } from '../../load.ts';
import { createLogger } from '../../gateway/log.ts';
import { Supervised } from '../embedded/supervised.ts';
import { packageRoot } from '../package-root.ts';
import { drainOrStop, nextSignal } from '../run-gateway.ts';
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

/** What `gateway.config.ts` reads. */
function setEnvironment(database: DemoDatabase, port: number, keySet: string): void {
  Object.assign(process.env, {
    DEMO_PORT: String(port),
    DEMO_DATABASE_HOST: database.host,
    DEMO_DATABASE_PORT: String(database.port),
    DEMO_DATABASE: database.name,
    DEMO_READER: database.reader.role,
    DEMO_READER_PASSWORD: database.reader.password,
    DEMO_WRITER: database.writer.role,
    DEMO_WRITER_PASSWORD: database.writer.password,
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

async function present(options: DemoOptions, undo: Undo): Promise<void> {
  // From the start: a Ctrl-C that comes while something is made is heard when it can be undone. SIGHUP is a closed
  // terminal, on which nothing can be written any more.
  const told = nextSignal({ signals: ['SIGINT', 'SIGTERM', 'SIGHUP'] });
  process.stdout.on('error', () => undefined);
  process.stdout.write('Postern demo: starting\n');
  const home = await Supervised.open('postern-demo', undefined);
  undo.add(() => home.close());
  const database = await createDemoDatabase(options.database);
  undo.add(() => database.remove());

  const issuer = new Issuer();
  const [keySet, tokenFile, log] = ['jwks.json', 'token', 'gateway.log'].map((name) =>
    join(home.folder, name),
  ) as [string, string, string];
  issuer.writeKeySet(keySet);
  const token = issuer.token('ada', 'reader', TOKEN_SECONDS);
  writeFileSync(tokenFile, token, { mode: 0o600 });

  const wanted = options.port ?? ((await isFree(DEFAULT_PORT)) ? DEFAULT_PORT : 0);
  setEnvironment(database, wanted, keySet);
  const toFile = options.verbose ? undefined : { write: (line: string) => appendFileSync(log, line) };
  const gateway = new Gateway(
    await loadConfig(join(packageRoot, 'gateway.config.ts')),
    createLogger('info', toFile),
  );
  const port = (await gateway.start()).listeners[0]?.port ?? wanted;
  undo.add(() => gateway.stop());

  await show({
    database: database.description,
    port,
    instead: wanted === 0 && options.port === undefined ? DEFAULT_PORT : undefined,
    log: options.verbose ? undefined : log,
    token,
    tokenFile,
    forged: new Issuer().token('ada', 'reader', TOKEN_SECONDS),
  });
  await told;
  process.stdout.write('\nStopping\n');
  await drainOrStop(gateway);
}

/**
 * Runs the demo until SIGINT or SIGTERM; resolves with exit code 0 when everything it made is gone.
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
