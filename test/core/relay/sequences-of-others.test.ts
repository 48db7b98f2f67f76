/** Values that another session of the same identity took from a sequence are gone before the first statement, in the same write. */
import { beforeAll, expect, test } from 'vitest';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { direct, frame, openAs, relayed } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { typesOf } from '../../support/sequences.ts';
import { serverSource } from '../../support/server-source.ts';

const postgres = sharedPostgres();
let database: string;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql('create sequence s; grant all on sequence s to writer', database);
});

const Q = (sql: string): Buffer => frame('Q', sql);
const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const B = (name = ''): Buffer => frame('B', '', name, 0, 0, 0);
const E = frame('E', '', Buffer.alloc(4));
const S = frame('S');

const told = ({ messages }: RawClient): string[] =>
  messages
    .filter(({ type }) => type !== 'S')
    .map(({ type, body }) => {
      const text = body.toString('latin1');
      return type === 'E' ? `E ${/\0C([^\0]{5})\0/.exec(text)?.[1] ?? ''}` : `${type} ${text}`;
    });

/** Sends messages, and waits for as many ReadyForQuery as they ask for. */
async function say(client: RawClient, ...messages: readonly Buffer[]): Promise<string[]> {
  const readies = (): number => client.messages.filter(({ type }) => type === 'Z').length;
  const asked = readies() + (typesOf(Buffer.concat(messages)).match(/[QS]/g)?.length ?? 0);
  client.send(...messages);
  await expect.poll(readies).toBe(asked);
  return told(client);
}

/** A connection on which a session has taken a value. */
async function used(): Promise<ServerConnection> {
  const server = await openAs(postgres, database, 'writer');
  const before = direct(server);
  await say(before, Q("select nextval('s')"));
  server.channel.pause();
  server.sequencesOfOthers = 'present';
  return server;
}

test.each<[string, readonly Buffer[]]>([
  ['a Query', [Q('select lastval()')]],
  ['a transaction', [Q('begin'), Q('select lastval()'), Q('select 1'), Q('rollback'), Q('select lastval()')]],
  ['a batch', [P('select lastval()'), B(), E, S, P('select 2', 'two'), B('two'), E, S]],
  ['a value of its own', [Q("select nextval('s') > 0"), Q('select lastval() > 0'), Q('select 3')]],
  ['an error', [Q('select 1/0'), Q("select currval('s')")]],
])('%s reads what it reads on a connection of its own', async (_, messages) => {
  const plain = direct(await openAs(postgres, database, 'writer'));
  const through = await relayed(await openAs(postgres, database, 'writer'), {
    source: serverSource([await used()], () => 0.9),
  });
  expect(await say(through, ...messages)).toEqual(await say(plain, ...messages));
  plain.close();
  through.close();
});
