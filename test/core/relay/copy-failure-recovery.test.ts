/** A COPY that failed, against a model of a server that has read some of the Syncs in its stream, and answers the others. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Disposition, Op, ResponseAction } from '../../../core/relay/requests/request-queue.ts';
import { OutstandingRequests } from '../../../core/relay/requests/outstanding-requests.ts';
import { Backend } from '../../../core/wire/frames.ts';
import { SYNC } from '../../../core/wire/to-server.ts';

const IDLE = 0x49;
/** What answers each operation if all goes well. */
const ANSWERS: Readonly<Record<number, readonly number[]>> = {
  [Op.query]: [Backend.commandComplete, Backend.readyForQuery],
  [Op.functionCall]: [Backend.functionCallResponse, Backend.readyForQuery],
  [Op.parse]: [Backend.parseComplete],
  [Op.bind]: [Backend.bindComplete],
  [Op.describe]: [Backend.noData],
  [Op.execute]: [Backend.commandComplete],
  [Op.close]: [Backend.closeComplete],
  [Op.sync]: [Backend.readyForQuery],
  [Op.copyEnd]: [],
};
const OPS = Object.keys(ANSWERS).map(Number);
/** Their answers end with ReadyForQuery, also behind an error. */
const WHOLE: readonly number[] = [Op.query, Op.functionCall];

interface Sent {
  readonly op: number;
  readonly fails: boolean;
  fate: string;
}

/** The server's side: what it owes for what it has got. */
class Model {
  readonly answers: { readonly type: number; readonly ours: boolean }[] = [];
  /** What should become of each message. */
  readonly fates: string[] = [];
  /** Which of them are of the gateway's own. */
  readonly probes = new Set<number>();
  #skipping: boolean;

  constructor(skipping: boolean) {
    this.#skipping = skipping;
  }

