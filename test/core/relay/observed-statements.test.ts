/** Observers are told the same of a message whether it is observed in its chunk or read as a message of its own. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { OutstandingRequests } from '../../../core/relay/requests/outstanding-requests.ts';
import { OP_OF, ResponseAction } from '../../../core/relay/requests/request-queue.ts';
import { StatementObserver } from '../../../core/relay/statements/statement-observer.ts';
import type { StatementEnd } from '../../../core/relay/statements/statement-observer.ts';
import { StatementTexts } from '../../../core/relay/statements/statement-texts.ts';
import { Backend } from '../../../core/wire/frames.ts';
import { frame } from '../../support/raw.ts';

const NAMES = ['', 's', 'other', 'größe', `long ${'x'.repeat(100)}`];
const PORTALS = ['', '', '', 'p'];
const ANSWERS: Readonly<Record<string, number>> = {
  P: Backend.parseComplete,
  B: Backend.bindComplete,
  C: Backend.closeComplete,
  E: Backend.commandComplete,
  S: Backend.readyForQuery,
};

/** A message of the client; `fails`: the server refuses it. */
interface Sent {
  readonly bytes: Buffer;
  readonly fails: boolean;
}

const name = fc.constantFrom(...NAMES);
const portal = fc.constantFrom(...PORTALS);
const message = fc.oneof(
  fc.tuple(name, fc.integer({ max: 9, min: 0 })).map(([of, n]) => frame('P', of, `select ${n}`, 0)),
  fc.tuple(portal, name).map(([to, of]) => frame('B', to, of, 0, 0, 0)),
  portal.map((of) => frame('E', of, Buffer.from([0, 0, 0, 0]))),
  fc.tuple(fc.constantFrom('S', 'P'), name).map(([kind, of]) => frame('C', Buffer.from(kind), of)),
  fc.constant(frame('S')),
);
const sent: fc.Arbitrary<Sent> = fc.record({
  bytes: message,
  fails: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
});

/** One session: messages go in, answers come out of a server that answers what it was sent in order. */
class Observed {
  readonly told: string[] = [];
  readonly outstanding = new OutstandingRequests();
  readonly #inChunk: boolean;
  readonly #log = new StatementObserver((end) => this.told.push(shown(end)));
  readonly #texts = new StatementTexts('none', this.#log);
  #unanswered: Sent[] = [];

  constructor(inChunk: boolean) {
    this.#inChunk = inChunk;
  }

  send(one: Sent): void {
    const { bytes } = one;
    const type = bytes[0] ?? 0;
    const op = OP_OF[type] ?? 0;
    this.#unanswered.push(one);
    if (this.outstanding.skipping && type !== 0x53) return;
    const chunk = Buffer.concat([Buffer.from('in front'), bytes, Buffer.from('behind')]);
    const may = this.#inChunk && [0x42, 0x45, 0x50, 0x53].includes(type);
    const observer = may ? this.#texts.sentInChunk(type, chunk, 8, 8 + bytes.length) : 'read';
    const read = () => this.#texts.sent(type, bytes, this.#texts.open(type, bytes));
    this.outstanding.sent(op, ResponseAction.forward, observer === 'read' ? read() : observer);
  }

  answer(): void {
    let failed = false;
    for (const { bytes, fails } of this.#unanswered) {
      const type = String.fromCharCode(bytes[0] ?? 0);
      if (type === 'S') this.#reply(Backend.readyForQuery);
      else if (!failed && fails) {
        this.fail();
      } else if (!failed) this.#reply(ANSWERS[type] ?? 0);
      failed = type !== 'S' && (failed || fails);
    }
    this.#unanswered = [];
    this.#log.chunkRead();
  }

  /** An error for what is oldest. */
  fail(): void {
    this.outstanding.headObserver?.answered?.(Backend.errorResponse, 30, Buffer.from('C42P01\0\0'));
    this.outstanding.error(false);
  }

  leave(): void {
    this.#log.abandon();
  }

  #reply(type: number): void {
    const body = type === Backend.commandComplete ? Buffer.from('SELECT 3\0') : undefined;
    this.outstanding.headObserver?.answered?.(type, 10, body);
    this.outstanding.reply(type, 0x49);
  }
}

function shown({ id, kind, sql, truncated, tags, rows, bytesIn, bytesOut, sqlstate }: StatementEnd): string {
  return JSON.stringify([id, kind, sql, truncated, tags, rows, bytesIn, bytesOut, sqlstate]);
}

test('any sequence of messages, errors and a lost connection tells the same, however its messages are read', () => {
  let statements = 0;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(sent, fc.boolean()), { minLength: 10, maxLength: 40, size: 'max' }),
      (messages) => {
        const [one, other] = [new Observed(true), new Observed(false)];
        for (const [next, answers] of messages) {
          for (const session of [one, other]) {
            session.send(next);
            // The server keeps its answers until a Sync.
            if (answers && next.bytes[0] === 0x53) session.answer();
          }
        }
        for (const session of [one, other]) session.leave();
        statements += one.told.length;
        expect(one.told).toEqual(other.told);
      },
    ),
    { numRuns: 2_000 },
  );
  expect(statements).toBeGreaterThan(1_000);
});

test.each([true, false])(
  'a client that leaves between an error and the answer to its Sync has one statement: nothing was left to commit (in a chunk: %s)',
  (inChunk) => {
    const session = new Observed(inChunk);
    const execute = frame('E', '', Buffer.from([0, 0, 0, 0]));
    for (const bytes of [frame('P', '', 'nonsense', 0), frame('B', '', '', 0, 0, 0), execute, frame('S')])
      session.send({ bytes, fails: false });
    session.fail();
    session.leave();
    expect(session.told).toEqual([expect.stringMatching(/"parse","nonsense".*"42P01"/)]);
  },
);

test('a portal with a name, an Execute of some rows and a name that is no ASCII are read as messages of their own', () => {
  const log = new StatementObserver(() => {});
  const texts = new StatementTexts('none', log);
  const inChunk = (bytes: Buffer) => texts.sentInChunk(bytes[0] ?? 0, bytes, 0, bytes.length);
  expect(inChunk(frame('B', 'p', 's', 0, 0, 0))).toBe('read');
  expect(inChunk(frame('B', '', 'größe', 0, 0, 0))).toBe('read');
  expect(inChunk(frame('E', 'p', Buffer.from([0, 0, 0, 0])))).toBe('read');
  expect(inChunk(frame('E', Buffer.from([0, 0, 0, 0])))).toBe('read');
  expect(inChunk(frame('B', '', Buffer.from('no end')))).toBe('read');
  expect(inChunk(frame('E', '', Buffer.from([0, 0, 0, 0])))).not.toBe('read');
});
