/** Passwords and certificates that change while the gateway runs, and sources of them that fail. */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { file } from '../../../core/contract/config.ts';
import type { DatabaseOptions, Login } from '../../../core/contract/database.ts';
import type { Logger } from '../../../core/contract/session.ts';
import { Pool } from '../../../core/upstream/pool/pool.ts';
import { makeAuthority } from '../../support/authorities.ts';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { causes, request } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-secrets-'));
const authority = await makeAuthority(folder, 'authority');
const stranger = await makeAuthority(folder, 'stranger');
let pems: Certificates;
let postgres: OwnPostgres;

beforeAll(async () => {
  pems = await certificates();
  const { cert, key } = pems.server;
  postgres = await startPostgres({
    ssl: { cert, key, ca: `${authority.cert}${pems.ca.cert}` },
    hba: [
      'host all postgres 127.0.0.1/32 scram-sha-256',
      'hostssl all certified 127.0.0.1/32 cert clientname=CN',
    ],
  });
  await postgres.sql('create role certified login');
});
afterAll(async () => {
  await postgres.stop();
  pems.remove();
  rmSync(folder, { recursive: true });
});

type Passwords = Extract<Login, { kind: 'password' }>['passwords'];

/** A pool whose time only {@link Stage.pass} lets pass. */
class Stage {
  readonly pool: Pool;
  readonly lines: { readonly level: string; readonly text: string; readonly fields: object }[] = [];
  #now = 0;
  readonly #logged = postgres.log().length;

