/** Statements of a megabyte that are made to be hard to read: the gateway spends no more time on them than on plain ones. */
import { expect, test } from 'vitest';
import { tracing } from '../../../plugins/tracing/index.ts';
import { GOOD_TOKEN, databaseOf, logIn, mapTo } from '../../support/gateway.ts';
import { message } from '../../support/raw-client.ts';
import type { RawClient } from '../../support/raw-client.ts';
import { attacked } from './attacked.ts';

const here = attacked();
const BYTES = 1_000_000;
/** How much more time a hard text may take than a plain one of the same length; what is quadratic takes thousands of times. */
const MUCH = 30;
const RUNS = 3;

const blanks = (bytes: number): string => ' '.repeat(bytes);
const HARD = {
  'a setting of the gateway, blanks, and a letter': `set postern.token = 'x'${blanks(BYTES)}z`,
  'a setting of the gateway without its end': `set postern.token = '${"''".repeat(BYTES / 2)}`,
  'SET LOCAL, blanks, and a letter': `set local x${blanks(BYTES)};z`,
  'a name full of blanks': `select * from "${blanks(BYTES)}"`,
  'CREATE and blanks': `create ${blanks(BYTES)}x`,
  'DEALLOCATE and blanks': `deallocate prepare${blanks(BYTES)}!`,
  'openings of comments': '/* '.repeat(BYTES / 3),
  'openings of comments behind a trace': `select 1 ${'/* '.repeat(1_000)} /*traceparent='${'/* '.repeat(BYTES / 3)}*/`,
  'calls within calls': `select ${"set_config('a', ".repeat(BYTES / 16)}`,
  'calls without an end': `select set_config('a', ${'('.repeat(BYTES)}`,
  'beginnings of tokens': 'eyJaaaaaaaa.'.repeat(BYTES / 12),
};

const statement = (kind: string, sql: string): Buffer =>
  kind === 'Query' ? message('Q', `${sql}\0`) : Buffer.concat([message('P', `\0${sql}\0\0\0`), message('S')]);

/** Milliseconds of CPU until the statement is answered, of several times the least. */
async function cost(client: RawClient, bytes: Buffer): Promise<number> {
  let least = Infinity;
  for (let count = 0; count < RUNS; count += 1) {
    const since = process.cpuUsage();
    client.send(bytes);
    for (let next = ''; next !== 'Z';) next = (await client.message()).type;
    const { user, system } = process.cpuUsage(since);
    least = Math.min(least, (user + system) / 1_000);
  }
  return least;
}

test.each([
  ['Query', 'session'],
  ['Query', 'transaction'],
  ['Parse', 'session'],
  ['Parse', 'transaction'],
] as const)('%s in mode %s', { timeout: 300_000 }, async (kind, mode) => {
  const orders = databaseOf(here.postgres, { database: here.database, pool: { mode } });
  const observed = tracing({ metrics: { statements: true, prometheus: true } });
  const { port } = await here.gateway({
    plugins: [mapTo('writer'), observed],
    databases: { orders },
    admin: { port: 0 },
    maxStatementBytes: 2 * BYTES,
  });
  const attacker = await here.connect(port);
  const other = await here.connect(port);
  for (const client of [attacker, other]) await logIn(client, {}, { token: GOOD_TOKEN });
  const plain = await cost(attacker, statement(kind, `select '${'x'.repeat(BYTES)}'`));
  for (const [name, sql] of Object.entries(HARD)) {
    const hard = await cost(attacker, statement(kind, sql));
    expect(hard, `${name}: ${hard} ms, a plain one ${plain} ms`).toBeLessThan(MUCH * plain);
    // Somebody else's statement is answered behind it.
    other.send(message('Q', 'select 1\0'));
    await other.until('Z');
  }
});
