import { afterEach, describe, expect, test } from 'vitest';
import { serversFor } from '../../../core/connection/session-servers.ts';
import type { ServerSource } from '../../../core/relay/server-source.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { Pool } from '../../../core/upstream/pool/pool.ts';
import { SessionSettings } from '../../../core/upstream/session-settings.ts';
import type { Setting } from '../../../core/upstream/session-settings.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { query, request } from './support.ts';

const client = (name: string, value: string): Setting => ({ name, value, from: 'client' });

describe('the value', () => {
  const app = SessionSettings.of([client('application_name', 'a')]);

  test('equal settings are one object, and what changes nothing gives the same one', () => {
    expect(SessionSettings.of([client('application_name', 'a')])).toBe(app);
    expect(app.with([])).toBe(app);
    expect(app.with([client('application_name', 'a')])).toBe(app);
    expect(app.with([client('TimeZone', 'UTC')])).not.toBe(app);
    expect(app.with([client('TimeZone', 'UTC')])).toBe(app.with([client('TimeZone', 'UTC')]));
  });

  test('a name is the same in any case, a later setting wins, and client_encoding is the last', () => {
    const mixed = app.with([client('client_encoding', 'LATIN1'), client('Application_Name', 'b')]);
    expect(mixed.all.map(({ name, value }) => [name, value])).toEqual([
      ['Application_Name', 'b'],
      ['client_encoding', 'LATIN1'],
    ]);
  });

  test('those without some names are the settings that never had them, and policies keep theirs', () => {
    const zone = app.with([client('TimeZone', 'UTC')]);
    expect(zone.without(['timezone'])).toBe(app);
    expect(app.without(['timezone'])).toBe(app);
    const policy = SessionSettings.of([{ name: 'app.user', value: 'x', from: 'policy' }]);
    expect(policy.without(['app.user'])).toBe(policy);
  });

  test('a role that the client has set comes after those of policies, and client_encoding after that', () => {
    const policy: Setting = { name: 'a', value: 'x', from: 'policy' };
    const all = SessionSettings.of([
      client('client_encoding', 'LATIN1'),
      client('role', 'r'),
      policy,
      client('z', '1'),
    ]);
    expect(all.all.map(({ name }) => name)).toEqual(['z', 'a', 'role', 'client_encoding']);
  });
});

const { host, port, passwords } = sharedPostgres();
const database = { host, port, login: { kind: 'password', passwords }, pool: { size: 2 } } as const;
const MARK = "select set_config('test.mark', 'kept', false)";
const pools: Pool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

/** Sessions of one identity that asked for the same at their logins, and how often a connection was reset between them. */
class Sessions {
  readonly pool = new Pool({ entry: 'main', database });
  resets = 0;
  readonly #marked = new WeakSet<ServerConnection>();

  constructor() {
    pools.push(this.pool);
  }

  async logIn(parameters: Readonly<Record<string, string>>): Promise<[ServerSource, ServerConnection]> {
    const asked = { ...request({ parameters, fingerprint: 'one' }), holder: {} };
    const first = await this.pool.acquire(asked);
    await this.look(first);
    return [serversFor({ ...asked, pool: this.pool, database }, first), first];
  }

  /** The mark that is left on each connection goes with a reset. */
  async look(connection: ServerConnection): Promise<void> {
    const [row] = await query(connection, "select current_setting('test.mark', true)");
    if (this.#marked.has(connection) && row?.[0] !== 'kept') this.resets += 1;
    this.#marked.add(connection);
    await query(connection, MARK);
  }

  /** A transaction as the relay has it. */
  async transaction(source: ServerSource): Promise<ServerConnection> {
    const connection = await new Promise<ServerConnection>((granted, refused) => {
      const now = source.checkOut({ granted, refused });
      if (now) granted(now);
    });
    await this.look(connection);
    return connection;
  }
}

test('sessions that ask for the same at login and later find no reset, whichever connection they get', async () => {
  const sessions = new Sessions();
  for (let round = 0; round < 5; round += 1) {
    const [one, first] = await sessions.logIn({ application_name: 'app' });
    one.checkIn(first, 'clean');
    // Another session takes the one that it had: it gets another connection, as it is, or a new one.
    const [two, taken] = await sessions.logIn({ application_name: 'app' });
    expect(taken).toBe(first);
    const moved = await sessions.transaction(one);
    expect(moved).not.toBe(first);
    two.checkIn(taken, 'clean');
    one.checkIn(moved, 'clean');
  }
  expect(sessions.resets).toBe(0);
});

test('what a session has set on a connection is taken back for the next one, without a reset', async () => {
  const sessions = new Sessions();
  const [one, first] = await sessions.logIn({});
  const before = first.parameters.get('DateStyle');
  await query(first, "set datestyle = 'German, DMY'");
  first.parameters.set('DateStyle', 'German, DMY');
  one.parameters.set('DateStyle', 'German, DMY');
  const other = await sessions.pool.acquire(request({ fingerprint: 'one' }));
  one.checkIn(first, 'close');
  await sessions.pool.release(other, 'clean');
  // What it has set follows it.
  const moved = await sessions.transaction(one);
  expect(await query(moved, 'show datestyle')).toEqual([['German, DMY']]);
  one.checkIn(moved, 'clean');
  const [, next] = await sessions.logIn({});
  expect(next).toBe(moved);
  expect(next.parameters.get('DateStyle')).toBe(before);
  expect(sessions.resets).toBe(0);
});

test('what a session takes back of its own follows it to a connection that has it still', async () => {
  const sessions = new Sessions();
  const [one, first] = await sessions.logIn({});
  const before = first.parameters.get('DateStyle') ?? '';
  await query(first, "set datestyle = 'German, DMY'");
  first.parameters.set('DateStyle', 'German, DMY');
  one.parameters.set('DateStyle', before);
  one.checkIn(first, 'clean');
  const again = await sessions.transaction(one);
  expect(again).toBe(first);
  expect(await query(again, 'show datestyle')).toEqual([[before]]);
  one.checkIn(again, 'clean');
});

test('what follows a session to a connection that it has had before is taken off for the next one', async () => {
  const sessions = new Sessions();
  const [one, first] = await sessions.logIn({});
  const before = first.parameters.get('DateStyle');
  one.checkIn(first, 'clean');
  one.parameters.set('DateStyle', 'German, DMY');
  const again = await sessions.transaction(one);
  expect([again, await query(again, 'show datestyle')]).toEqual([first, [['German, DMY']]]);
  one.checkIn(again, 'clean');
  const [, next] = await sessions.logIn({});
  expect([next, next.parameters.get('DateStyle')]).toEqual([first, before]);
  expect(await query(next, 'show datestyle')).toEqual([[before]]);
});
