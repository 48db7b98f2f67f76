/** What policies set on a server connection: in force for every statement of its client, whatever the client does meanwhile. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AnyPlugin } from '../../core/plugin.ts';
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

  test('has none for the rest of its session where the connection is its own, and the next session has its own', async () => {
    const alice = await connect('session', 'alice');
    expect(await seenBy(alice)).toBe('alice');
    await alice.query('reset all');
    expect(await seenBy(alice)).toBe('');
    await alice.end();
    const bob = await connect('session', 'bob');
    expect(await seenBy(bob)).toBe('bob');
    await bob.end();
  });
});

test('a cancel at any moment of the hand-over never lets a statement run without claims, or with another’s', async () => {
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
    if (i % 3 === 0) await other;
    cancel.send(cancelRequest(processId, secret));
    const answers: Received[] = [];
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
