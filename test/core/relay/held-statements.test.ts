/** A hook that waits, in transaction mode: between two transactions it is asked before a server connection is, and holds none. */
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { RelayOptions } from '../../../core/relay/relay-options.ts';
import type { StatementEnd } from '../../../core/relay/statements/statement-observer.ts';
import type { Statement } from '../../../core/contract/statement.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame, openAs, relayed } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSession, SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let shared: SharedSessions;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql('create table t (n int); grant all on t to writer', database);
});
beforeEach(() => void (shared = sharedSessions(postgres, database, 5)));
afterEach(() => shared.close());

const Q = (sql: string): Buffer => frame('Q', sql);
const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const B = (name = '', portal = ''): Buffer => frame('B', portal, name, 0, 0, 0);
const E = frame('E', '', Buffer.alloc(4));
const C = (name: string): Buffer => frame('C', Buffer.from('S'), name);
const S = frame('S');
const X = frame('X');

const types = ({ messages }: RawClient): string =>
  messages
    .map(({ type }) => type)
    .join('')
    .replaceAll(/[SN]/g, '');
const values = ({ messages }: RawClient): string[] =>
  messages.filter(({ type }) => type === 'D').map(({ body }) => body.subarray(6).toString());
const code = ({ messages }: RawClient): string | undefined =>
  /\0C([^\0]{5})\0/.exec(messages.findLast(({ type }) => type === 'E')?.body.toString() ?? '')?.[1];
const rows = async (): Promise<unknown> =>
  (await postgres.sql('select count(*)::int as n from t', database))[0]?.['n'];
const PATIENT = { timeout: 30_000 };
const no = new GatewayError('insufficient_privilege', 'no');
const over = new GatewayError('admin_shutdown', 'over');

/** Holds statements with `held` in them, until they are let go or refused. */
class Approval {
  readonly held: {
    readonly statement: Statement;
    approve(as?: Statement): void;
    refuse(error: unknown): void;
  }[] = [];
  readonly seen: string[] = [];

  get options(): Pick<RelayOptions, 'query' | 'reads'> {
    return { query: (statement) => this.#ask(statement), reads: 'sql' };
  }

  #ask(statement: Statement): Statement | Promise<Statement> {
    const sql = 'sql' in statement ? statement.sql : '';
    this.seen.push(`${statement.kind} ${sql}`);
    if (sql.includes('refused')) throw no;
    if (!sql.includes('held') || statement.kind === 'execute') return statement;
    return new Promise((resolve, reject) => {
      this.held.push({ statement, approve: (as = statement) => resolve(as), refuse: reject });
    });
  }
}

async function connect(approval: Approval, more: Partial<RelayOptions> = {}): Promise<SharedSession> {
  return shared.connect({ options: { ...approval.options, ...more } });
}
const isHeld = (approval: Approval, count = 1) =>
  expect.poll(() => approval.held.length, PATIENT).toBe(count);
/** All connections are back, and no session waits for one. */
const atRest = () => expect.poll(() => [shared.pool.lent, shared.pool.waiting], PATIENT).toEqual([0, 0]);

test('fifty sessions held in onQuery starve no other on five connections, and each is answered when it is let go', async () => {
  const approval = new Approval();
  const sessions: SharedSession[] = [];
  for (let i = 0; i < 50; i += 1) sessions.push(await connect(approval));
  sessions.forEach((session, i) => {
    const [sql, name] = [`select 'held ${i}'`, `s${i}`];
    session.send(...(i % 2 === 0 ? [Q(sql)] : [P(sql, name), B(name), E, S]));
  });
  await isHeld(approval, 50);
  expect(shared.pool.lent).toBe(0);
  const others: SharedSession[] = [];
  for (let i = 0; i < 5; i += 1) others.push(await connect(approval));
  for (const other of others) other.send(Q("begin; select 'free'"));
  for (const other of others) await expect.poll(() => types(other), PATIENT).toBe('CTDCZ');
  // All five are taken for a transaction: held ones that are let go now wait for their turn, others are not in their way.
  approval.held.slice(0, 10).forEach((one) => one.approve());
  await expect.poll(() => shared.pool.waiting, PATIENT).toBe(10);
  for (const other of others) other.send(Q('commit'));
  approval.held.slice(10).forEach((one) => one.approve());
  for (const [i, session] of sessions.entries()) {
    await expect.poll(() => values(session), PATIENT).toEqual([`held ${i}`]);
    expect(types(session)).toBe(i % 2 === 0 ? 'TDCZ' : '12DCZ');
  }
  await atRest();
});

