/** Both streams of the relay, without sockets: any split of the bytes is the same, and no bytes do harm. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import { FromClient } from '../../../core/relay/from-client.ts';
import { FromServer } from '../../../core/relay/from-server.ts';
import { QueryHook } from '../../../core/relay/statements/query-hook.ts';
import { UnlinkedMessages } from '../../../core/relay/unlinked-messages.ts';
import { OutstandingRequests } from '../../../core/relay/requests/outstanding-requests.ts';
import { Op } from '../../../core/relay/requests/request-queue.ts';
import { readParameterStatus } from '../../../core/wire/backend.ts';
import {
  errorResponse,
  noticeResponse,
  parameterStatus,
  readyForQuery,
} from '../../../core/wire/to-client.ts';
import { frame } from '../../support/raw.ts';

const INT4 = (value: number): Buffer => Buffer.from([0, 0, 0, value]);

/** One of each message a client may send, and a few long ones. */
const CLIENT = [
  frame('Q', 'select 1'),
  frame('Q', ''),
  frame('P', 's', 'select $1', 1, INT4(23)),
  frame('B', 'p', 's', 0, 1, INT4(1), Buffer.from('7'), 0),
  frame('D', Buffer.from('S'), 's'),
  frame('E', 'p', INT4(0)),
  frame('C', Buffer.from('P'), 'p'),
  frame('S'),
  frame('H'),
  frame('F', INT4(1), 0, 0, 0),
  frame('d', Buffer.alloc(100, 'x')),
  frame('d', Buffer.alloc(70_000, 'x')),
  frame('c'),
  frame('f', 'no'),
  frame('Q', `select '${'x'.repeat(70_000)}'`),
  frame('B', '', '', 0, 1, Buffer.from([0, 1, 0x11, 0x70]), Buffer.alloc(70_000, 'y'), 0),
];

interface Seen {
  readonly bytes: Buffer;
  readonly pending: number[];
  readonly violation: string | undefined;
}

function fromClient(chunks: readonly Buffer[], tapped: boolean): Seen {
  const out: Buffer[] = [];
  const pending: number[] = [];
  let violation: string | undefined;
  const outstanding = new OutstandingRequests();
  const sent = outstanding.sent.bind(outstanding);
  outstanding.sent = (op, kind, observer) => {
    pending.push(op);
    sent(op, kind, observer);
  };
  // Nobody answers here: what waits for answers is tried with servers, in encodings.test.ts and pipelined-texts.test.ts.
  Object.defineProperty(outstanding, 'settingsKnown', { value: true });
  Object.defineProperty(outstanding.batch, 'syncs', { value: 0 });
  const host = {
    outstanding,
    unlinkedMessages: { isLinked: true, isReady: () => true, connection: () => Promise.resolve() },
    fromClient: { behind: undefined },
    parameter: () => 'UTF8',
    betweenTransactions: () => outstanding.unfinished === undefined,
    flush() {},
    watched: false,
    sends() {},
    toServer() {},
    unplaceable() {},
  };
  const queryHook = new QueryHook(host, {
    reads: tapped ? 'parameters' : 'none',
    ...(tapped && { query: (statement) => statement }),
    inBand: () => Promise.resolve(),
    maxStatementBytes: 1_048_576,
    fault: (thrown) =>
      thrown instanceof GatewayError ? thrown : new GatewayError('internal_error', String(thrown)),
  });
  const stream = new FromClient({
    outstanding,
    queryHook,
    prepared: undefined,
    toServer: (bytes, from = 0, to = bytes.length) => out.push(Buffer.from(bytes.subarray(from, to))),
    held() {},
    sends() {},
    clientHalfClosed: () => false,
    unlinked: () => false,
    unlinkedMessages: new UnlinkedMessages({
      outstanding,
      queryHook,
      link: { checkOuts: 1, state: 'unlinked', need: () => 'go' },
      end() {},
    }),
    terminated() {},
    settled() {},
    clientDrained() {},
    clientLost() {},
    violated: (error) => (violation = error.message),
    failed: (error) => (violation = (error as Error).message),
  });
  // As the sockets do it: every chunk lies in the same memory.
  const shared = Buffer.alloc(65_536);
  for (const chunk of chunks) {
    chunk.copy(shared);
    stream.bytes(shared.subarray(0, chunk.length));
    shared.fill(0xee);
  }
  return { bytes: Buffer.concat(out), pending, violation };
}

/** Cuts bytes into chunks of at most 64 KiB, as they are read. */
function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const size = Math.min(65_536, sizes.length > 0 ? (sizes[i % sizes.length] ?? 1) : 65_536);
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

/** Indexes, so that a counterexample can be read. */
const sequence = fc.array(fc.nat(CLIENT.length - 1), { minLength: 1, maxLength: 12 });
const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 65_536 })), {
  minLength: 1,
  maxLength: 8,
});

test('any split of any client messages gives the same bytes and the same debts, tapped or not', () => {
  fc.assert(
    fc.property(sequence, sizes, fc.boolean(), (messages, at, tapped) => {
      const bytes = Buffer.concat(messages.map((i) => CLIENT[i]!));
      const split = fromClient(cut(bytes, at), tapped);
      expect(split.violation).toBeUndefined();
      expect(split.bytes.equals(bytes)).toBe(true);
      expect(split.pending).toEqual(fromClient(cut(bytes, []), tapped).pending);
    }),
    { numRuns: 400 },
  );
});

