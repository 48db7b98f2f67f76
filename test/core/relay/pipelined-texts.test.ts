/**
 * The text behind a name where messages are sent ahead of their answers: a plugin that decides and an observer are shown the one
 * that the server runs, although an error undoes what an earlier message has changed.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { RelayOptions } from '../../../core/relay/relay-options.ts';
import { B, C, E, P, Q, S } from '../../support/frames.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame, openAs, relayed } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let shared: SharedSessions;

beforeAll(async () => void (database = await freshDatabase()));
beforeEach(() => void (shared = sharedSessions(postgres, database, 2)));
afterEach(() => shared.close());

const bindPortal = (portal: string, name: string): Buffer => frame('B', portal, name, 0, 0, 0);
const executePortal = (portal: string): Buffer => frame('E', portal, Buffer.alloc(4));
const closePortal = (portal: string): Buffer => frame('C', Buffer.from('P'), portal);

const SECRET = "select 'secret'";
const HARMLESS = "select 'harmless'";
const OTHER = "select 'other'";
const BROKEN = P('selec', 'z');
const FAILS = 'select 1/(random()*0)::int';

/** Each write is sent when the one before is answered. The last one runs the secret text under a name that was to be another. */
const SCENES: readonly { readonly name: string; readonly writes: readonly Buffer[][] }[] = [
  {
    name: 'a Parse of a name that is taken',
    writes: [
      [P(SECRET, 'a'), S],
      [P(HARMLESS, 'a'), S, B('a'), E, S],
    ],
  },
  {
    name: 'a Close and a Parse that are skipped',
    writes: [
      [P(SECRET, 'a'), S],
      [BROKEN, C('a'), P(HARMLESS, 'a'), S, B('a'), E, S],
    ],
  },
  {
    name: 'a Parse of the unnamed statement that is skipped',
    writes: [
      [P(SECRET), S],
      [BROKEN, P(HARMLESS), S, B(), E, S],
    ],
  },
  {
    name: 'two Parses of the unnamed statement that are skipped one after the other',
    writes: [
      [P(SECRET), S],
      [BROKEN, P(HARMLESS), S, BROKEN, P(OTHER), S],
      [B(), E, S],
    ],
  },
  {
    name: 'two Parses of a name that are skipped one after the other',
    writes: [
      [P(SECRET, 'a'), S],
      [BROKEN, C('a'), P(HARMLESS, 'a'), S, BROKEN, C('a'), P(OTHER, 'a'), S],
      [B('a'), E, S],
    ],
  },
  {
    name: 'two Parses behind an Execute that fails',
    writes: [
      [P(FAILS, 'y'), P(SECRET), S],
      [B('y'), E, P(HARMLESS), S, B('y'), E, P(OTHER), S],
      [B(), E, S],
    ],
  },
  {
    name: 'a Bind of a portal that is skipped, in front of a savepoint',
    writes: [
      [Q('begin')],
      [P(SECRET, 'a'), P(HARMLESS, 'b'), bindPortal('p', 'a'), S],
      [Q('savepoint x')],
      [BROKEN, closePortal('p'), bindPortal('p', 'b'), S, Q('rollback to x'), executePortal('p'), S],
    ],
  },
];

const readies = ({ messages }: RawClient): number => messages.filter(({ type }) => type === 'Z').length;
const values = ({ messages }: RawClient): string[] =>
  messages.filter(({ type }) => type === 'D').map(({ body }) => body.subarray(6).toString());

describe.each(['session', 'transaction'] as const)('in %s mode', (mode) => {
  const connect = async (options: RelayOptions): Promise<RawClient> =>
    mode === 'session'
      ? relayed(await openAs(postgres, database, 'writer'), options)
      : shared.connect({ options });

  async function run(options: Partial<RelayOptions>, writes: readonly Buffer[][]): Promise<string[]> {
    const client = await connect(options as RelayOptions);
    for (const write of writes) {
      const due = readies(client) + write.filter((one) => one[0] === 0x53 || one[0] === 0x51).length;
      client.send(...write);
      await expect.poll(() => readies(client)).toBe(due);
    }
    const got = values(client);
    client.close();
    return got;
  }

  test.each(SCENES)('$name: a plugin that refuses the text is asked about it', async ({ writes }) => {
    const executed: string[] = [];
    const query: RelayOptions['query'] = (statement) => {
      if (statement.kind === 'execute') executed.push(statement.sql);
      if (statement.kind === 'execute' && statement.sql === SECRET)
        throw new GatewayError('insufficient_privilege', 'no');
      return statement;
    };
    expect(await run({ query, reads: 'sql' }, writes)).toEqual([]);
    expect(executed.at(-1)).toBe(SECRET);
  });

  test.each(SCENES)('$name: an observer is told the text that was run', async ({ writes }) => {
    const told: string[] = [];
    const options: Partial<RelayOptions> = {
      statement: ({ kind, sql, sqlstate }) => void (kind === 'execute' && !sqlstate && told.push(sql)),
    };
    expect(await run(options, writes)).toEqual(['secret']);
    expect(told).toEqual([SECRET]);
  });

  test('a batch of its own waits for nothing, and a name that an earlier batch prepares is used', async () => {
    const executed: string[] = [];
    const query: RelayOptions['query'] = (statement) => {
      if (statement.kind === 'execute') executed.push(statement.sql);
      return statement;
    };
    const write = [P(OTHER), B(), E, S, P(HARMLESS), B(), E, S, P(SECRET, 'a'), S, B('a'), E, S];
    expect(await run({ query, reads: 'sql' }, [write])).toEqual(['other', 'harmless', 'secret']);
    expect(executed).toEqual([OTHER, HARMLESS, SECRET]);
  });
});