test.each([
  ['a Query', [Q("select 'refused'")], 'EZ'],
  ['a Parse', [P("select 'refused'"), B(), E, S], 'EZ'],
  ['a Query that is held first', [Q("select 'held'")], 'EZ'],
  ['a Parse that is held first', [P("select 'held'", 's'), B('s'), E, S], 'EZ'],
])('%s that is refused never checks a connection out', async (_, messages, answers) => {
  const approval = new Approval();
  const client = await connect(approval);
  const before = client.relay.link.checkOuts;
  client.send(...messages);
  if (messages[0]?.includes('held')) {
    await isHeld(approval);
    approval.held[0]?.refuse(no);
  }
  await expect.poll(() => types(client), PATIENT).toBe(answers);
  expect(code(client)).toBe('42501');
  expect(client.relay.link.checkOuts).toBe(before);
  client.send(Q("select 'goes on'"));
  await expect.poll(() => values(client), PATIENT).toEqual(['goes on']);
  expect(client.relay.link.checkOuts).toBe(before + 1);
});

test('what is pipelined behind a held statement stays behind it, in its order', async () => {
  const approval = new Approval();
  const client = await connect(approval);
  client.send(
    Q("select 'held 1'"),
    P("select 'two'", 's'),
    B('s'),
    E,
    S,
    Q("select 'held 3'"),
    Q("select 'four'"),
  );
  await isHeld(approval);
  client.send(C('s'), S, Q("select 'five'"));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(approval.seen).toEqual(["query select 'held 1'"]);
  expect(shared.pool.lent).toBe(0);
  approval.held[0]?.approve();
  await isHeld(approval, 2);
  await expect.poll(() => values(client), PATIENT).toEqual(['held 1', 'two']);
  approval.held[1]?.approve();
  await expect.poll(() => values(client), PATIENT).toEqual(['held 1', 'two', 'held 3', 'four', 'five']);
  expect(types(client)).toBe('TDCZ12DCZTDCZTDCZ3ZTDCZ');
});

test('a Bind whose parameters a hook thinks about holds no connection either', async () => {
  const approval = new Approval();
  const waiting: (() => void)[] = [];
  const client = await connect(approval, {
    reads: 'parameters',
    query: (statement) =>
      statement.kind === 'bind'
        ? new Promise((resolve) => waiting.push(() => resolve(statement)))
        : statement,
  });
  client.send(P("select 'known'", 's'), S);
  await expect.poll(() => types(client), PATIENT).toBe('1Z');
  client.send(B('s'), E, S);
  await expect.poll(() => waiting.length, PATIENT).toBe(1);
  await atRest();
  waiting[0]?.();
  await expect.poll(() => types(client), PATIENT).toBe('1Z2DCZ');
});

/** Holds each Execute until it is let go or refused. */
function holdingExecutes(reads: 'sql' | 'parameters' = 'sql') {
  const held: { readonly statement: Statement; approve(): void; refuse(error: unknown): void }[] = [];
  const seen: Statement[] = [];
  const query = (statement: Statement): Statement | Promise<Statement> => {
    seen.push(statement);
    if (statement.kind === 'parse' && statement.sql.includes('old'))
      return statement.withSql(statement.sql.replace('old', 'new'));
    if (statement.kind !== 'execute') return statement;
    return new Promise((resolve, reject) => {
      held.push({ statement, approve: () => resolve(statement), refuse: reject });
    });
  };
  const shown = () => seen.map((one) => `${one.kind} ${'sql' in one ? one.sql : ''}`);
  return { held, seen, shown, options: { query, reads } };
}