test('each client message split at every byte is forwarded whole, and never its beginning alone', () => {
  for (const message of CLIENT.filter(({ length }) => length < 1000)) {
    for (let at = 1; at < message.length; at += 1) {
      const first = fromClient([message.subarray(0, at)], false);
      if (message[0] !== 'd'.charCodeAt(0)) expect(first.bytes.length).toBe(0);
      expect(fromClient([message.subarray(0, at), message.subarray(at)], false).bytes.equals(message)).toBe(
        true,
      );
    }
  }
});

test('no bytes of a client crash the stream, and what it cannot know ends it with a violation', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), sizes, fc.boolean(), (bytes, at, tapped) => {
      const seen = fromClient(cut(Buffer.from(bytes), at), tapped);
      expect(seen.bytes.length).toBeLessThanOrEqual(bytes.length + 200);
    }),
    { numRuns: 2000 },
  );
  for (const word of [0, 3, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    for (const type of 'QPBDECSHFdcfX') {
      const head = Buffer.alloc(5);
      head.write(type, 'latin1');
      head.writeUInt32BE(word, 1);
      expect(fromClient([head], false).violation, `${type} ${word}`).toBe('invalid message length');
    }
  }
});

/** The answers to a Query, an extended batch, and things that come in between. */
const SERVER = [
  frame('T', 1, 'n', INT4(0), 0, INT4(23), 4, INT4(0), 0),
  frame('D', 1, INT4(1), Buffer.from('7')),
  frame('D', 1, Buffer.from([0, 1, 0x11, 0x70]), Buffer.alloc(70_000, 'z')),
  frame('C', 'SELECT 1'),
  noticeResponse({ severity: 'NOTICE', code: '00000', message: 'note' }),
  parameterStatus('TimeZone', 'UTC'),
  parameterStatus('search_path', 'schema, '.repeat(9000)),
  frame('A', INT4(1), 'channel', 'payload'),
  errorResponse({ severity: 'ERROR', code: '22012', message: 'division by zero' }),
  readyForQuery('T'),
];

interface Heard {
  readonly bytes: Buffer;
  readonly parameters: string[];
  readonly broken: boolean;
  readonly status: number;
  readonly pending: boolean;
}

function fromServer(chunks: readonly Buffer[], ops: readonly number[]): Heard {
  const outstanding = new OutstandingRequests();
  for (const op of ops) outstanding.sent(op);
  const out: Buffer[] = [];
  const parameters: string[] = [];
  let broken = false;
  const stream = new FromServer({
    outstanding,
    toClient: (bytes, from = 0, to = bytes.length) => out.push(Buffer.from(bytes.subarray(from, to))),
    readsTags: false,
    completed() {},
    refusedWrite() {},
    reported: (body) => parameters.push(readParameterStatus(body).name),
    errorReplaced() {},
    broken: () => (broken = true),
    settled() {},
    serverDrained() {},
    serverLost() {},
  });
  const shared = Buffer.alloc(65_536);
  for (const chunk of chunks) {
    chunk.copy(shared);
    stream.bytes(shared.subarray(0, chunk.length));
    shared.fill(0xee);
  }
  return {
    bytes: Buffer.concat(out),
    parameters,
    broken,
    status: outstanding.status,
    pending: outstanding.unfinished !== undefined,
  };
}

test('any split of any server messages gives the same bytes, parameters and state', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(SERVER.length - 2), { maxLength: 10 }), sizes, (messages, at) => {
      const bytes = Buffer.concat([...messages.map((i) => SERVER[i]!), SERVER.at(-1)!]);
      const whole = fromServer([...cut(bytes, [])], [Op.query]);
      const split = fromServer(cut(bytes, at), [Op.query]);
      expect(whole.broken).toBe(false);
      expect(whole.bytes.equals(bytes)).toBe(true);
      expect(split.bytes.equals(whole.bytes)).toBe(true);
      expect({ ...split, bytes: 0 }).toEqual({ ...whole, bytes: 0 });
      expect(split).toMatchObject({ status: 'T'.charCodeAt(0), pending: false });
    }),
    { numRuns: 400 },
  );
});

test('an answer to nothing, or of a wrong kind, breaks the connection before the client hears it', () => {
  for (const [ops, message] of [
    [[], frame('C', 'SELECT 1')],
    [[], readyForQuery('I')],
    [[Op.parse], frame('2')],
    [[Op.query], frame('1')],
    [[Op.query], frame('s')],
    [[Op.sync], frame('D', 0)],
    [[Op.query], frame('R', INT4(0))],
    [[Op.query], frame('K', INT4(1), INT4(1))],
    [[Op.query], frame('Z', Buffer.from('II'))],
    [[Op.query], Buffer.from('T\0\0\0\x03')],
    [[Op.query], Buffer.from('C\xff\xff\xff\xff', 'latin1')],
    [[Op.query], frame('S', Buffer.from('no terminator'))],
    [[], errorResponse({ severity: 'ERROR', code: 'XX000', message: 'out of the blue' })],
  ] as const) {
    const heard = fromServer([message], ops);
    expect([heard.broken, heard.bytes.length], message.toString('latin1')).toEqual([true, 0]);
  }
});

test('no bytes of a server crash the stream', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), sizes, (bytes, at) => {
      fromServer(cut(Buffer.from(bytes), at), [Op.query, Op.parse, Op.bind, Op.execute, Op.sync]);
    }),
    { numRuns: 2000 },
  );
});
