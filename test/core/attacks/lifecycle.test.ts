/** Stopping at every moment of a start, and draining at every moment of a login. */
import { setTimeout as sleep } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { checkConfig } from '../../../core/config/check.ts';
import { Gateway } from '../../../core/gateway.ts';
import { createLogger } from '../../../core/gateway/log.ts';
import type { AnyPlugin } from '../../../core/plugin.ts';
import { databaseOf, GOOD_TOKEN, mapTo } from '../../support/gateway.ts';
import { RawClient, message, startup } from '../../support/raw-client.ts';
import { scripted } from '../upstream/support.ts';
import { attacked } from './attacked.ts';

const here = attacked();
const HELLO = startup({ user: '_', database: 'orders' });

function slowToStart(): { plugins: AnyPlugin[]; undone: string[]; goOn: () => void } {
  const undone: string[] = [];
  let goOn = (): void => {};
  const plugins: AnyPlugin[] = [
    { name: 'first', setup: () => () => void undone.push('first') },
    {
      name: 'slow',
      async setup() {
        await new Promise<void>((resolve) => (goOn = resolve));
        return () => void undone.push('slow');
      },
    },
    { name: 'last', setup: () => () => void undone.push('last') },
  ];
  return { plugins, undone, goOn: () => goOn() };
}

test.each(['stop', 'drain'] as const)('a gateway told to %s while it starts never listens', async (how) => {
  const { plugins, undone, goOn } = slowToStart();
  const config = { listen: { port: 0 }, databases: {}, plugins, admin: { port: 0 } };
  const gateway = new Gateway(checkConfig(config, tmpdir()), createLogger('silent'));
  const servers = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length;
  const before = servers();
  const starting = gateway.start();
  const refused = expect(starting).rejects.toThrow('stopped');
  await sleep(10);
  const ending = gateway[how]();
  goOn();
  await refused;
  await ending;
  expect([undone.toSorted(), servers()]).toEqual([['first', 'slow'], before]);
});

test('a drain at each step of a login tells the client 57P03 and leaves nothing', async () => {
  let hang: 'onStartup' | 'onAuth' | 'nowhere' = 'nowhere';
  const hanging: AnyPlugin = {
    name: 'hanging',
    onStartup: (session) => (hang === 'onStartup' ? aborted(session.signal) : undefined),
    onAuth: (session) => (hang === 'onAuth' ? aborted(session.signal) : undefined),
  };
  const mute = await scripted((socket) => void socket.resume());
  for (const step of ['onStartup', 'token', 'onAuth', 'connect'] as const) {
    hang = step === 'onStartup' || step === 'onAuth' ? step : 'nowhere';
    const muted = { host: '127.0.0.1', port: mute.port, tls: { mode: 'disable' } as const };
    const { gateway, port, lines } = await here.gateway({
      databases: { orders: databaseOf(here.postgres, muted) },
      plugins: [mapTo('reader'), hanging],
    });
    const client = await RawClient.connect(port);
    client.send(HELLO);
    if (step !== 'onStartup') await client.until('R');
    if (step !== 'onStartup' && step !== 'token') client.send(message('p', `${GOOD_TOKEN}\0`));
    if (step === 'connect') await expect.poll(() => mute.sockets.size).toBe(1);
    else await sleep(30);
    await gateway.drain();
    expect([step, (await client.error())['C']]).toEqual([step, '57P03']);
    expect(lines('login refused')).toMatchObject([{ sqlstate: '57P03' }]);
    await expect.poll(() => mute.sockets.size).toBe(0);
  }
  await mute.stop();
});

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
}

test('the login deadline holds while the server connection hangs in each of its steps', async () => {
  const steps: Record<string, Buffer> = {
    'no answer': Buffer.alloc(0),
    'half a message': Buffer.from('R'),
    'asks for a password, then silence': Buffer.from('R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0', 'latin1'),
  };
  for (const [step, bytes] of Object.entries(steps)) {
    const server = await scripted((socket) => socket.once('data', () => void socket.write(bytes)));
    const entry = { host: '127.0.0.1', port: server.port, tls: { mode: 'disable' } as const };
    const { gateway, port } = await here.gateway({
      databases: { orders: databaseOf(here.postgres, entry) },
      plugins: [mapTo('reader')],
      loginTimeout: '300ms',
    });
    const client = await here.connect(port);
    client.send(HELLO);
    await client.until('R');
    client.send(message('p', `${GOOD_TOKEN}\0`));
    expect([step, (await client.error())['C']]).toEqual([step, '57014']);
    // The server connection may still be of use to the next one; not to anybody after the stop.
    await gateway.stop();
    await expect.poll(() => server.sockets.size).toBe(0);
    await server.stop();
  }
});
