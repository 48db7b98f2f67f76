/** The names of a session's statements on its connection, decided without a server. */
import { beforeEach, expect, test } from 'vitest';
import { OutstandingRequests } from '../../../core/relay/requests/outstanding-requests.ts';
import type { KnownStatements } from '../../../core/relay/prepared/known-statements.ts';
import { ServerStatements } from '../../../core/relay/prepared/server-statements.ts';
import type { OnServer, ServerConnection } from '../../../core/upstream/connection.ts';
import { Backend } from '../../../core/wire/frames.ts';
import { encodeClose } from '../../../core/wire/to-server.ts';

/** Most statements on one server connection. */
const MOST = 200;

let time: number;
let forgotten: string[];
let server: { readonly prepared: Map<string, OnServer> } | undefined;
let statements: ServerStatements;

beforeEach(() => {
  [time, forgotten, server] = [0, [], { prepared: new Map() }];
  const known: KnownStatements = {
    now: () => (time += 1),
    oldest: () => 0,
    get: () => undefined,
    set: () => {},
    delete: (parsed) => void forgotten.push(parsed),
  };
  const link = {
    get server(): ServerConnection | undefined {
      return server as ServerConnection | undefined;
    },
  };
  statements = new ServerStatements(link, new OutstandingRequests(), known);
});

const closes = (...names: readonly string[]): Buffer =>
  Buffer.concat(names.map((name) => encodeClose('S', name)));
const errorOf = (code: string): Buffer => Buffer.from(`SERROR\0C${code}\0Mx\0\0`);

test('a statement is found under the name that was made for it, which no client can guess', () => {
  const { serverName, before } = statements.add('a');
  expect([statements.find('a'), statements.find('b'), before.length]).toEqual([serverName, undefined, 0]);
  expect(serverName).toMatch(/^postern_[0-9a-f]{24}$/);
});

test('one that was prepared too long ago is not found, and is closed in front of its successor', () => {
  const first = statements.add('a');
  expect([statements.find('a', first.at), statements.find('a', first.at + 1)]).toEqual([
    first.serverName,
    undefined,
  ]);
  const second = statements.add('a');
  expect(second.before).toEqual(closes(first.serverName));
  expect(statements.find('a')).toBe(second.serverName);
});

test('a Parse that fails leaves no name', () => {
  statements.add('a').observer.dropped();
  expect(statements.find('a')).toBe(undefined);
});

test('the least recently used one is closed in front of one too many', () => {
  const names = Array.from({ length: MOST }, (_, i) => statements.add(`${i}`).serverName);
  statements.find('0');
  expect(statements.add('more').before).toEqual(closes(names[1] ?? ''));
  expect([statements.find('0'), statements.find('1')]).toEqual([names[0], undefined]);
});

test.each(['26000', '0A000'])(
  'a use that fails with %s forgets the statement, here and in the pool',
  (code) => {
    const { serverName } = statements.add('a');
    statements.use(serverName, 'parsed a').answered?.(Backend.errorResponse, 0, errorOf(code));
    expect([statements.find('a'), forgotten]).toEqual([undefined, ['parsed a']]);
    // Should the server still have it.
    expect(statements.add('b').before).toEqual(closes(serverName));
  },
);

test('a use that fails otherwise, or succeeds, forgets nothing', () => {
  const { serverName } = statements.add('a');
  const use = statements.use(serverName, 'parsed a');
  use.answered?.(Backend.errorResponse, 0, errorOf('22012'));
  use.answered?.(Backend.bindComplete, 0, undefined);
  expect([statements.find('a'), forgotten]).toEqual([serverName, []]);
});

test('a described statement serves all with its key; an earlier one of that key is closed later', () => {
  const [first, second] = [statements.add('a'), statements.add('b')];
  statements.rename('b', 'a');
  expect([statements.find('a'), statements.find('b')]).toEqual([second.serverName, undefined]);
  expect(statements.add('c').before).toEqual(closes(first.serverName));
});

test('trials share one name, which is closed in front of each', () => {
  const trials = [statements.trial(), statements.trial()];
  const [name] = trials.map(({ serverName }) => serverName);
  for (const trial of trials) expect(trial).toEqual({ serverName: name, before: closes(name ?? '') });
});

test('names belong to their connection', () => {
  const first = server;
  const { serverName } = statements.add('a');
  server = { prepared: new Map() };
  expect(statements.find('a')).toBe(undefined);
  server = first;
  expect(statements.find('a')).toBe(serverName);
  statements.clear();
  expect(statements.find('a')).toBe(undefined);
  server = undefined;
  expect(statements.find('a')).toBe(undefined);
});
