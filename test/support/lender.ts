/** A lender of server connections for tests: a few connections, given out in any order, sometimes reset in between. */
import type { Lender } from '../../core/relay/seat.ts';
import type { ServerConnection } from '../../core/upstream/connection.ts';
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
export interface TestLender extends Lender {
  readonly lent: number;
  readonly free: readonly ServerConnection[];
}

/** Lends `connections`, any of them; what comes back as `reusable` is reset, as is some of the rest. */
export function lender(connections: readonly ServerConnection[], dice: () => number): TestLender {
  const free = [...connections];
  const parameters = new Map(connections[0]?.parameters);
  const dirty = new WeakSet<ServerConnection>();
  let lent = 0;
  return {
    parameters,
    known: new Set<string>(),
    free,
    get lent() {
      return lent;
    },
    async acquire() {
      const [server] = free.splice(Math.floor(dice() * free.length), 1);
      if (!server) throw new Error('nothing to lend');
      lent += 1;
      if (dirty.has(server) || dice() < 0.2) {
        await say(server, 'discard all');
        server.prepared.clear();
      }
      dirty.delete(server);
      for (const name of FOLLOWING) {
        const [wanted, is] = [parameters.get(name), server.parameters.get(name)];
        if (wanted !== undefined && wanted !== is) await say(server, `set ${name} to '${wanted}'`);
      }
      return server;
    },
    release(server, afterwards) {
      lent -= 1;
      if (afterwards === 'close') server.close();
      else free.push(server);
      if (afterwards === 'reusable') dirty.add(server);
    },
  };
}
