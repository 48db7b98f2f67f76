/** With `"$user"` in search_path a text means other tables under another role in force: statements are shared under the same one only. */
import { beforeAll, expect, test } from 'vitest';
import { B as bind, D as describe, E, P as parse, Q, S } from '../../support/frames.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSession } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    `grant reader to writer; create schema reader authorization reader; create table reader.u (n text);
     create table public.u (n int); insert into public.u values (7); insert into reader.u values ('seven');
     grant all on reader.u, public.u to reader, writer; grant usage on schema reader to writer`,
    database,
  );
});

const P = parse('select n from u', 's');
const D = describe('s');
const B = bind('s');

/** Errors by their SQLSTATE, and the first column of rows, of all that the session is told until so many ReadyForQuery. */
async function say(session: SharedSession, ...messages: readonly Buffer[]): Promise<string[]> {
  const from = session.messages.length;
  const ends = messages.filter((bytes) => 'QS'.includes(String.fromCharCode(bytes[0] ?? 0))).length;
  const told = () => session.messages.slice(from);
  session.send(...messages);
  await expect.poll(() => told().filter(({ type }) => type === 'Z').length).toBe(ends);
  return told().flatMap(({ type, body }) => {
    if (type === 'E') return [/\0C([^\0]{5})\0/.exec(body.toString('latin1'))?.[1] ?? ''];
    return type === 'D' ? [body.subarray(6).toString()] : [];
  });
}

test.each<[string, readonly Buffer[], readonly Buffer[]]>([
  ['SET ROLE', [Q('set role reader')], []],
  ['SET ROLE in the same transaction', [Q('begin'), Q('set role reader')], [Q('commit')]],
  ['SET LOCAL ROLE', [Q('begin'), Q('set local role reader')], [Q('commit')]],
  ['set_config', [Q("select set_config('role', 'reader', false)")], []],
  [
    'set_config for a transaction',
    [Q('begin'), Q("select set_config('role', 'reader', true)")],
    [Q('commit')],
  ],
  [
    'set_config of a computed name for a transaction',
    [Q('begin'), parse('select set_config($1, $2, true)'), bind('', 'role', 'reader'), E, S],
    [Q('commit')],
  ],
  [
    'set_config of a name in parts for a transaction',
    [Q('begin'), Q("select set_config(concat('ro', 'le'), 'reader', true)")],
    [Q('commit')],
  ],
  ['DO', [Q('begin'), Q("do $$ begin execute 'set local ro' || 'le reader'; end $$")], [Q('commit')]],
  [
    'a statement prepared before',
    [parse('set role reader', 'r'), S, Q('begin'), bind('r'), E, S],
    [Q('commit')],
  ],
])('by %s', async (_, first, last) => {
  const shared = sharedSessions(postgres, database, 1);
  const [one, other] = [
    await shared.connect({ fingerprint: 'one' }),
    await shared.connect({ fingerprint: 'other' }),
  ];
  await say(one, ...first);
  expect(await say(one, P, D, S, B, E, S)).toEqual(['seven']);
  await say(one, ...last);
  // Parse, Bind and Execute of a text that another identity has prepared, and described as text.
  expect(await say(other, P, S)).toEqual([]);
  expect(await say(other, B, E, S)).toEqual(['7']);
  one.close();
  other.close();
  await shared.close();
});