test('fifty sessions held at Execute starve no other on five connections, and each is answered when it is let go', async () => {
  const hook = holdingExecutes();
  const sessions: SharedSession[] = [];
  for (let i = 0; i < 50; i += 1) sessions.push(await shared.connect({ options: hook.options }));
  for (const [i, session] of sessions.entries()) if (i % 2 > 0) session.send(P(`select 'held ${i}'`, 's'), S);
  for (const [i, session] of sessions.entries())
    if (i % 2 > 0) await expect.poll(() => types(session), PATIENT).toBe('1Z');
  await atRest();
  for (const [i, session] of sessions.entries())
    session.send(Buffer.concat(i % 2 > 0 ? [B('s'), E, S] : [P(`select 'held ${i}'`), B(), E, S]));
  await expect.poll(() => hook.held.length, PATIENT).toBe(50);
  expect(shared.pool.lent).toBe(0);
  const others: SharedSession[] = [];
  for (let i = 0; i < 5; i += 1) others.push(await shared.connect());
  for (const other of others) other.send(Q("begin; select 'free'"));
  for (const other of others) await expect.poll(() => types(other), PATIENT).toBe('CTDCZ');
  for (const other of others) other.send(Q('commit'));
  for (const one of hook.held) one.approve();
  for (const [i, session] of sessions.entries()) {
    await expect.poll(() => values(session), PATIENT).toEqual([`held ${i}`]);
    expect(types(session)).toBe(i % 2 > 0 ? '1Z2DCZ' : '12DCZ');
  }
  expect(hook.seen.filter(({ kind }) => kind === 'execute').length).toBe(50);
  await atRest();
});

test.each(['sql', 'parameters'] as const)(
  'each message of a batch is shown once and in its order, with the text that is sent (%s)',
  async (reads) => {
    const hook = holdingExecutes(reads);
    const client = await shared.connect({ options: hook.options });
    client.send(Buffer.concat([P("select 'old'", 's'), B('s'), E, C('s'), P("select 'two'"), B(), E, S]));
    await expect.poll(() => hook.held.length, PATIENT).toBe(1);
    expect(shared.pool.lent).toBe(0);
    hook.held[0]?.approve();
    await expect.poll(() => hook.held.length, PATIENT).toBe(2);
    hook.held[1]?.approve();
    await expect.poll(() => types(client), PATIENT).toBe('12DC312DCZ');
    expect(values(client)).toEqual(['new', 'two']);
    const bind = (sql: string): readonly string[] => (reads === 'parameters' ? [`bind ${sql}`] : []);
    expect(hook.shown()).toEqual([
      "parse select 'old'",
      ...bind("select 'new'"),
      "execute select 'new'",
      "parse select 'two'",
      ...bind("select 'two'"),
      "execute select 'two'",
    ]);
    const ids = hook.seen.map(({ id }) => id);
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
  },
);

test('a held Execute that is refused or cancelled is answered behind the messages in front of it, and is not carried out', async () => {
  const hook = holdingExecutes();
  const client = await shared.connect({ options: hook.options });
  client.send(Buffer.concat([P('insert into t values (1)'), B(), E, S]));
  await expect.poll(() => hook.held.length, PATIENT).toBe(1);
  hook.held[0]?.refuse(no);
  await expect.poll(() => types(client), PATIENT).toBe('12EZ');
  expect(code(client)).toBe('42501');
  client.send(Buffer.concat([P('insert into t values (2)'), B(), E, S]));
  await expect.poll(() => hook.held.length, PATIENT).toBe(2);
  await client.relay.cancel();
  await expect.poll(() => types(client), PATIENT).toBe('12EZ12EZ');
  expect(code(client)).toBe('57014');
  client.send(Buffer.concat([P("select 'goes on'"), B(), E, S]));
  await expect.poll(() => hook.held.length, PATIENT).toBe(3);
  hook.held[2]?.approve();
  await expect.poll(() => values(client), PATIENT).toEqual(['goes on']);
  await atRest();
  expect(await rows()).toBe(0);
});

