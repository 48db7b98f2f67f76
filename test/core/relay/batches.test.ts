/** What messages and tags leave on a server connection, counted and told. */
import { describe, expect, test } from 'vitest';
import {
  ExtendedBatch,
  OutstandingRequests,
  SessionCounters,
} from '../../../core/relay/requests/outstanding-requests.ts';
import { dropsStatements, leavesState, pins, takesOffSettings } from '../../../core/relay/command-tags.ts';
import { Op, ResponseAction } from '../../../core/relay/requests/request-queue.ts';
import { Backend } from '../../../core/wire/frames.ts';

const OPS = {
  Q: Op.query,
  F: Op.functionCall,
  P: Op.parse,
  B: Op.bind,
  C: Op.close,
  D: Op.describe,
  E: Op.execute,
  S: Op.sync,
  c: Op.copyEnd,
} as const;
const opsOf = (letters: string): number[] =>
  letters.split('').map((letter) => OPS[letter as keyof typeof OPS]);

describe('a batch', () => {
  test.each<[string, begun: boolean, tainted: boolean, syncs: number]>([
    ['', false, false, 0],
    ['Q', false, false, 0],
    ['P', true, false, 0],
    ['PBDES', false, false, 1],
    ['PBEQ', true, true, 0],
    ['PF', true, true, 0],
    ['SQ', false, false, 1],
    // The end of a COPY that a batch began.
    ['PBEc', true, false, 0],
    ['Qc', false, false, 0],
    // Once tainted, no Sync makes the connection good for another session.
    ['PQS', false, true, 1],
    ['PSPS', false, false, 2],
  ])('%s', (letters, begun, unsafe, syncs) => {
    const batch = new ExtendedBatch();
    for (const op of opsOf(letters)) batch.sent(op);
    expect([batch.begun, batch.unsafe, batch.syncs]).toEqual([begun, unsafe, syncs]);
  });

  test('another server connection knows nothing of it, and Syncs are counted on', () => {
    const batch = new ExtendedBatch();
    for (const op of opsOf('SPQ')) batch.sent(op);
    batch.reset();
    expect([batch.begun, batch.unsafe, batch.syncs]).toEqual([false, false, 1]);
  });
});

test.each<[string, leaves: boolean, pinned: boolean, settings: boolean, statements: boolean]>([
  ['SELECT 1', false, false, false, false],
  ['INSERT 0 1', false, false, false, false],
  ['BEGIN', false, false, false, false],
  ['ROLLBACK', false, false, false, false],
  ['COPY 5', false, false, false, false],
  ['DEALLOCATE', false, false, false, false],
  ['DEALLOCATE ALL', false, false, false, true],
  ['DISCARD ALL', true, false, true, true],
  ['DISCARD SEQUENCES', true, false, true, false],
  ['DISCARD TEMP', true, false, false, false],
  ['SET', true, false, false, false],
  ['RESET', true, false, true, false],
  ['LISTEN', true, true, false, false],
  ['UNLISTEN', true, false, false, false],
  ['PREPARE', true, true, false, false],
  ['PREPARE TRANSACTION', true, false, false, false],
  ['DECLARE CURSOR', true, true, false, false],
  ['CREATE TABLE', true, true, false, false],
  ['CREATE INDEX', true, false, false, false],
  ['LOAD', true, true, false, false],
  ['DO', true, false, false, false],
  ['CALL', true, false, false, false],
  // A word that a newer server may send, and none.
  ['SELECTION 1', true, false, false, false],
  ['', true, false, false, false],
])('the tag %j', (tag, ...wanted) => {
  expect([leavesState(tag), pins(tag), takesOffSettings(tag), dropsStatements(tag)]).toEqual(wanted);
});

test('messages are counted for whom they are: of the client, to the server, or both', () => {
  const counters = new SessionCounters();
  counters.sent(Op.parse, ResponseAction.forward);
  counters.sent(Op.parse, ResponseAction.skip);
  counters.sent(Op.parse, ResponseAction.synthesize);
  counters.sent(Op.bind, ResponseAction.forward);
  counters.sent(Op.query, ResponseAction.forward);
  counters.ready(false);
  counters.ready(true);
  const { clientParses, serverParses, binds, queries, transactions } = counters;
  expect({ clientParses, serverParses, binds, queries, transactions }).toEqual({
    clientParses: 2,
    serverParses: 2,
    binds: 1,
    queries: 2,
    transactions: 1,
  });
});

describe('a COPY that reads the Sync of its batch', () => {
  test.each<[string, after: string, tainted: boolean]>([
    ['a Query behind its end is inside the batch', 'cQ', true],
    ['a FunctionCall behind its end, too', 'cF', true],
    ['a Query behind another Sync is not', 'cSQ', false],
    ['a Query behind a next Parse is', 'cPQ', true],
  ])('%s', (_, after, unsafe) => {
    for (const late of [false, true]) {
      const outstanding = new OutstandingRequests();
      const send = (letters: string): void => {
        for (const op of opsOf(letters)) outstanding.sent(op);
      };
      send(late ? 'PBESc' : `PBES${after}`);
      for (const type of [Backend.parseComplete, Backend.bindComplete, Backend.copyInResponse])
        outstanding.reply(type);
      outstanding.reply(Backend.commandComplete);
      if (late) send(after.slice(1));
      expect(outstanding.batch.unsafe).toBe(unsafe);
    }
  });
});
