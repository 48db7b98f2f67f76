/** Decisions about messages where they stand in the chunk: each message is shown once, as the server reads it, and is answered as PostgreSQL answers it. */
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Statement } from '../../../core/contract/statement.ts';
import { B, E, P, Q, S } from '../../support/frames.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { direct, frame, openAs } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSession, SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let shared: SharedSessions;

beforeAll(async () => void (database = await freshDatabase()));
beforeEach(() => void (shared = sharedSessions(postgres, database, 2)));
afterEach(() => shared.close());

const D = (kind: string, name = ''): Buffer => frame('D', Buffer.from(kind), name);
const PATIENT = { timeout: 30_000 };

/** A session, and what its hook was asked. */
async function asked(reads: 'kind' | 'sql' = 'sql'): Promise<SharedSession & { shown: string[] }> {
  const shown: string[] = [];
  const query = (statement: Statement): Statement => {
    if (reads === 'sql') shown.push(`${statement.kind} ${'sql' in statement ? statement.sql : ''}`);
    return statement;
  };
  const session = await shared.connect({ options: { query, reads } });
  return Object.assign(session, { shown });
}
const transcript = ({ messages }: RawClient): string[] =>
  messages
    .filter(({ type }) => !'SNK'.includes(type))
    .map(({ type, body }) => {
      const text = body.toString('latin1');
      return type === 'E' ? `E ${/\0C([^\0]{5})\0/.exec(text)?.[1]}` : `${type} ${text}`;
    });

test('a Bind of the unnamed statement of an earlier batch is shown with its text, and once', async () => {
  const client = await asked();
  client.send(P("select 'first'"), S);
  await expect.poll(() => transcript(client).length, PATIENT).toBe(2);
  client.send(Buffer.concat([B(), E, S]));
  await expect.poll(() => transcript(client).at(-1), PATIENT).toBe('Z I');
  await expect.poll(() => transcript(client).length, PATIENT).toBe(6);
  expect(client.shown).toEqual(["parse select 'first'", "execute select 'first'"]);
});

test.each<[string, Buffer[]]>([
  ['Describe of a portal', [D('P'), S]],
  ['Describe of a portal and Execute', [D('P'), E, S]],
  ['Describe of a named portal, Bind, Execute', [D('P', 'x'), B(), E, S]],
  ['a Query without its zero byte', [frame('Q', Buffer.from('select 1'))]],
  ['a Query with bytes behind its zero byte', [frame('Q', Buffer.from('select 1\0x'))]],
  ['a Query without a body', [frame('Q')]],
  ['a Parse without its zero byte', [frame('P', '', Buffer.from('select 1')), B(), E, S]],
  ['a Parse with bytes too many', [frame('P', '', 'select 1', 0, 0), B(), E, S]],
  ['a Bind without its names', [P('select 1'), frame('B'), E, S]],
  ['a Bind with one name', [P('select 1'), frame('B', ''), E, S]],
  ['a Bind that is cut off', [P('select 1'), frame('B', '', '', 0), E, S]],
  ['a Describe without a body', [P('select 1'), B(), frame('D'), E, S]],
  ['an Execute with a name too long', [P('select 1'), B(), frame('E', '', Buffer.alloc(5)), S]],
  [
    'an Execute with negative rows',
    [P('select 1'), B(), frame('E', '', Buffer.from([255, 255, 255, 255])), S],
  ],
])('%s is answered as PostgreSQL does, between transactions and in one', async (_, messages) => {
  for (const reads of ['kind', 'sql'] as const)
    for (const front of [[], [Q('begin')]]) {
      const client = await asked(reads);
      const plain = direct(await openAs(postgres, database, 'writer'));
      for (const one of [client, plain]) {
        one.send(P("select 'known'"), B(), E, S);
        await expect.poll(() => transcript(one).at(-1), PATIENT).toBe('Z I');
        one.send(...front, Buffer.concat(messages), S, Q('rollback'), Q("select 'end'"));
      }
      const ended = (one: RawClient) => () =>
        one.closed ||
        (transcript(one).some((text) => text.includes('end')) && transcript(one).at(-1)?.startsWith('Z'));
      await expect.poll(ended(plain)).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 30));
      await expect.poll(() => transcript(client)).toEqual(transcript(plain));
      client.close();
      plain.close();
    }
});