test('a decision about a message that the server then skips does not hold for the same message later', async () => {
  const hook = holdingExecutes();
  const client = await shared.connect({ options: hook.options });
  const batch = Buffer.concat([P('select 1/0'), B(), P("select 'x'", 's'), B('s'), E, S]);
  client.send(batch);
  await expect.poll(() => hook.held.length, PATIENT).toBe(1);
  hook.held[0]?.approve();
  await expect.poll(() => types(client), PATIENT).toMatch(/E.*Z$/);
  const first = hook.seen.length;
  client.send(Buffer.concat([P("select 'x'", 's'), B('s'), E, S]));
  await expect.poll(() => hook.held.length, PATIENT).toBe(2);
  expect(hook.seen.length).toBe(first + 2);
  hook.held[1]?.approve();
  await expect.poll(() => values(client), PATIENT).toEqual(['x']);
  await atRest();
});

test('a session that ends or leaves while its Execute is held checks no connection out', async () => {
  const hook = holdingExecutes();
  const [gone, ended] = [
    await shared.connect({ options: hook.options }),
    await shared.connect({ options: hook.options }),
  ];
  for (const one of [gone, ended]) one.send(Buffer.concat([P('insert into t values (3)'), B(), E, S]));
  await expect.poll(() => hook.held.length, PATIENT).toBe(2);
  const before = [gone, ended].map((one) => one.relay.link.checkOuts);
  gone.close();
  await gone.relay.done;
  ended.relay.end(over);
  await ended.relay.done;
  for (const one of hook.held) one.approve();
  await atRest();
  expect([gone, ended].map((one) => one.relay.link.checkOuts)).toEqual(before);
  expect(await rows()).toBe(0);
});

/** A hook that answers at once, and the statements that it was asked about. */
function hastyHook(decide: (statement: Statement) => Statement = (statement) => statement) {
  const asked: string[] = [];
  const query = (statement: Statement): Statement => {
    asked.push(`${statement.kind} ${'sql' in statement ? statement.sql : ''}`);
    return decide(statement);
  };
  return { asked, options: { query, reads: 'sql' } as const };
}

test('a hook that answers at once is asked about each message once, before a connection is requested, however long that takes', async () => {
  const hook = hastyHook();
  const client = await shared.connect({ options: hook.options });
  client.send(Buffer.concat([P("select 'named'", 's'), S, P("select 'first'"), B(), E, S]));
  await expect.poll(() => types(client), PATIENT).toBe('1Z12DCZ');
  await atRest();
  const holders: SharedSession[] = [];
  for (let i = 0; i < 5; i += 1) {
    const holder = await shared.connect();
    holder.send(Q('begin'));
    await expect.poll(() => types(holder), PATIENT).toBe('CZ');
    holders.push(holder);
  }
  hook.asked.length = 0;
  const batches = [
    {
      messages: [B('s'), E, B(), E, S],
      texts: ['execute named', 'execute first'],
      values: ['named', 'first'],
    },
    {
      messages: [P("select 'second'"), B(), E, S],
      texts: ['parse second', 'execute second'],
      values: ['second'],
    },
    {
      messages: [B(), B('s'), E, S, Q("select 'query'")],
      texts: ['execute named', 'query query'],
      values: ['named', 'query'],
    },
  ];
  for (const { messages, texts, values: expected } of batches) {
    const [before, asked] = [values(client).length, hook.asked.length];
    client.send(Buffer.concat(messages));
    await expect.poll(() => shared.pool.waiting, PATIENT).toBe(1);
    const short = (): string[] => hook.asked.slice(asked).map((one) => one.replace(/select '(\w+)'/, '$1'));
    const ahead = texts.findIndex((text) => text.startsWith('execute')) + 1;
    expect(short()).toEqual(texts.slice(0, ahead));
    holders[0]?.send(Q('commit'));
    await expect.poll(() => values(client).slice(before), PATIENT).toEqual(expected);
    expect(short()).toEqual(texts);
    holders[0]?.send(Q('begin'));
    await expect.poll(() => types(holders[0]!).endsWith('CZCZ'), PATIENT).toBe(true);
  }
  for (const holder of holders) holder.send(Q('commit'));
  await atRest();
});

