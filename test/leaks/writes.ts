/** Transactions whose outcome is remembered, whole and in part. */
import { COPY_DONE, SYNC, copyData, parse, query, run as execute } from './messages.ts';
import type { Session } from './session.ts';
import type { Random } from './random.ts';
import type { Answer } from './wire-client.ts';

/** A transaction as bytes. */
export interface Written {
  readonly bytes: Buffer;
  /** So many of the bytes have to reach PostgreSQL for a commit. */
  readonly decisive: number;
  /** How many ReadyForQuery answer it. */
  readonly times: number;
  /** The tag that confirms it. */
  readonly confirmation: string;
}

const insert = (id: number, note: string): string => `insert into leaks.ledger values (${id}, '${note}')`;

function written(
  messages: readonly Buffer[],
  deciding: number,
  times: number,
  confirmation: string,
): Written {
  const decisive = messages.slice(0, deciding).reduce((sum, { length }) => sum + length, 0);
  return { bytes: Buffer.concat(messages), decisive, times, confirmation };
}

/** Ways to say the same. The number behind the messages is that of the one with which the commit is said. */
const WAYS: readonly ((sql: string) => Written)[] = [
  (sql) => written([query(sql)], 1, 1, 'INSERT 0 1'),
  (sql) => written([query(`begin; ${sql}; commit`)], 1, 1, 'COMMIT'),
  (sql) => written([query('begin'), query(sql), query('commit')], 3, 3, 'COMMIT'),
  (sql) => written([query(`select 1; ${sql}`)], 1, 1, 'INSERT 0 1'),
  (sql) => written([parse('', sql), execute(''), SYNC], 3, 1, 'INSERT 0 1'),
  (sql) => {
    const batch = ['begin', sql, 'commit'].flatMap((text) => [parse('', text), execute('')]);
    return written([...batch, SYNC], 6, 1, 'COMMIT');
  },
  (sql) =>
    written(
      [query('begin isolation level serializable'), parse('', sql), execute(''), SYNC, query('end')],
      5,
      3,
      'COMMIT',
    ),
];

/** How a row is written. */
interface Note {
  readonly note: string;
  /**
   * Only ways that are whole or nothing where one message fails: behind a BEGIN that found no server, or met a wrecker's
   * time-out of 2 ms, an INSERT stands alone.
   */
  readonly whole: boolean;
}

/** Whether a BEGIN of this session may fail while what is behind it does not. */
export const wholeOnly = ({ entry, person }: Pick<Session, 'entry' | 'person'>): boolean =>
  entry.rough || person.wrecker;

/** Some way to write a row. */
export function writing(random: Random, id: number, { note, whole }: Note): Written {
  const ways = WAYS.map((way) => way(insert(id, note)));
  return random.pick(whole ? ways.filter(({ times }) => times === 1) : ways);
}

/** How a COPY of so many lines is written. */
export function copying(id: number, lines: number): Written {
  const data = Array.from({ length: lines }, (_, line) => copyData(`${id}\t${line}\n`));
  const messages = [query('copy leaks.copied from stdin'), ...data, COPY_DONE];
  return written(messages, messages.length, 1, `COPY ${lines}`);
}

const confirmed = ({ tags, errors }: Answer, { confirmation }: Written): boolean =>
  errors.length === 0 && tags.includes(confirmation);

/** Writes a row, all at once or step by step, and mostly commits. @throws Over if the session has ended */
export async function transaction(session: Session): Promise<void> {
  const { random } = session.run;
  if (random.chance(0.5)) await atOnce(session);
  else await stepByStep(session);
}

async function atOnce(session: Session): Promise<void> {
  const { ledger, random } = session.run;
  const tag = session.tag();
  const id = ledger.begin(`${tag} on ${session.entry.name}`);
  const one = writing(random, id, { note: tag, whole: wholeOnly(session) });
  const answer = await session.ask(one.bytes, { times: one.times });
  ledger.settle(id, confirmed(answer, one) ? 'confirmed' : 'refused');
  // A transaction that failed on its way may be open still.
  if (!answer.ready.endsWith('I')) await session.ask(query('rollback'));
  if (answer.errors.length === 0 && !confirmed(answer, one)) {
    session.violation('answers', `a transaction is answered by ${answer.tags.join()}`);
  }
}

async function stepByStep(session: Session): Promise<void> {
  const { ledger, random } = session.run;
  const tag = session.tag();
  const commits = random.chance(0.8);
  const begun = await session.ask(query('begin'));
  if (begun.ready !== 'T') return;
  const id = ledger.begin(`${tag} on ${session.entry.name}, ${commits ? 'commit' : 'rollback'}`);
  // Whatever ends the session before its COMMIT is sent undoes it.
  ledger.settle(id, 'refused');
  await session.ask(query(insert(id, tag)));
  const echo = await session.ask(query(`select '${tag}'`));
  if (echo.errors.length === 0 && echo.rows[0]?.[0] !== tag) {
    session.violation('answers', `the answer is ${echo.rows[0]?.[0]}, not ${tag}`);
  }
  if (commits) ledger.settle(id, 'unknown');
  const answer = await session.ask(query(commits ? 'commit' : 'rollback'));
  if (commits) ledger.settle(id, answer.tags[0] === 'COMMIT' ? 'confirmed' : 'refused');
}

/** Copies some lines in. @throws Over if the session has ended */
export async function copy(session: Session): Promise<void> {
  const { copied, random } = session.run;
  const tag = session.tag();
  const lines = 1 + random.below(20);
  const id = copied.begin(`${tag} on ${session.entry.name}`, lines);
  const one = copying(id, lines);
  const answer = await session.ask(one.bytes);
  copied.settle(id, confirmed(answer, one) ? 'confirmed' : 'refused');
}
