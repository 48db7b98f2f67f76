/** What policies set on a server connection: in force for every statement of its client, whatever the client does meanwhile. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import { GOOD_TOKEN } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { RawClient, cancelRequest, fieldsOf, message } from '../support/raw-client.ts';
import type { Received } from '../support/raw-client.ts';

const postgres = sharedPostgres();
let running: RunningGateway;

/** Each session's claims are the name of its application. */
const claims: AnyPlugin = {
  name: 'claims',
  onAuth: (session, upstream) => {
    const { application_name = '' } = session.startup.parameters;
    return { ...upstream, onCheckout: [() => ({ 'app.claims': application_name })] };
  },
};

beforeAll(async () => {
  const entry = (mode: 'session' | 'transaction') =>
    databaseOf(postgres, { pool: { mode, size: 1, queueTimeout: '30s' } });
  running = await startGateway({
    databases: { transaction: entry('transaction'), session: entry('session') },
    plugins: [mapTo('reader'), claims],
    loginTimeout: '30s',
  });
});
afterAll(() => running.gateway.stop());

const SEEN = "select current_setting('app.claims', true) as seen";

async function connect(database: string, application_name: string): Promise<Client> {
  const address = { host: '127.0.0.1', port: running.port, user: '_', password: GOOD_TOKEN };
  const client = new Client({ ...address, database, application_name });
  client.on('error', () => {});
  await client.connect();
  return client;
}

const seenBy = async (client: Client): Promise<unknown> =>
  (await client.query<{ seen: string }>(SEEN)).rows[0]?.seen;

test('two clients on one connection each see their own, transaction by transaction, whatever they set', async () => {
  const [alice, bob] = [await connect('transaction', 'alice'), await connect('transaction', 'bob')];
  for (let i = 0; i < 20; i += 1) {
    expect(await Promise.all([seenBy(alice), seenBy(bob)])).toEqual(['alice', 'bob']);
    await alice.query("select set_config('app.claims', 'bob', false)");
    await bob.query("set app.claims = 'alice'");
  }
  await Promise.all([alice.end(), bob.end()]);
});

