/** Which servers can be the store of a fleet, by what they say of themselves: scripted ones say it here. */
import { once } from 'node:events';
import net from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { ConfigError } from '../../../core/contract/errors.ts';
import { RedisStore } from '../../../core/fleet/redis/redis-store.ts';
import { machineTimers } from '../../../core/workers/timers.ts';
import { TestInstance } from '../../support/fleet-instance.ts';
import { alive, PLAIN } from './redis-store.ts';

/** A command of RESP: a count, and each of its words behind its length. */
const COMMAND = /\*\d+\r\n\$\d+\r\n(\w+)\r\n(?:\$\d+\r\n[^\r]*\r\n)*/g;

/** Answers INFO with this version, and all else with OK. */
async function serverOf(version: string): Promise<string> {
  const info = `# Server\r\nredis_version:${version}\r\nrun_id:${'a'.repeat(40)}\r\nloading:0\r\n`;
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      for (const [, word = ''] of String(chunk).matchAll(COMMAND))
        socket.write(word.toLowerCase() === 'info' ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return `redis://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

async function storeOf(version: string): Promise<RedisStore> {
  const store = new RedisStore({ ...PLAIN, url: await serverOf(version), timeoutMs: 1_000 });
  onTestFinished(() => store.close());
  return store;
}

const TOO_OLD = new ConfigError(
  'fleet.store: Redis 4.0.14 is too old: it has to be 5.0 or newer, which has streams (XADD)',
);

test('one that is too old ends the start, with its version and the one that it has to be', async () => {
  const store = await storeOf('4.0.14');
  const instance = new TestInstance('a', { store, timers: machineTimers, clock: Date.now });
  await expect(instance.start()).rejects.toThrow(TOO_OLD);
});

test('one that comes to be there later and is too old is away, for that reason', async () => {
  const store = await storeOf('4.0.14');
  await store.connect().catch(() => undefined);
  await expect(alive(store)).rejects.toThrow(TOO_OLD.message);
  await expect(store.read('a', { boards: {}, post: '0' }, 0)).rejects.toThrow();
});

test.each(['5.0.0', '7.2.4', '10.0.1', ''])("one that says it is version '%s' is taken", async (version) => {
  await expect((await storeOf(version)).connect()).resolves.toBeUndefined();
});
