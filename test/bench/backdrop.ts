/** What a benchmark runs in front of: PostgreSQL with a role, and the peers; all gone afterwards, also after an error or Ctrl-C. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { startEmbedded } from '../support/embedded/server.ts';
import { INSTALL } from '../../plugins/claims/install.ts';
import { certificates } from '../support/certificates.ts';
import { executable } from '../support/executable.ts';
import { issuer } from '../support/token.ts';
import { Companion } from './companion.ts';
import type { Peer } from './peer.ts';
import { claimsOf, floor, haproxy, pgbouncer, postern } from './peers.ts';
import type { BouncerOptions, GatewayOptions, Ground, Pooling, Running } from './peers.ts';
import { CLAIMS_KEY, variantsOf } from './variants.ts';

type Stop = () => Promise<void> | void;
type Sign = 'ES256' | 'EdDSA' | 'RS256';
/** Enough for the idle connections of several peers with 128 clients each. */
const FLAGS = { max_connections: '1500', shared_buffers: '256MB' };

/** What has to be stopped, the newest first; what comes after the end is stopped at once. */
class Stops {
  readonly #list: Stop[] = [];
  #all: Promise<void> | undefined;

  async add(stop: Stop): Promise<void> {
    if (this.#all) await stop();
    else this.#list.push(stop);
  }

  all(): Promise<void> {
    this.#all ??= this.#stopAll();
    return this.#all;
  }

  async #stopAll(): Promise<void> {
    for (const stop of this.#list.toReversed())
      await Promise.resolve(stop()).catch((error: unknown) => console.error(error));
  }
}

/** Everything that is started for one benchmark. */
export class Backdrop {
  readonly #ground: Ground;
  readonly #stops: Stops;
  /** Ends programs that were run to their end. */
  readonly signal: AbortSignal;
  #collector: Promise<unknown> | undefined;

  private constructor(ground: Ground, stops: Stops, signal: AbortSignal) {
    this.#ground = ground;
    this.#stops = stops;
    this.signal = signal;
  }

  /** Starts PostgreSQL, and whatever `work` asks for; stops all of it, whatever becomes of `work`. */
  static async around<T>(work: (backdrop: Backdrop) => Promise<T>): Promise<T> {
    const [stops, over] = [new Stops(), new AbortController()];
    const interrupted = (): void => {
      over.abort();
      void stops.all().finally(() => process.exit(130));
    };
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
    try {
      return await work(new Backdrop(await groundOf(stops), stops, over.signal));
    } finally {
      await stops.all();
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
    }
  }

  /** PostgreSQL, without anything in between. */
  get direct(): Peer {
    return this.#ground.direct;
  }

  /** A gateway. */
  async gateway(options: GatewayOptions = {}): Promise<Running> {
    const collector = options.variant?.collector ? String(await this.#collecting()) : undefined;
    const env = collector === undefined ? {} : { COLLECTOR: `http://127.0.0.1:${collector}` };
    return this.#keep(await postern(this.#ground, { ...options, env }));
  }

  /** A gateway for each variant that `--with` names. */
  async variants(names: string, options: GatewayOptions = {}): Promise<readonly Peer[]> {
    const peers: Peer[] = [];
    for (const [name, variant] of variantsOf(names))
      peers.push((await this.gateway({ ...options, name: `postern, ${name}`, variant })).peer);
    return peers;
  }

  /** PgBouncer, or nothing where it is not installed. */
  async pgbouncer(options: BouncerOptions = {}): Promise<Running | undefined> {
    const program = installed('pgbouncer');
    return program === undefined ? undefined : this.#keep(await pgbouncer(program, this.#ground, options));
  }

  /** HAProxy, or nothing where it is not installed. */
  async haproxy(): Promise<Running | undefined> {
    const program = installed('haproxy');
    return program === undefined ? undefined : this.#keep(await haproxy(program, this.#ground));
  }

  /** The least that a Node program in the gateway's place does. */
  async floor(pooling: Pooling = {}): Promise<Running> {
    return this.#keep(await floor(this.#ground, pooling));
  }

  /** So many tokens that nobody has seen before, of one person or, if they shall differ, of as many. */
  tokens(count: number, algorithm: Sign, people: 'one' | 'many' = 'one'): readonly string[] {
    const claims = claimsOf(this.#ground);
    const sign = (jti: string): string => {
      const who = people === 'many' ? { sub: jti } : {};
      return this.#ground.issuer.sign({ ...claims, ...who, jti }, { alg: algorithm });
    };
    return Array.from({ length: count }, () => sign(randomBytes(12).toString('hex')));
  }

  /** A module of this folder in a process of its own. */
  async module(file: string): Promise<Companion> {
    const companion = Companion.module(file);
    await this.#stops.add(() => companion.stop());
    return companion;
  }

  /** Does something in the database, as the bench's role. */
  async sql(text: string): Promise<void> {
    await ask(this.direct, text);
  }

  #collecting(): Promise<unknown> {
    this.#collector ??= this.module('collector.ts').then((collector) => collector.message());
    return this.#collector;
  }

  async #keep(running: Running): Promise<Running> {
    await this.#stops.add(() => running.stop());
    return running;
  }
}

const missing = new Set<string>();

function installed(name: string): string | undefined {
  const path = executable(name);
  if (path === undefined && !missing.has(name)) console.error(`${name} is not installed: left out`);
  if (path === undefined) missing.add(name);
  return path;
}

async function ask(as: Omit<Peer, 'name' | 'tls'>, text: string): Promise<void> {
  const { host, port, user, password, database } = as;
  const client = new Client({ host, port, user, password, database });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

async function groundOf(stops: Stops): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
  await stops.add(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  const made = await certificates();
  await stops.add(() => made.remove());
  const server = await startEmbedded({ flags: FLAGS });
  await stops.add(() => server.stop());
  const { host, port, superuser, password } = server;
  const direct = {
    name: 'PostgreSQL',
    host,
    port,
    user: 'bench',
    password: randomBytes(9).toString('hex'),
    database: 'postgres',
    tls: false,
  };
  await ask(
    { ...direct, user: superuser, password },
    `create role bench login password '${direct.password}'; grant all on schema public to bench;
    ${INSTALL.replace(/\\getenv[^]*\\endif/, `select postern.add_key('${CLAIMS_KEY}');`)}`,
  );
  const tokens = issuer({ algorithms: ['ES256', 'EdDSA', 'RS256'] });
  return { folder, direct, issuer: tokens, certificates: made };
}