describe('a client that resets or forges its settings', () => {
  test.each([
    'reset all',
    'discard all',
    'reset app.claims',
    "select set_config('app.claims', 'forged', false)",
  ])('has its claims again in its next transaction: %s', async (sql) => {
    const client = await connect('transaction', 'alice');
    for (let i = 0; i < 5; i += 1) {
      await client.query(sql);
      expect(await seenBy(client)).toBe('alice');
    }
    await client.end();
  });

  test('has none for what it sent in the same breath, and never those of another', async () => {
    const [alice, bob] = [await connect('transaction', 'alice'), await connect('transaction', 'bob')];
    for (let i = 0; i < 5; i += 1) {
      expect(await seenBy(bob)).toBe('bob');
      const results = (await alice.query(`reset all; ${SEEN}`)) as unknown as { rows: unknown[] }[];
      expect(results[1]?.rows).toEqual([{ seen: '' }]);
    }
    await Promise.all([alice.end(), bob.end()]);
  });

  test.each(['reset all', 'discard all', 'reset app.claims'])(
    'has its claims again at its next message where the connection is its own: %s',
    async (sql) => {
      const alice = await connect('session', 'alice');
      for (let i = 0; i < 3; i += 1) {
        await alice.query(sql);
        expect(await seenBy(alice)).toBe('alice');
      }
      // Not while a transaction could take them back.
      await alice.query('begin');
      await alice.query('reset app.claims');
      expect(await seenBy(alice)).toBe('');
      await alice.query('rollback');
      expect(await seenBy(alice)).toBe('alice');
      await alice.end();
      const bob = await connect('session', 'bob');
      expect(await seenBy(bob)).toBe('bob');
      await bob.end();
    },
  );

  test('keeps its unnamed statement meanwhile, and hears what it listens to', async () => {
    const { client } = await logIn(await RawClient.connect(running.port), {
      database: 'session',
      application_name: 'alice',
    });
    const types = (answers: readonly Received[]): string => answers.map(({ type }) => type).join('');
    const prepare = (name: string, sql: string) => message('P', `${name}\0${sql}\0\0\0`);
    const run = (name: string) => [message('B', `\0${name}\0\0\0\0\0\0\0`), message('E', '\0\0\0\0\0')];
    client.send(
      prepare('', SEEN),
      prepare('off', 'reset app.claims'),
      prepare('on', 'listen news'),
      message('S'),
    );
    expect(types(await client.until('Z'))).toBe('111Z');
    client.send(...run('on'), message('S'));
    await client.until('Z');
    for (let i = 0; i < 5; i += 1) {
      client.send(...run('off'), message('S'));
      expect(types(await client.until('Z'))).toBe('2CZ');
      await postgres.sql(`notify news, '${i}'`);
      client.send(...run(''), message('S'));
      const answers = await client.until('Z');
      expect(types(answers).replace('A', '')).toBe('2DCZ');
      expect(
        answers
          .find(({ type }) => type === 'D')
          ?.body.subarray(6)
          .toString(),
      ).toBe('alice');
      if (!types(answers).includes('A')) expect((await client.message()).type).toBe('A');
    }
    client.destroy();
  });

  test('gets an error instead of an answer where its claims cannot be set, and goes on when they can', async () => {
    let value = 'fine';
    const moody: AnyPlugin = {
      name: 'moody',
      onAuth: (_, upstream) => ({ ...upstream, onCheckout: [() => ({ statement_timeout: value })] }),
    };
    const own = await startGateway({
      databases: { orders: databaseOf(postgres) },
      plugins: [mapTo('reader'), moody],
    });
    value = '10s';
    const client = new Client({
      host: '127.0.0.1',
      port: own.port,
      user: '_',
      database: 'orders',
      password: GOOD_TOKEN,
    });
    client.on('error', () => {});
    await client.connect();
    value = 'never';
    await client.query('reset all');
    await expect(client.query('select 1')).rejects.toMatchObject({ code: 'XX000' });
    await expect(client.query('select 1')).rejects.toMatchObject({ code: 'XX000' });
    value = '20s';
    expect((await client.query('show statement_timeout')).rows).toEqual([{ statement_timeout: '20s' }]);
    await client.end();
    await own.gateway.stop();
  });

  test('that leaves in the very moment leaves a connection that nobody gets', async () => {
    for (let i = 0; i < 30; i += 1) {
      const { client } = await logIn(await RawClient.connect(running.port), {
        database: 'session',
        application_name: 'alice',
      });
      client.send(message('Q', 'reset all\0'), message('Q', `${SEEN}\0`));
      await client.until('C');
      client.destroy();
      const bob = await connect('session', 'bob');
      expect(await seenBy(bob)).toBe('bob');
      await bob.end();
    }
  });
});

test('a cancel at any moment of the check-out never lets a statement run without claims, or with another’s', async () => {
  const bob = await connect('transaction', 'bob');
  const { client, processId, secret } = await logIn(await RawClient.connect(running.port), {
    database: 'transaction',
    application_name: 'alice',
  });
  const outcomes = { cancelled: 0, answered: 0 };
  for (let i = 0; i < 150; i += 1) {
    // The connection was another's a moment ago: reset and settings are under way while the cancel comes.
    const other = seenBy(bob);
    client.send(message('Q', `${SEEN}\0`));
    const cancel = await RawClient.connect(running.port);
    const answers: Received[] = [];
    // Some come too late.
    if (i % 10 === 9) answers.push(await client.message());
    else if (i % 3 === 0) await other;
    cancel.send(cancelRequest(processId, secret));
    while (answers.at(-1)?.type !== 'Z') answers.push(await client.message());
    const [row] = answers.filter(({ type }) => type === 'D');
    const [error] = answers.filter(({ type }) => type === 'E');
    if (row) expect(row.body.subarray(6).toString()).toBe('alice');
    else expect(error && fieldsOf(error.body)['C']).toBe('57014');
    outcomes[row ? 'answered' : 'cancelled'] += 1;
    expect(await other).toBe('bob');
    cancel.destroy();
  }
  expect(outcomes.answered).toBeGreaterThan(0);
  client.destroy();
  await bob.end();
});