test.each<[string, Buffer[], string, string[]]>([
  ['a Bind and Execute', [B('s'), E, S], '2EZ', []],
  ['a second Execute', [B('s', 'fine'), B('t'), E, B('s'), E, S], '22DC2EZ', ['fine']],
])(
  '%s that a hook refuses at once is answered in order, and nothing of it is executed',
  async (_, messages, answers, expected) => {
    const hook = hastyHook((statement) => {
      if (statement.kind === 'execute' && statement.sql.includes('insert')) throw no;
      return statement;
    });
    const client = await shared.connect({ options: hook.options });
    client.send(P('insert into t values (9)', 's'), P("select 'fine'", 't'), S);
    await expect.poll(() => types(client), PATIENT).toBe('11Z');
    client.send(Buffer.concat(messages));
    await expect.poll(() => types(client), PATIENT).toBe(`11Z${answers}`);
    expect([code(client), values(client), await rows()]).toEqual(['42501', expected, 0]);
    client.send(Buffer.concat([B('t'), E, S]));
    await expect.poll(() => values(client), PATIENT).toEqual([...expected, 'fine']);
    await atRest();
  },
);

test('a Describe of a portal in front of a message that a hook refuses reaches the server, although the session has no connection', async () => {
  const hook = hastyHook((statement) => {
    if (statement.kind === 'parse') throw no;
    return statement;
  });
  const client = await shared.connect({ options: hook.options });
  const describe = frame('D', Buffer.from('P'), 'gone');
  client.send(Q("select 'one'"));
  await expect.poll(() => types(client), PATIENT).toBe('TDCZ');
  client.send(Buffer.concat([describe, P('select 2', 's'), S]));
  await expect.poll(() => types(client), PATIENT).toBe('TDCZEZ');
  expect(code(client)).toBe('34000');
  client.send(Buffer.concat([describe, P('select 2', 's'), B('s'), E, S]));
  await expect.poll(() => types(client), PATIENT).toBe('TDCZEZEZ');
  expect(code(client)).toBe('34000');
  await atRest();
});

test('an unnamed Parse that a hook rewrites at once is sent once, and its Execute is shown with the new text', async () => {
  const hook = hastyHook((statement) =>
    statement.kind === 'parse' ? statement.withSql(statement.sql.replace('old', 'new')) : statement,
  );
  const client = await shared.connect({ options: hook.options });
  for (const expected of [['new'], ['new', 'new']]) {
    client.send(Buffer.concat([P("select 'old'"), B(), E, S]));
    await expect.poll(() => values(client), PATIENT).toEqual(expected);
  }
  expect(hook.asked.slice(2)).toEqual(["parse select 'old'", "execute select 'new'"]);
  await atRest();
});

test('a hook that ends the session at Execute checks no connection out', async () => {
  let end = (): void => {};
  const hook = hastyHook((statement) => {
    if (statement.kind === 'execute') end();
    return statement;
  });
  const client = await shared.connect({ options: hook.options });
  client.send(P('insert into t values (8)', 's'), S);
  await expect.poll(() => types(client), PATIENT).toBe('1Z');
  await atRest();
  const before = client.relay.link.checkOuts;
  end = () => client.relay.end(over);
  client.send(Buffer.concat([B('s'), E, S]));
  expect((await client.relay.done).reason).toMatchObject({ kind: 'ended', error: over });
  await atRest();
  expect([client.relay.link.checkOuts, await rows()]).toEqual([before, 0]);
});

test('the same Parse of another session needs no connection when it is let go', async () => {
  const approval = new Approval();
  const [one, other] = [await connect(approval), await connect(approval)];
  one.send(P("select 'held'", 's'), S);
  await isHeld(approval);
  approval.held[0]?.approve();
  await expect.poll(() => types(one), PATIENT).toBe('1Z');
  const before = other.relay.link.checkOuts;
  other.send(P("select 'held'", 'name'), S);
  await isHeld(approval, 2);
  approval.held[1]?.approve();
  await expect.poll(() => types(other), PATIENT).toBe('1Z');
  expect(other.relay.link.checkOuts).toBe(before);
});

