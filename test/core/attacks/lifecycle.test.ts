/** Stopping at every moment of a start, and draining at every moment of a login. */
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { checkConfig } from '../../../core/config/check.ts';
import { Gateway } from '../../../core/gateway.ts';
import { createLogger } from '../../../core/telemetry/log.ts';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import { databaseOf, GOOD_TOKEN, mapTo } from '../../support/gateway.ts';
import { RawClient, message, startup } from '../../support/raw-client.ts';
import { scripted } from '../upstream/support.ts';
import { attacked } from './attacked.ts';

const here = attacked();
const HELLO = startup({ user: '_', database: 'orders' });

function slowToStart(): { plugins: AnyPlugin[]; undone: string[]; goOn: () => void; begun: Promise<void> } {
  const undone: string[] = [];
  let goOn = (): void => {};
  let begin = (): void => {};
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const plugins: AnyPlugin[] = [
    { name: 'first', setup: () => () => void undone.push('first') },
    {
      name: 'slow',
      async setup() {
        await new Promise<void>((resolve) => {
          goOn = resolve;
          begin();
        });
        return () => void undone.push('slow');
      },
    },
    { name: 'last', setup: () => () => void undone.push('last') },
  ];
  return { plugins, undone, goOn: () => goOn(), begun };
}

test.each(['stop', 'drain'] as const)('a gateway told to %s while it starts never listens', async (how) => {
  const { plugins, undone, goOn, begun } = slowToStart();
  const config = { listen: { port: 0 }, databases: {}, plugins, admin: { port: 0 } };
  const gateway = new Gateway(checkConfig(config, tmpdir()), createLogger('silent'));
  const servers = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length;
  const before = servers();
  const starting = gateway.start();
  const refused = expect(starting).rejects.toThrow('stopped');
  await begun;
  const ending = gateway[how]();
  goOn();
  await refused;
  await ending;
  expect([undone.toSorted(), servers()]).toEqual([['first', 'slow'], before]);
});

test('a drain at each step of a login tells the client 57P03 and leaves nothing', async () => {
  let hang: 'onStartup' | 'onAuth' | 'nowhere' = 'nowhere';
  const reached: string[] = [];
  const reach = (hook: 'onStartup' | 'onAuth', signal: AbortSignal): Promise<void> | undefined => {
    if (hang !== hook) return undefined;
    reached.push(hook);
    return aborted(signal);
  };
  const hanging: AnyPlugin = {
    name: 'hanging',
    onStartup: (session) => reach('onStartup', session.signal),
    onAuth: (session) => reach('onAuth', session.signal),
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
    // Who has read the request for a token is in that step.
    else if (step !== 'token') await expect.poll(() => reached).toContain(step);
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
      loginTimeout: '2s',
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
