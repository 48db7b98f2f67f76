/** By chance: nothing is executed that a hook has not approved of, and each message is shown once, however it arrives. */
import { beforeAll, describe, expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { RelayOptions } from '../../../core/relay/relay-options.ts';
import type { Statement } from '../../../core/contract/statement.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame, openAs, relayed } from '../../support/raw.ts';
import type { RawClient, Relayed } from '../../support/raw.ts';
import { random } from '../../support/sequences.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSessions } from '../../support/shared-sessions.ts';

/** Each run draws others; after a change of the relay: POSTERN_SEQUENCES=3000. */
const SEQUENCES = Math.ceil(Number(process.env['POSTERN_SEQUENCES'] ?? 120) / 4);
/** Another one in each run; the name of each test has it. */
const SEED = Number(process.env['POSTERN_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const postgres = sharedPostgres();
let database: string;
beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(`alter database ${database} set log_statement = 'all'`);
});

type Dice = () => number;
const NO = new GatewayError('insufficient_privilege', 'no');
const NAMES = ['', '', 's1', 's2'];
const PORTALS = ['', '', '', 'p1'];
const S = frame('S');
const PATIENT = { timeout: 30_000 };

/** Texts of one session: the comment says whose they are in the server's log. */
const textsOf = (mark: string): readonly string[] =>
  [
    "select 'a'",
    "select 'b'",
    "select 'old'",
    "select 'old b'",
    "select 'größe'",
    "select 'not to be prepared'",
    "select 'not to be executed'",
    'select 1/0',
    'nonsense',
    'begin',
    'commit',
    'rollback',
    "set client_encoding to 'LATIN1'",
    "set client_encoding to 'UTF8'",
    "set client_encoding to 'SJIS'",
    'deallocate all',
    'deallocate s1',
    "set application_name to 'x'",
  ].map((sql) => `${sql} /*${mark}*/`);
/** Of these none fails. */
const FINE = 4;

/** A hook that decides at once or later, and what it was asked and has approved of. */
class Policy {
  readonly asked: string[] = [];
  readonly approved: string[] = [];
  readonly ids: number[] = [];
  readonly #dice: Dice;
  readonly #strict: boolean;

  constructor(dice: Dice, strict: boolean) {
    this.#dice = dice;
    this.#strict = strict;
  }

  get options(): Pick<RelayOptions, 'query' | 'reads'> {
    return { query: (statement) => this.#ask(statement), reads: 'sql' };
  }

  #ask(statement: Statement): Statement | Promise<Statement> {
    this.asked.push(`${statement.kind} ${'sql' in statement ? statement.sql : ''}`);
    this.ids.push(statement.id);
    if (this.#dice() < 0.75) return this.#decide(statement);
    return new Promise((resolve, reject) => {
      const later = (): void => {
        try {
          resolve(this.#decide(statement));
        } catch (error) {
          reject(error);
        }
      };
      if (this.#dice() < 0.5) queueMicrotask(later);
      else setTimeout(later, this.#dice() * 3);
    });
  }

  #decide(statement: Statement): Statement {
    if (statement.kind !== 'query' && statement.kind !== 'parse' && statement.kind !== 'execute')
      return statement;
    const { sql, kind } = statement;
    if (this.#strict) {
      if (sql.includes(kind === 'execute' ? 'not to be executed' : 'not to be prepared')) throw NO;
      if (kind === 'query' && sql.includes('not to be')) throw NO;
      if (this.#dice() < 0.05 && !sql.includes('the end')) throw NO;
    }
    const answer =
      kind !== 'execute' && sql.includes('old') ? statement.withSql(sql.replace('old', 'new')) : statement;
    if (kind !== 'parse') this.approved.push('sql' in answer ? answer.sql : '');
    return answer;
  }
}

const pick = <T>(dice: Dice, list: readonly T[]): T => list[Math.floor(dice() * list.length)] as T;
const parse = (name: string, sql: string): Buffer => frame('P', name, sql, 0);
const bind = (portal: string, name: string): Buffer => frame('B', portal, name, 0, 0, 0);
const execute = (portal: string): Buffer => frame('E', portal, Buffer.alloc(4));

function anyMessage(dice: Dice, texts: readonly string[]): Buffer {
  const of = dice();
  if (of < 0.1) return frame('Q', pick(dice, texts));
  if (of < 0.28) return parse(pick(dice, NAMES), pick(dice, texts));
  if (of < 0.5) return bind(pick(dice, PORTALS), pick(dice, NAMES));
  if (of < 0.57) return frame('D', Buffer.from(pick(dice, ['S', 'P'])), pick(dice, NAMES));
  if (of < 0.78) return execute(pick(dice, PORTALS));
  if (of < 0.82) return frame('C', Buffer.from(pick(dice, ['S', 'P'])), pick(dice, NAMES));
  if (of < 0.84) return frame('H');
  if (of < 0.86) return frame('Q', "set postern.nothing = 'x'");
  if (of < 0.88) return parse('', "set postern.nothing = 'x'");
  if (of < 0.94) return Buffer.concat([parse('', pick(dice, texts)), bind('', ''), execute(''), S]);
  return S;
}

async function sendInPieces(to: RawClient, bytes: Buffer, dice: Dice): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const size = dice() < 0.6 ? bytes.length : 1 + Math.floor(dice() * 40);
    to.send(bytes.subarray(at, at + size));
    at += size;
    if (dice() < 0.4) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** What the server has executed of each session, in its order, by their marks. */
function executions(): ReadonlyMap<string, readonly string[]> {
  const found = postgres.log().matchAll(/LOG: {2}(?:statement|execute [^:\n]*): (.*\/\*(.*)\*\/)/g);
  const all = new Map<string, string[]>();
  for (const [, text = '', mark = ''] of found) all.set(mark, [...(all.get(mark) ?? []), text]);
  return all;
}

/** The server reads other characters where the client has chosen another encoding. */
const inAscii = (text: string): string => text.replaceAll(/[^ -~]+/g, '?');

function isSubsequence(part: readonly string[], whole: readonly string[]): boolean {
  let at = 0;
  for (const one of part) {
    at = whole.indexOf(one, at) + 1;
    if (at === 0) return false;
  }
  return true;
}

async function sessionOf(
  shared: SharedSessions | undefined,
  options: Partial<RelayOptions>,
): Promise<Relayed> {
  if (shared) return shared.connect({ options });
  return relayed(await openAs(postgres, database, 'writer'), options);
}

/** All was answered. */
async function isQuiet(client: Relayed): Promise<void> {
  client.send(S, frame('Q', "select 'the end'"));
  const ended = () =>
    client.closed ||
    client.messages.some(
      ({ type, body }) =>
        (type === 'D' && body.includes('the end')) || (type === 'E' && /25P02|0A000/.test(body.toString())),
    );
  await expect.poll(ended, PATIENT).toBe(true);
}

/** Three sessions at a time. */
async function inThrees(one: (seed: number) => Promise<void>): Promise<void> {
  for (let round = 0; round < SEQUENCES; round += 3)
    await Promise.all([0, 1, 2].map((i) => one(SEED + round + i)));
}

/** The session ends when all was answered. */
async function leave(client: Relayed): Promise<void> {
  await isQuiet(client);
  client.close();
  await client.relay.done;
}

/** Messages of one step none of which fails, and what a hook is shown of them. `statements`: the session's, by name. */
function fineStep(dice: Dice, mark: string, statements: Map<string, string>) {
  const [made, shown, portals] = [[] as Buffer[], [] as string[], new Map<string, string>()];
  const inTransaction = dice() < 0.2;
  const query = (sql: string): void => {
    made.push(frame('Q', sql));
    shown.push(`query ${sql}`);
    statements.delete('');
  };
  if (inTransaction) query(`begin /*${mark}*/`);
  for (let i = Math.floor(dice() * 10); i > 0; i -= 1) {
    const [name, portal, sql] = [
      pick(dice, NAMES),
      pick(dice, PORTALS),
      pick(dice, textsOf(mark).slice(0, FINE)),
    ];
    const of = dice();
    if (of < 0.25 && (name === '' || !statements.has(name))) {
      made.push(parse(name, sql));
      shown.push(`parse ${sql}`);
      statements.set(name, sql.replace('old', 'new'));
    } else if (of < 0.55 && statements.has(name) && (portal === '' || !portals.has(portal))) {
      made.push(bind(portal, name));
      portals.set(portal, statements.get(name) ?? '');
    } else if (of < 0.8 && portals.has(portal)) {
      made.push(execute(portal));
      shown.push(`execute ${portals.get(portal)}`);
    } else if (of < 0.84) {
      made.push(frame('C', Buffer.from('S'), name));
      statements.delete(name);
    } else if (of < 0.87 && portals.has(portal)) {
      made.push(frame('D', Buffer.from('P'), portal));
    } else if (of < 0.9) {
      made.push(S);
      if (!inTransaction) portals.clear();
    } else if (of < 0.92) made.push(frame('H'));
  }
  made.push(S);
  if (inTransaction) query(`commit /*${mark}*/`);
  return { made, shown };
}

describe.each(['transaction', 'session'])('in %s mode', (mode) => {
  test(`${SEQUENCES} random sequences execute nothing that was not approved of (POSTERN_SEED=${SEED})`, async () => {
    const shared = mode === 'session' ? undefined : sharedSessions(postgres, database, 2);
    const policies = new Map<string, Policy>();
    await inThrees(async (seed) => {
      const [dice, mark] = [random(seed), `${mode} ${seed}`];
      const policy = new Policy(random(seed ^ 0x1234), true);
      policies.set(mark, policy);
      const client = await sessionOf(shared, policy.options);
      let executes = 0;
      for (let step = 0; step < 8; step += 1) {
        const made = Array.from({ length: 1 + Math.floor(dice() * 9) }, () =>
          anyMessage(dice, textsOf(mark)),
        );
        executes += made.filter((bytes) => bytes[0] === 0x45 || bytes.includes(execute(''))).length;
        await sendInPieces(client, Buffer.concat(made), dice);
        if (dice() < 0.5) await new Promise((resolve) => setTimeout(resolve, dice() * 10));
      }
      await leave(client);
      expect(new Set(policy.ids).size, mark).toBe(policy.ids.length);
      const asked = policy.asked.filter((text) => text.startsWith('execute')).length;
      expect(asked, mark).toBeLessThanOrEqual(executes);
    });
    await shared?.close();
    const all = executions();
    for (const [mark, { approved }] of policies) {
      const ran = all.get(mark) ?? [];
      const told = `${mark}: executed ${ran.join(' | ')}; approved ${approved.join(' | ')}`;
      expect(isSubsequence(ran.map(inAscii), approved.map(inAscii)), told).toBe(true);
    }
    expect([...policies.keys()].some((mark) => all.has(mark))).toBe(true);
  }, 600_000);

  test(`${SEQUENCES} random sequences without an error show each message once, with its text (POSTERN_SEED=${SEED})`, async () => {
    const shared = mode === 'session' ? undefined : sharedSessions(postgres, database, 2);
    const policies = new Map<string, Policy>();
    await inThrees(async (seed) => {
      const [dice, mark] = [random(seed), `fine ${mode} ${seed}`];
      const policy = new Policy(random(seed ^ 0x1234), false);
      policies.set(mark, policy);
      const client = await sessionOf(shared, policy.options);
      const expected: string[] = [];
      const statements = new Map<string, string>();
      for (let step = 0; step < 8; step += 1) {
        const { made, shown } = fineStep(dice, mark, statements);
        expected.push(...shown);
        await sendInPieces(client, Buffer.concat(made), dice);
        if (dice() < 0.5) await new Promise((resolve) => setTimeout(resolve, dice() * 10));
      }
      await leave(client);
      const errors = client.messages.filter(({ type }) => type === 'E').map(({ body }) => body.toString());
      expect(errors, mark).toEqual([]);
      expect(policy.asked.slice(0, -1), mark).toEqual(expected);
    });
    await shared?.close();
    const all = executions();
    for (const [mark, { approved }] of policies)
      expect(all.get(mark) ?? [], mark).toEqual(approved.slice(0, -1));
  }, 600_000);
});