test('an answer of the hook after the client has gone, has cancelled or was drained leaves nothing behind', async () => {
  const ended: StatementEnd[] = [];
  const approval = new Approval();
  const gone = await connect(approval, { statement: (end) => ended.push(end) });
  gone.send(Q('insert into t values (1) -- held'));
  await isHeld(approval);
  gone.close();
  expect((await gone.relay.done).reason).toEqual({ kind: 'lost' });
  const cancelled = await connect(approval);
  cancelled.send(Q('insert into t values (2) -- held'));
  await isHeld(approval, 2);
  await cancelled.relay.cancel();
  await expect.poll(() => types(cancelled), PATIENT).toBe('EZ');
  expect(code(cancelled)).toBe('57014');
  const drained = await connect(approval);
  drained.send(Q('insert into t values (3) -- held'));
  await isHeld(approval, 3);
  drained.relay.drain(over);
  drained.relay.end(over);
  expect((await drained.relay.done).reason).toMatchObject({ error: over });
  for (const one of approval.held) one.approve();
  cancelled.send(Q("select 'goes on'"));
  await expect.poll(() => values(cancelled), PATIENT).toEqual(['goes on']);
  await atRest();
  expect(await rows()).toBe(0);
  expect(ended).toEqual([]);
});

test('a client that said Terminate behind a held statement and left has it carried out when it is let go', async () => {
  const approval = new Approval();
  const client = await connect(approval);
  client.send(Q('insert into t values (4) -- held'), X);
  await isHeld(approval);
  client.socket.end();
  approval.held[0]?.approve();
  expect((await client.relay.done).reason).toEqual({ kind: 'client' });
  await expect.poll(rows, PATIENT).toBe(1);
  await postgres.sql('truncate t', database);
  await atRest();
});

test('a cancel ends the wait for a connection behind the hook, and the statement is not carried out', async () => {
  const approval = new Approval();
  const client = await connect(approval);
  const holders: SharedSession[] = [];
  for (let i = 0; i < 5; i += 1) {
    const holder = await connect(approval);
    holder.send(Q('begin'));
    await expect.poll(() => types(holder), PATIENT).toBe('CZ');
    holders.push(holder);
  }
  client.send(Q('insert into t values (7) -- held'));
  await isHeld(approval);
  approval.held[0]?.approve();
  await expect.poll(() => shared.pool.waiting, PATIENT).toBe(1);
  await client.relay.cancel();
  await expect.poll(() => types(client), PATIENT).toBe('EZ');
  expect(code(client)).toBe('57014');
  for (const holder of holders) holder.send(Q('commit'));
  client.send(Q("select 'goes on'"));
  await expect.poll(() => values(client), PATIENT).toEqual(['goes on']);
  await atRest();
  expect(await rows()).toBe(0);
});

test('a rewrite is in the encoding of the session, although no server is linked', async () => {
  const approval = new Approval();
  const rewriting = (statement: Statement): void => {
    if (statement.kind !== 'query') throw new Error('another kind');
    approval.held.at(-1)?.approve(statement.withSql(`${statement.sql} || 'größe'`));
  };
  const utf8 = await shared.connect({ options: approval.options });
  utf8.send(Q("select 'held'"));
  await isHeld(approval);
  rewriting(approval.held[0]!.statement);
  await expect.poll(() => values(utf8), PATIENT).toEqual(['heldgröße']);
  const latin = await shared.connect({
    options: approval.options,
    parameters: { client_encoding: 'LATIN1' },
  });
  latin.send(frame('Q', Buffer.from("select 'held é'\0", 'latin1')));
  await isHeld(approval, 2);
  expect(approval.held[1]?.statement).toMatchObject({ sql: "select 'held \ufffd'" });
  approval.held[1]?.approve();
  const row = (): string | undefined =>
    latin.messages
      .find(({ type }) => type === 'D')
      ?.body.subarray(6)
      .toString('latin1');
  await expect.poll(row, PATIENT).toBe('held é');
  const before = latin.relay.link.checkOuts;
  latin.send(Q("select 'held'"));
  await isHeld(approval, 3);
  rewriting(approval.held[2]!.statement);
  await expect.poll(() => code(latin), PATIENT).toBe('0A000');
  expect(latin.relay.link.checkOuts).toBe(before);
});

