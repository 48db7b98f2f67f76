/** A database that cannot be had, in every way: what its clients are told, and that those of another one notice nothing. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { makeAuthority } from '../support/authorities.ts';
import type { MadeAuthority } from '../support/authorities.ts';
import { BlackHole } from '../support/black-hole.ts';
import { hasProc, prepareCheckout } from '../support/gateway-process.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { Pulse } from '../support/pulse.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

const CLIENTS = 6;
const MAX_CONNECTIONS = 12;

const folder = mkdtempSync(join(tmpdir(), 'postern-outage-'));
const names = join(folder, 'names');
const authority = join(folder, 'authority.crt');
/** The well one, and the one that things happen to. */
let postgres: OwnPostgres;
let sick: OwnPostgres;
let authorities: Record<'good' | 'expired' | 'foreign', MadeAuthority>;
let hole: BlackHole;
let front: TokenGateway;

beforeAll(async () => {
  prepareCheckout();
  const good = await makeAuthority(folder, 'good');
  const server = await makeAuthority(folder, 'server', { ca: false, under: good });
  const past = { from: Date.now() - 2 * 86_400_000, until: Date.now() - 86_400_000 };
  authorities = {
    good,
    expired: await makeAuthority(folder, 'expired', { twinOf: good, ...past }),
    foreign: await makeAuthority(folder, 'foreign'),
  };
  postgres = await startPostgres();
  sick = await startPostgres({
    ssl: { cert: server.cert, key: server.key },
    flags: { max_connections: String(MAX_CONNECTIONS) },
  });
  await sick.sql('create database books');
  for (const [role, password] of Object.entries(postgres.passwords))
    await sick.sql(`alter role ${role} password '${password}'`);
  hole = await BlackHole.open(sick.port);
  resolves(true);
  trust('good');
  const resolver = new URL('../support/names.js', import.meta.url).href;
  front = await startTokenGateway(postgres, {
    databases: `
      plain: { ...server, port: ${sick.port} },
      named: { ...server, port: ${sick.port}, host: 'sick.test', tls: { mode: 'disable' } },
      secure: { ...server, port: ${sick.port}, tls: { mode: 'verify-ca', ca: '${authority}' } },
      books: { ...server, port: ${sick.port}, database: 'books' },
      hole: { ...server, port: ${hole.port} },
      holeSecure: { ...server, port: ${hole.port}, tls: { mode: 'verify-ca', ca: '${authority}' } },`,
    args: ['--no-watch'],
    env: { NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import ${resolver}`, NAMES: names },
  });
}, 240_000);
afterAll(async () => {
  await front.gateway.remove();
  hole.close();
  await Promise.all([postgres.stop(), sick.stop()]);
  rmSync(folder, { recursive: true });
});

const resolves = (is: boolean): void => writeFileSync(names, is ? 'sick.test 127.0.0.1\n' : '\n');
const trust = (who: keyof typeof authorities): void => writeFileSync(authority, authorities[who].cert);

/** Direct sessions at the sick server that a fault needs. */
const sessions: Client[] = [];
async function direct(): Promise<Client> {
  const client = new Client({ connectionString: sick.url('postgres', 'writer', postgres.passwords.writer) });
  client.on('error', () => {});
  await client.connect();
  sessions.push(client);
  return client;
}
const leave = async (): Promise<void> =>
  void (await Promise.all(sessions.splice(0).map((client) => client.end())));

async function fill(): Promise<void> {
  for (let i = 0; i < MAX_CONNECTIONS; i += 1) {
    const full = await direct().then(
      () => false,
      () => true,
    );
    if (full) return;
  }
}

async function offerTls(is: boolean): Promise<void> {
  await sick.sql(`alter system set ssl = ${is ? 'on' : 'off'}`);
  await sick.sql('select pg_reload_conf()');
  await expect.poll(() => sick.sql('show ssl')).toEqual([{ ssl: is ? 'on' : 'off' }]);
}

/** Something that goes wrong, and goes right again. */
interface Fault {
  readonly what: string;
  /** The entry of `databases` that meets it. */
  readonly entry: string;
  begin(): unknown;
  end(): unknown;
  /** What its clients read. */
  readonly sqlstate: string;
  readonly message: RegExp;
  /** What the operator reads. */
  readonly reason: RegExp;
}

const UNREACHABLE = { sqlstate: '08001', message: /^could not connect to the database$/ };
const REFUSED = { sqlstate: '08004', message: /^the database refused the gateway's login$/ };

const FAULTS: readonly Fault[] = [
  {
    what: 'that has no connection left',
    entry: 'plain',
    begin: fill,
    end: leave,
    sqlstate: '53300',
    message: /too many clients|remaining connection slots/,
    reason: /too many clients|remaining connection slots/,
  },
  {
    what: 'whose name leads nowhere',
    entry: 'named',
    begin: () => resolves(false),
    end: () => resolves(true),
    ...UNREACHABLE,
    reason: /ENOTFOUND sick\.test/,
  },
  {
    what: 'on a host that does not answer',
    entry: 'hole',
    begin: () => hole.swallow(),
    end: () => hole.recover(),
    ...UNREACHABLE,
    reason: /no connection to 127\.0\.0\.1 port \d+ within 5000 ms/,
  },
  {
    what: 'that hangs before it says a word',
    entry: 'plain',
    begin: () => sick.kill('SIGSTOP'),
    end: () => sick.kill('SIGCONT'),
    ...UNREACHABLE,
    reason: /within \d+ ms/,
  },
  {
    what: 'that hangs before it says a word about TLS',
    entry: 'secure',
    begin: () => sick.kill('SIGSTOP'),
    end: () => sick.kill('SIGCONT'),
    ...UNREACHABLE,
    reason: /within \d+ ms/,
  },
  {
    what: 'whose authority is another one',
    entry: 'secure',
    begin: () => trust('foreign'),
    end: () => trust('good'),
    ...UNREACHABLE,
    reason: /unable to (get|verify)|self-signed certificate/,
  },
  {
    what: 'whose authority has expired',
    entry: 'secure',
    begin: () => trust('expired'),
    end: () => trust('good'),
    ...UNREACHABLE,
    reason: /certificate has expired/,
  },
  {
    what: 'that does not offer the TLS it has to',
    entry: 'secure',
    begin: () => offerTls(false),
    end: () => offerTls(true),
    ...UNREACHABLE,
    reason: /does not offer TLS/,
  },
  {
    what: 'that shuts down or starts',
    entry: 'plain',
    begin: async () => {
      await direct();
      sick.kill('SIGTERM');
      await expect.poll(() => sick.sql('select 1').catch(({ code }) => code as string)).toBe('57P03');
    },
    end: async () => {
      await leave();
      await sick.restart();
    },
    sqlstate: '57P03',
    message: /^the database system is shutting down$/,
    reason: /the server said 57P03/,
  },
  {
    what: 'that is not there any more',
    entry: 'books',
    begin: () => sick.sql('alter database books rename to gone'),
    end: () => sick.sql('alter database gone rename to books'),
    sqlstate: '3D000',
    message: /^database "books" does not exist$/,
    reason: /the server said 3D000/,
  },
  {
    what: 'with another password',
    entry: 'plain',
    begin: () => sick.sql(`alter role writer password 'another'`),
    end: () => sick.sql(`alter role writer password '${postgres.passwords.writer}'`),
    ...REFUSED,
    reason: /the server said 28P01|refused the login of role "writer" a moment ago/,
  },
];

interface Refusal {
  readonly code?: string;
  readonly message: string;
  readonly ms: number;
}

/** Logs in and leaves; undefined, or how it was refused. */
async function tried(database: string): Promise<Refusal | undefined> {
  const from = performance.now();
  try {
    const client = await front.login('writer', { database });
    await client.query('select 1');
    await client.end();
    return undefined;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return { ...(code !== undefined && { code }), message, ms: performance.now() - from };
  }
}

/** The server connections that the gateway keeps at the sick server are closed. */
const forgotten = (): Promise<void> =>
  expect
    .poll(async () => (await sick.sql("select from pg_stat_activity where usename = 'writer'")).length)
    .toBe(0);

const refusals = (database: string): readonly unknown[] =>
  front.gateway
    .lines('login refused')
    .filter((line) => line['database'] === database)
    .map((line) => line['reason']);

/** With POSTERN_FIGURES=1: the median of somebody else before and during it, and how long the refusals took. */
function figures(
  what: string,
  before: number,
  during: number,
  refused: readonly (Refusal | undefined)[],
): void {
  if (process.env['POSTERN_FIGURES'] !== '1') return;
  const times = refused.map((one) => one?.ms ?? 0).toSorted((a, b) => a - b);
  const [shortest = 0, longest = 0] = [times.at(0), times.at(-1)];
  const ms = [before, during, shortest, longest].map((time) => time.toFixed(1));
  process.stderr.write(
    `FIG ${what}: others ${ms[0]}, then ${ms[1]} ms; refused in ${ms[2]} to ${ms[3]} ms\n`,
  );
}

describe('a database', () => {
  let pulse: Pulse;

  beforeEach(async () => {
    pulse = Pulse.of(await front.login('writer'), await front.login('reader'));
  });
  afterEach(() => pulse.stop());

  test.each(FAULTS.map((fault) => [fault.what, fault.sqlstate, fault] as const))(
    '%s: %s, and nobody else notices',
    async (_what, _code, fault) => {
      const { entry, sqlstate, message, reason } = fault;
      expect(await tried(entry)).toBeUndefined();
      await forgotten();
      const files = hasProc ? front.gateway.descriptors : 0;
      const before = await pulse.median(40);
      const told = refusals(entry).length;
      await fault.begin();
      try {
        const during = pulse.median(40);
        const answers = await Promise.all(Array.from({ length: CLIENTS }, () => tried(entry)));
        figures(fault.what, before, await during, answers);
        for (const answer of answers)
          expect(answer).toMatchObject({ code: sqlstate, message: expect.stringMatching(message) as string });
        expect(await tried('orders')).toBeUndefined();
        const reasons = Array.from({ length: CLIENTS }, () => expect.stringMatching(reason) as string);
        await expect.poll(() => refusals(entry).slice(told)).toEqual(reasons);
      } finally {
        await fault.end();
      }
      await expect.poll(() => tried(entry), { timeout: 45_000 }).toBeUndefined();
      await forgotten();
      // What was closed at the begin may still have been counted then.
      if (hasProc) await expect.poll(() => front.gateway.descriptors).toBeLessThanOrEqual(files);
    },
    180_000,
  );
});

test('no line of the log has a password or a token in it', () => {
  const { log, complaints } = front.gateway;
  for (const secret of [...Object.values(postgres.passwords), 'eyJ']) {
    expect(log).not.toContain(secret);
    expect(complaints).not.toContain(secret);
  }
});