  gets({ op, fails }: Pick<Sent, 'op' | 'fails'>, ours = false): void {
    if (ours) this.probes.add(this.fates.length);
    if (op === Op.sync) this.#skipping = false;
    if (op === Op.copyEnd) return void this.fates.push('');
    if (this.#skipping) return void this.fates.push('dropped');
    const failed = fails && op !== Op.sync;
    this.#skipping = failed && !WHOLE.includes(op);
    this.fates.push(this.#skipping ? 'dropped' : 'closed');
    const types = ANSWERS[op] ?? [];
    const said = failed
      ? [Backend.errorResponse, ...(WHOLE.includes(op) ? [Backend.readyForQuery] : [])]
      : types;
    this.answers.push(...said.map((type) => ({ type, ours })));
  }
}

const message = fc.record({ op: fc.constantFrom(...OPS), fails: fc.boolean() });
const scene = fc.record({
  extended: fc.boolean(),
  syncs: fc.integer({ min: 1, max: 4 }),
  read: fc.nat(4),
  behind: fc.array(message, { maxLength: 10 }),
  /** How many were sent when the COPY's error arrives, and how many answers come between two messages then. */
  early: fc.nat(10),
  pace: fc.array(fc.nat(3), { minLength: 1, maxLength: 5 }),
  /** Probes are sent as soon as they are wanted, and the client is not read until they have decided. */
  asks: fc.boolean(),
});

type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;

/** Plays it; what is wrong, and whether the truth was found. */
function play({ extended, syncs, read, behind, early, pace, asks }: Scene): {
  wrong: string[];
  found: boolean;
} {
  const outstanding = new OutstandingRequests();
  const wrong: string[] = [];
  const list: Sent[] = behind.map((one) => ({ ...one, fate: '' }));
  const answered = Math.max(0, syncs - read);
  const model = new Model(extended && answered === 0);
  const send = (sent: Sent): void => {
    outstanding.sent(sent.op, ResponseAction.forward, {
      closed: () => (sent.fate += 'closed'),
      dropped: () => (sent.fate += 'dropped'),
      lost: () => (sent.fate += 'lost'),
    });
    model.gets(sent);
  };
  outstanding.sent(extended ? Op.execute : Op.query);
  outstanding.reply(Backend.copyInResponse);
  for (let i = 0; i < syncs; i += 1) outstanding.sent(Op.sync);
  if (!extended) model.answers.push({ type: Backend.readyForQuery, ours: false });
  for (let i = 0; i < answered; i += 1) model.answers.push({ type: Backend.readyForQuery, ours: false });
  let at = 0;
  while (at < Math.min(early, list.length)) send(list[at++]!);
  outstanding.error(false);
  const hear = (most: number): void => {
    for (const { type, ours } of model.answers.splice(0, most)) {
      const failed = type === Backend.errorResponse;
      const disposition = failed ? outstanding.error(false).disposition : outstanding.reply(type, IDLE);
      if (!outstanding.answerLost && disposition !== (ours ? Disposition.hide : Disposition.forward))
        wrong.push(`${type}: ${disposition}`);
    }
  };
  const ask = (): void => {
    while (outstanding.recovery?.wantsProbe) {
      const ops = outstanding.recovery.probe().equals(SYNC) ? [Op.sync] : [Op.close, Op.sync];
      for (const op of ops) model.gets({ op, fails: false }, true);
      for (let i = 0; i < 100 && outstanding.recovery?.probing; i += 1) hear(1);
    }
  };
  for (let turn = 0; at < list.length; turn += 1) {
    hear(pace[turn % pace.length] ?? 0);
    if (asks) ask();
    send(list[at++]!);
  }
  // With a chance to ask, in front of the answers and behind them, and some time to answer.
  for (let i = 0; i < 2; i += 1) {
    ask();
    hear(Infinity);
  }
  const found = outstanding.recovery === undefined && !outstanding.answerLost;
  const pending = outstanding.unfinished === 'answers';
  // A message may wait as long as this says that more will come.
  if (outstanding.recovery && !outstanding.answerLost && outstanding.endsReady)
    wrong.push('waits for nothing');
  if (found && pending) wrong.push('something is owed');
  // The probes' messages are in `fates`, too.
  const fates = model.fates.filter((_, i) => !model.probes.has(i));
  list.forEach(({ op, fate }, i) => {
    // The mark of an end is answered by nothing; a Sync right behind those of the COPY may be one of them.
    const known = op !== Op.copyEnd && !(op === Op.sync && fate === 'lost');
    if (found && known && fate !== fates[i]) wrong.push(`${i} of ${op}: ${fate}, not ${fates[i]}`);
    if (fate.length > 'dropped'.length) wrong.push(`${i}: ${fate}`);
  });
  return { wrong, found };
}

test('however many Syncs a failed COPY has read, each message behind it gets what becomes of it, as soon as the answers tell', () => {
  let [all, found] = [0, 0];
  fc.assert(
    fc.property(scene, (one) => {
      const outcome = play(one);
      all += 1;
      if (outcome.found) found += 1;
      expect(outcome.wrong).toEqual([]);
    }),
    { numRuns: 20_000 },
  );
  // The rest is what no answer tells apart.
  expect(found / all).toBeGreaterThan(0.5);
});

test('a hundred thousand Syncs in a COPY that fails, and as many behind it, cost no more than others', () => {
  const outstanding = new OutstandingRequests();
  outstanding.sent(Op.execute);
  outstanding.reply(Backend.copyInResponse);
  for (let i = 0; i < 100_000; i += 1) outstanding.sent(Op.sync);
  outstanding.sent(Op.copyEnd);
  outstanding.sent(Op.sync);
  outstanding.error(false);
  // It has read half of them.
  for (let i = 0; i < 50_001; i += 1)
    expect(outstanding.reply(Backend.readyForQuery, IDLE)).toBe(Disposition.forward);
  outstanding.sent(Op.query);
  expect(outstanding.reply(Backend.commandComplete)).toBe(Disposition.forward);
  expect(outstanding.recovery).toBeUndefined();
  expect(outstanding.reply(Backend.readyForQuery, IDLE)).toBe(Disposition.forward);
  expect(outstanding.unfinished).toBeUndefined();
});

test('a ReadyForQuery alone is no answer to a Query', () => {
  const outstanding = new OutstandingRequests();
  for (const op of [Op.execute, Op.sync, Op.copyEnd, Op.sync, Op.query]) outstanding.sent(op);
  outstanding.reply(Backend.copyInResponse);
  outstanding.error(false);
  for (let i = 0; i < 2; i += 1)
    expect(outstanding.reply(Backend.readyForQuery, IDLE)).toBe(Disposition.forward);
  expect(outstanding.recovery).toBeUndefined();
  expect(outstanding.unfinished).toBe('answers');
});

test('a COPY that fails in more than one possibility is followed in each', () => {
  // What PostgreSQL says to P B E(copy) S d(bad) S f c P B E(copy) d S f c d(bad) P B E(copy to a view) S S.
  const outstanding = new OutstandingRequests();
  const copy = [Op.parse, Op.bind, Op.execute];
  const ops = [...copy, Op.sync, Op.sync, Op.copyEnd, Op.copyEnd, ...copy, Op.sync, Op.copyEnd, Op.copyEnd];
  for (const op of [...ops, ...copy, Op.sync, Op.sync]) outstanding.sent(op);
  const said = '12GEZ12GEZZ';
  for (const type of said) {
    const byte = type.charCodeAt(0);
    const disposition =
      type === 'E' ? outstanding.error(false).disposition : outstanding.reply(byte, type === 'Z' ? IDLE : 0);
    expect(disposition, type).toBe(Disposition.forward);
    expect(outstanding.answerLost).toBe(false);
  }
  if (outstanding.recovery) {
    expect(outstanding.recovery.wantsProbe).toBe(true);
    outstanding.recovery.probe();
    expect(outstanding.reply(Backend.closeComplete)).toBe(Disposition.hide);
    expect(outstanding.reply(Backend.readyForQuery, IDLE)).toBe(Disposition.hide);
  }
  expect(outstanding.recovery).toBeUndefined();
  expect(outstanding.unfinished).toBeUndefined();
});

test('where too many possibilities are left, the session ends', () => {
  const outstanding = new OutstandingRequests();
  outstanding.sent(Op.execute);
  outstanding.reply(Backend.copyInResponse);
  for (let i = 0; i < 100; i += 1) outstanding.sent(Op.sync);
  outstanding.sent(Op.copyEnd);
  for (let i = 0; i < 100; i += 1) outstanding.sent(Op.sync);
  outstanding.error(false);
  for (let i = 0; i < 100 && !outstanding.answerLost; i += 1) outstanding.reply(Backend.readyForQuery, IDLE);
  expect(outstanding.answerLost).toBe(true);
});

test('observers behind a failed COPY are kept up to a limit, beyond which the order of answers is lost', () => {
  const outstanding = new OutstandingRequests();
  for (const op of [Op.execute, Op.sync, Op.sync]) outstanding.sent(op);
  outstanding.reply(Backend.copyInResponse);
  outstanding.error(false);
  let unknown = 0;
  const observer = { lost: () => void (unknown += 1) };
  for (let i = 0; i < 10_000; i += 1) outstanding.sent(Op.parse, ResponseAction.forward, observer);
  expect([outstanding.answerLost, unknown]).toEqual([false, 0]);
  for (let i = 0; i < 5; i += 1) outstanding.sent(Op.parse, ResponseAction.forward, observer);
  expect([outstanding.answerLost, unknown]).toEqual([true, 5]);
});

test.each([Op.query, Op.execute])(
  'an answer of the gateway inside a COPY that fails, and a Sync behind it: the order of answers is lost',
  (copy) => {
    const outstanding = new OutstandingRequests();
    outstanding.sent(copy);
    outstanding.sent(Op.bind, ResponseAction.synthesize, { answer: () => Buffer.alloc(0) });
    for (const op of [Op.sync, Op.copyEnd, Op.sync]) outstanding.sent(op);
    outstanding.reply(Backend.copyInResponse);
    outstanding.error(false);
    expect(outstanding.answerLost).toBe(true);
  },
);
