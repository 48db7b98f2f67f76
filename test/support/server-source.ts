/** A source of server connections for tests: a few connections, given out in any order, sometimes reset in between. */
import type { KnownStatement, KnownStatements } from '../../core/relay/prepared/known-statements.ts';
import type { ServerSource } from '../../core/relay/server-source.ts';
import type { ServerConnection } from '../../core/upstream/connection.ts';
import { monotonicTime } from '../../core/upstream/clock.ts';
import { frame, Messages } from './raw.ts';

/** Run-time parameters that follow a client from connection to connection. */
const FOLLOWING = ['TimeZone', 'DateStyle', 'IntervalStyle', 'client_encoding', 'application_name'];

/** Says something to an idle server connection and waits for ReadyForQuery. */
async function say(server: ServerConnection, sql: string): Promise<void> {
  const messages = new Messages();
  await new Promise<void>((resolve, reject) => {
    server.channel.listen({
      bytes(chunk) {
        messages.push(chunk);
        if (messages.list.at(-1)?.type === 'Z') resolve();
      },
      drained() {},
      closed: () => reject(new Error('closed')),
    });
    server.channel.resume();
    server.channel.write(frame('Q', sql));
  });
  server.channel.pause();
  for (const { type, body } of messages.list) {
    const [name = '', value = ''] = body.toString().split('\0');
    if (type === 'S') server.parameters.set(name, value);
    if (type === 'E') throw new Error(`${sql}: ${body.toString()}`);
  }
}

/** What a test can know of it. */
export interface TestSource extends ServerSource {
  readonly lent: number;
  readonly free: readonly ServerConnection[];
}

/** Statements that are known for ever. */
export function knownStatements(): KnownStatements {
  const all = new Map<string, KnownStatement>();
  return {
    now: monotonicTime,
    oldest: () => 0,
    get: (parsed) => all.get(parsed),
    set: (parsed, known) => void all.set(parsed, known),
    delete: (parsed) => void all.delete(parsed),
  };
}

/** Gives `connections`, any of them; what comes back `dirty` is reset, as is some of the rest. */
export function serverSource(connections: readonly ServerConnection[], dice: () => number): TestSource {
  const free = [...connections];
  const parameters = new Map(connections[0]?.parameters);
  const dirty = new WeakSet<ServerConnection>();
  let lent = 0;
  let takes = 0;
  let waiting = {};
  const take = async (): Promise<ServerConnection> => {
    const [server] = free.splice(Math.floor(dice() * free.length), 1);
    if (!server) throw new Error('nothing is free');
    lent += 1;
    if (dirty.has(server) || dice() < 0.2) {
      await say(server, 'discard all');
      server.prepared.clear();
    }
    dirty.delete(server);
    // As if another session of the same identity had taken values of sequences: no client may see what follows from that.
    takes += 1;
    if (takes % 3 === 0) server.sequencesOfOthers = 'present';
    for (const name of FOLLOWING) {
      const [wanted, is] = [parameters.get(name), server.parameters.get(name)];
      if (wanted !== undefined && wanted !== is) await say(server, `set ${name} to '${wanted}'`);
    }
    return server;
  };
  const checkIn: ServerSource['checkIn'] = (server, how) => {
    lent -= 1;
    if (how === 'close') server.close();
    else free.push(server);
    if (how === 'dirty') dirty.add(server);
  };
  return {
    parameters,
    known: knownStatements(),
    free,
    get lent() {
      return lent;
    },
    checkOut(waiter) {
      const wait = {};
      waiting = wait;
      take().then(
        (server) => (waiting === wait ? waiter.granted(server) : checkIn(server, 'dirty')),
        (error: unknown) => waiting === wait && waiter.refused(error),
      );
      return undefined;
    },
    cancel: () => (waiting = {}),
    checkIn,
  };
}