test('a pool pauses while statements are held, and they are carried out when it goes on; a session that is ended meanwhile leaves none', async () => {
  const approval = new Approval();
  const [one, killed] = [await connect(approval), await connect(approval)];
  for (const client of [one, killed]) client.send(Q("select 'held'"));
  await isHeld(approval, 2);
  await shared.pool.pause();
  killed.relay.end(over);
  await killed.relay.done;
  for (const one of approval.held) one.approve();
  await expect.poll(() => shared.pool.waiting, PATIENT).toBe(1);
  expect(values(one)).toEqual([]);
  shared.pool.resume();
  await expect.poll(() => values(one), PATIENT).toEqual(['held']);
  expect(code(killed)).toBe('57P01');
  await atRest();
});

test.each(['at once', 'after a while'])(
  'a hook that ends the session %s checks no connection out',
  async (when) => {
    let end: (() => void) | undefined;
    const client = await shared.connect({
      options: {
        reads: 'sql',
        query: (statement) => {
          end?.();
          if (when === 'at once') return statement;
          return new Promise((resolve) => setTimeout(() => (end?.(), resolve(statement)), 20));
        },
      },
    });
    const before = client.relay.link.checkOuts;
    end = () => client.relay.end(over);
    client.send(Q('insert into t values (5)'), Q('insert into t values (6)'));
    expect((await client.relay.done).reason).toMatchObject({ kind: 'ended', error: over });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(client.relay.link.checkOuts).toBe(before);
    await atRest();
    expect(await rows()).toBe(0);
  },
);

test('a refused Parse that the server skips leaves the unnamed statement, and one that it does not skip drops it', async () => {
  const client = await connect(new Approval());
  client.send(P("select 'kept'"), B(), E, B('nobody'), P("select 'refused'"), Q("select 'refused'"), S);
  await expect.poll(() => types(client), PATIENT).toBe('12DCEZ');
  client.send(B(), E, S);
  await expect.poll(() => types(client), PATIENT).toBe('12DCEZ2DCZ');
  client.send(B(), P("select 'refused'"), S);
  await expect.poll(() => types(client), PATIENT).toBe('12DCEZ2DCZ2EZ');
  expect(code(client)).toBe('42501');
  client.send(B(), E, S);
  await expect.poll(() => types(client), PATIENT).toBe('12DCEZ2DCZ2EZEZ');
  expect(code(client)).toBe('26000');
});

test.each<[string, Buffer[], string]>([
  ['a Parse behind a Close', [C('gone'), P("select 'refused'", 'x'), B('insert'), E, S], '3EZ'],
  ['a Query behind a Close', [C('gone'), Q("select 'refused'")], '3EZ'],
  ['a Query behind a known Parse', [P('select 1', 'again'), Q("select 'refused'")], '1EZ'],
])(
  '%s that is refused while the session has no connection is answered in order, and nothing behind it is executed',
  async (_, messages, answers) => {
    const client = await connect(new Approval());
    client.send(P('insert into t values (7)', 'insert'), P('select 1', 'one'), B('one'), E, S);
    await expect.poll(() => types(client), PATIENT).toBe('112DCZ');
    await atRest();
    const before = await rows();
    client.send(...messages);
    await expect.poll(() => types(client), PATIENT).toBe(`112DCZ${answers}`);
    expect(code(client)).toBe('42501');
    client.send(Q("select 'on'"));
    await expect.poll(() => values(client), PATIENT).toEqual(['1', 'on']);
    expect(await rows()).toBe(before);
  },
);

test('in session mode the connection is there all the time, and nothing else changes', async () => {
  const approval = new Approval();
  const client = await relayed(await openAs(postgres, database, 'writer'), approval.options);
  client.send(Q("select 'held'"), Q("select 'next'"));
  await isHeld(approval);
  expect(client.relay.link.state).toBe('linked');
  approval.held[0]?.approve();
  await expect.poll(() => values(client), PATIENT).toEqual(['held', 'next']);
  client.close();
  await client.relay.done;
});
