/** A worker's end of sockets that are lent, with a real one. */
import { once } from 'node:events';
import net from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { BoundSocket } from '../../../core/net/bound-socket.ts';
import { LentListeners } from '../../../core/workers/worker/lent-listeners.ts';
import type { FromWorker } from '../../../core/workers/messages.ts';

interface Stage {
  readonly lent: LentListeners;
  readonly sent: FromWorker[];
  readonly taken: object[];
  readonly lost: string[];
  /** Lends the socket of `default` for one connection. */
  lend(n: number, more?: { readonly held?: readonly string[]; readonly confirm?: true }): void;
  /** A client that has connected. */
  client(): Promise<net.Socket>;
  lets: boolean;
}

async function stage(): Promise<Stage> {
  const place = { what: 'listen', host: '127.0.0.1', port: 0, unixSocket: undefined };
  const socket = new BoundSocket(place);
  const { host, port } = await socket.bind();
  const one: Stage = {
    sent: [],
    taken: [],
    lost: [],
    lets: true,
    lent: new LentListeners({
      send: (message) => void one.sent.push(message),
      lets: () => one.lets,
      take: (connection) => void one.taken.push(connection),
      lost: (connections, listener) => void one.lost.push(`${connections} of ${listener}`),
    }),
    lend(n, more = {}) {
      if (socket.handle)
        one.lent.lend({ t: 'lend', n, listener: 'default', accepts: 1, ...more }, socket.handle);
    },
    async client() {
      const client = net.connect(port, host);
      client.on('error', () => {});
      onTestFinished(() => void client.destroy());
      await once(client, 'connect');
      return client;
    },
  };
  onTestFinished(() => {
    one.lent.leave();
    for (const taken of one.taken) (taken as { close(): void }).close();
    socket.close();
  });
  return one;
}

test('a connection is told of with its address, and the socket goes back', async () => {
  const one = await stage();
  one.lend(1, { confirm: true });
  expect(one.sent).toEqual([{ t: 'listens', n: 1 }]);
  expect(one.lent.has(1)).toBe(true);
  await one.client();
  await expect.poll(() => one.taken.length).toBe(1);
  expect(one.sent[1]).toEqual({ t: 'accepted', n: 1, count: 1, address: '127.0.0.1' });
  expect(one.lent.has(1)).toBe(false);
});

test('connections of an address that waits are closed with the listener, and that is told', async () => {
  const one = await stage();
  one.lend(1, { held: ['127.0.0.1'] });
  const client = await one.client();
  await expect.poll(() => one.lent.held).toBe(1);
  expect(one.taken).toEqual([]);
  one.lent.close('other');
  expect(one.lost).toEqual([]);
  const closed = once(client.resume(), 'close');
  one.lent.close('default');
  await closed;
  expect(one.lost).toEqual(['1 of default']);
  expect(one.lent.held).toBe(0);
});

test('a socket of a listener that lets none in goes back, as one that is open when it closes', async () => {
  const one = await stage();
  one.lend(1);
  one.lent.close('default');
  one.lets = false;
  one.lend(2);
  expect(one.sent).toEqual([
    { t: 'accepted', n: 1, count: 0, closed: true },
    { t: 'accepted', n: 2, count: 0, closed: true },
  ]);
});
