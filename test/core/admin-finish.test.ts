/** The connections of `admin` in a worker whose place another process takes: who has come is answered, and nobody asks again. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import net from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { AdminConnections } from '../../core/admin/admin-connections.ts';

const QUESTION = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

test('one that has just come may ask, one that has been answered is closed, and the rest is answered first', async () => {
  const connections = new AdminConnections();
  const answers: (() => void)[] = [];
  const server = createServer((_, response) => void answers.push(() => response.end('ok')));
  connections.watch(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as net.AddressInfo;
  const come = async (): Promise<{ socket: net.Socket; heard: () => string; closed: Promise<unknown> }> => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += String(chunk)));
    const closed = once(socket, 'close');
    await Promise.all([once(socket, 'connect'), once(server, 'connection')]);
    return { socket, heard: () => text, closed };
  };
  const answered = await come();
  answered.socket.write(QUESTION);
  await expect.poll(() => answers).toHaveLength(1);
  answers[0]?.();
  await expect.poll(() => answered.heard()).toContain('ok');
  const waiting = await come();
  waiting.socket.write(QUESTION);
  await expect.poll(() => answers).toHaveLength(2);
  const fresh = await come();
  let isOver = false;
  const finished = connections.finish().then(() => (isOver = true));
  await answered.closed;
  fresh.socket.write(QUESTION);
  await expect.poll(() => answers).toHaveLength(3);
  expect(isOver).toBe(false);
  for (const answer of answers.slice(1)) answer();
  await Promise.all([finished, waiting.closed, fresh.closed]);
  expect([waiting.heard(), fresh.heard()]).toEqual([
    expect.stringContaining('200 OK'),
    expect.stringContaining('200 OK'),
  ]);
});
