/** The parent as the command line drives it; processes are the test's. */
import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import type { FromParent, FromWorker } from '../../../core/workers/messages.ts';
import { Parent } from '../../../core/workers/parent/parent.ts';

class Child extends EventEmitter {
  connected = true;
  readonly told: FromParent[] = [];

  send(message: FromParent, _handle: unknown, _options: object, taken: () => void): void {
    this.told.push(message);
    taken();
  }

  kill(): void {
    this.ends();
  }

  says(message: FromWorker): void {
    this.emit('message', message);
  }

  ends(): void {
    this.connected = false;
    this.emit('disconnect');
    this.emit('close', 0, null);
  }
}

function parentOf(): { readonly parent: Parent; readonly child: Child } {
  const child = new Child();
  const ignore = (): void => {};
  const place = { what: 'listen', host: '127.0.0.1', port: 0, unixSocket: undefined };
  const parent = new Parent({
    workers: 1,
    config: '/gateway.config.ts',
    listeners: [{ name: 'default', place }],
    admin: undefined,
    watch: false,
    fork: () => child as unknown as ChildProcess,
    log: { info: ignore, warn: ignore, error: ignore },
  });
  return { parent, child };
}

test('says where it listens once a worker does', async () => {
  const { parent, child } = parentOf();
  const started = parent.start();
  await expect.poll(() => child.told.map(({ t }) => t)).toEqual(['start']);
  child.says({ t: 'ready' });
  const [, , lent] = child.told;
  expect(lent).toMatchObject({ t: 'lend', listener: 'default', confirm: true });
  child.says({ t: 'listens', n: lent?.t === 'lend' ? lent.n : 0 });
  expect((await started)?.listeners).toMatchObject([{ name: 'default', host: '127.0.0.1' }]);
  const drained = parent.drain(1_000);
  child.ends();
  expect(await drained).toBe(true);
});

test.each(['listens before its end', 'does not listen'])(
  'says nothing where it is told to end when a worker is ready, which %s',
  async (what) => {
    const { parent, child } = parentOf();
    const started = parent.start();
    await expect.poll(() => child.told.length).toBe(1);
    child.says({ t: 'ready' });
    const drained = parent.drain(1_000);
    const lent = child.told.find((message) => message.t === 'lend');
    if (what.startsWith('listens')) child.says({ t: 'listens', n: lent?.n ?? 0 });
    child.ends();
    expect(await started).toBeUndefined();
    expect(await drained).toBe(true);
  },
);