  constructor(more: Partial<DatabaseOptions>) {
    const at =
      (level: string): Logger['info'] =>
      (fields: object, text: string) =>
        void this.lines.push({ level, text, fields });
    const log = { info: at('info'), warn: at('warn'), error: at('error') };
    const clock = { now: () => this.#now, every: () => () => {} };
    const login = { kind: 'trust' } as const;
    const database = { host: '127.0.0.1', port: postgres.port, login, ...more };
    this.pool = new Pool({ entry: 'main', database, clock, log, timeouts: { connectMs: 5_000 } });
  }

  static with(passwords: Passwords): Stage {
    return new Stage({ login: { kind: 'password', passwords } });
  }

  pass(ms: number): void {
    this.#now += ms;
  }

  /** Logs in, and has the connection closed; undefined, or the error. */
  async attempt(role = 'reader'): Promise<unknown> {
    try {
      await this.pool.release(await this.pool.acquire(request({ role })), 'close');
      return undefined;
    } catch (error) {
      return error;
    }
  }

  /** Logins that the server has refused. */
  async refused(): Promise<number> {
    await expect.poll(() => this.pool.opening).toBe(0);
    const failed = /FATAL: {2}(password authentication failed|connection requires a valid client)/g;
    return postgres.log().slice(this.#logged).match(failed)?.length ?? 0;
  }
}

const REFUSED = { sqlstate: '08004', message: "the database refused the gateway's login" };
const MISSING = { sqlstate: '08004', message: 'the gateway could not get its credentials for the database' };

describe('a password that the server refuses', () => {
  test('is asked for again at once, and nobody notices one that has been replaced', async () => {
    let asked = 0;
    const stage = Stage.with(() => ((asked += 1) <= 4 ? 'stale' : postgres.passwords.reader));
    const attempts = await Promise.all(Array.from({ length: 20 }, () => stage.attempt()));
    expect(attempts.filter((error) => error !== undefined)).toEqual([]);
    expect(await stage.refused()).toBe(4);
    expect(stage.lines).toEqual([]);
    await stage.pool.close();
  });

  test('is asked for within a second while it is the same, and shown again after 30 s only', async () => {
    let [asked, secret] = [0, 'stale-canary'];
    const stage = Stage.with(
      (role) => ((asked += 1), role === 'reader' ? secret : postgres.passwords.writer),
    );
    expect(await stage.attempt()).toMatchObject(REFUSED);
    expect([asked, await stage.refused()]).toEqual([2, 1]);
    expect(await stage.attempt()).toMatchObject(REFUSED);
    expect(asked).toBe(2);
    for (let second = 1; second < 30; second += 1) {
      stage.pass(1_000);
      expect(await stage.attempt()).toMatchObject(REFUSED);
      expect(await stage.attempt()).toMatchObject(REFUSED);
    }
    expect([asked, await stage.refused()]).toEqual([31, 1]);
    expect(await stage.attempt('writer')).toBeUndefined();
    stage.pass(1_000);
    expect(await stage.attempt()).toMatchObject(REFUSED);
    expect(await stage.refused()).toBe(2);
    secret = postgres.passwords.reader;
    stage.pass(1_000);
    expect(await stage.attempt()).toBeUndefined();
    expect(await stage.attempt()).toBeUndefined();
    expect(stage.lines.map(({ level }) => level)).toEqual(['error', 'info']);
    expect(JSON.stringify(stage.lines)).not.toContain('canary');
    await stage.pool.close();
  });

  test('is tried less and less often where the source gives another one each time', async () => {
    let asked = 0;
    const stage = Stage.with(() => `stale ${(asked += 1)}`);
    for (let second = 0; second < 60; second += 1) {
      expect(await stage.attempt()).toMatchObject(REFUSED);
      stage.pass(1_000);
    }
    // After 0, 1, 3, 7, 15, 31 … seconds, two each time.
    const refused = await stage.refused();
    expect(refused).toBeGreaterThan(6);
    expect(refused).toBeLessThanOrEqual(14);
    expect(stage.lines).toHaveLength(1);
    await stage.pool.close();
  });

  test('may stand in a file that is written anew', async () => {
    const path = join(folder, 'reader');
    writeFileSync(path, 'stale\n');
    const stage = Stage.with({ reader: file(path) });
    expect(await stage.attempt()).toMatchObject(REFUSED);
    rmSync(path);
    stage.pass(1_000);
    expect(await stage.attempt()).toMatchObject(MISSING);
    writeFileSync(path, '');
    stage.pass(1_000);
    expect(await stage.attempt()).toMatchObject(MISSING);
    writeFileSync(path, `${postgres.passwords.reader}\n`);
    stage.pass(1_000);
    expect(await stage.attempt()).toBeUndefined();
    expect(await stage.refused()).toBe(1);
    await stage.pool.close();
  });

  test('may be that of set-role', async () => {
    let asked = 0;
    const password = (): string => ((asked += 1) === 1 ? 'stale' : postgres.password);
    await postgres.sql(
      `create role gate login noinherit password '${postgres.password}'; grant reader to gate`,
    );
    const stage = new Stage({ login: { kind: 'set-role', user: 'gate', password, trustedSql: true } });
    expect(await stage.attempt()).toBeUndefined();
    expect(asked).toBe(2);
    await stage.pool.close();
  });
});

describe('an authority whose certificates the server refuses', () => {
  const secured = (ca: string, key: string): Partial<DatabaseOptions> => ({
    tls: { ca: pems.ca.certFile },
    login: { kind: 'certificate', ca, key },
  });

  test('is shown again after 30 s only, and one that takes its place at once', async () => {
    const [ca, key] = [join(folder, 'own.crt'), join(folder, 'own.key')];
    const put = (files: { ca: string; key: string }): void => {
      copyFileSync(files.ca, ca);
      copyFileSync(files.key, key);
    };
    put(stranger.files);
    const stage = new Stage(secured(ca, key));
    const before = postgres.log().length;
    const unknown = (): number =>
      postgres
        .log()
        .slice(before)
        .match(/could not accept SSL/g)?.length ?? 0;
    for (let second = 0; second < 10; second += 1) {
      expect(await stage.attempt('certified')).toMatchObject(REFUSED);
      stage.pass(1_000);
    }
    await expect.poll(unknown).toBe(1);
    put(authority.files);
    expect(await stage.attempt('certified')).toBeUndefined();
    expect(stage.lines.map(({ level }) => level)).toEqual(['error', 'info']);
    await stage.pool.close();
  });
});

describe('a source of passwords', () => {
  const failing: readonly (readonly [string, () => Promise<string> | string | undefined, RegExp])[] = [
    [
      'throws',
      () => {
        throw new Error('vault sealed');
      },
      /passwords failed for role "reader".*vault sealed/s,
    ],
    [
      'rejects',
      () => Promise.reject(new Error('vault sealed')),
      /passwords failed for role "reader".*vault sealed/s,
    ],
    ['gives nothing', () => undefined, /has no password for role "reader"/],
  ];
  test.each(failing)(
    'that %s blames nobody else, and is asked again after a second',
    async (_, fail, why) => {
      let [asked, works] = [0, false];
      const { reader, writer } = postgres.passwords;
      const stage = Stage.with((role) => {
        if (role === 'writer') return writer;
        asked += 1;
        return works ? reader : fail();
      });
      const error = await stage.attempt();
      expect(error).toMatchObject(MISSING);
      expect(causes(error)).toMatch(why);
      for (let count = 0; count < 5; count += 1) {
        const next = await stage.attempt();
        expect(next).toMatchObject(MISSING);
        expect(causes(next)).toMatch(why);
      }
      expect(asked).toBe(1);
      expect(await stage.attempt('writer')).toBeUndefined();
      stage.pass(1_000);
      expect(await stage.attempt()).toMatchObject(MISSING);
      expect(asked).toBe(2);
      works = true;
      stage.pass(1_000);
      expect(await stage.attempt()).toBeUndefined();
      expect(stage.lines.map(({ level, text }) => [level, text])).toEqual([
        ['error', 'there are no credentials for the login'],
        ['info', 'the server accepts the login again'],
      ]);
      expect(stage.lines[0]?.fields).toMatchObject({
        entry: 'main',
        role: 'reader',
        why: expect.stringMatching(why),
      });
      await stage.pool.close();
    },
  );

  test('that hangs is no server that cannot be reached', async () => {
    const login = { kind: 'password', passwords: () => new Promise<string>(() => {}) } as const;
    const host = [postgres.host];
    const database = { host, port: postgres.port, login, target: 'primary' } as const;
    const pool = new Pool({ entry: 'main', database, timeouts: { loginMs: 100 } });
    const error: unknown = await pool.acquire(request()).catch((reason: unknown) => reason);
    expect(error).toMatchObject(MISSING);
    expect(causes(error)).toContain('no credentials within 100 ms');
    expect(pool.hosts.states.map(({ state }) => state)).toEqual(['unknown']);
    await pool.close();
  });
});
