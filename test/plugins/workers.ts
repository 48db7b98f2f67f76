/** Gateways of one process that are the workers of one: real clients and servers, and a channel between them that carries JSON. */
import { tmpdir } from 'node:os';
import { Writable } from 'node:stream';
import { onTestFinished } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { Gateway } from '../../core/gateway.ts';
import { createLogger } from '../../core/telemetry/log.ts';
import type { LogLine, RunningGateway, TestConfig } from '../support/gateway.ts';
import { linkWorkers } from '../support/worker-links.ts';
import type { LinkedWorkers } from '../support/worker-links.ts';

/** Workers by number from 1; each has a port of its own for clients, and `admin`. */
export interface Workers {
  readonly linked: LinkedWorkers;
  /** Starts the worker of this number, the successor of one that has died as well. `make` gives it a config of its own. */
  readonly start: (worker: number) => Promise<RunningGateway>;
  /** It dies: its messages are lost, and nothing of it answers any more. */
  readonly kill: (worker: number) => Promise<void>;
}

/** None of them has started. They stop with the test. */
export function workersOf(count: number, make: (worker: number) => TestConfig): Workers {
  const linked = linkWorkers(count, undefined, { ready: false });
  const links = new Map(linked.links.map((link) => [link.worker, link]));
  const running = new Map<number, RunningGateway>();
  /** Those that begin together are ready in the order of their begin: the first is the lead. */
  let begun: Promise<unknown> = Promise.resolve();
  onTestFinished(async () => {
    await Promise.all([...running.values()].map(({ gateway }) => gateway.stop()));
    linked.close();
  });
  const begin = async (worker: number, before: Promise<unknown>): Promise<RunningGateway> => {
    const lines: string[] = [];
    const sink = new Writable({
      write(chunk: Buffer, _, done) {
        lines.push(chunk.toString());
        done();
      },
    });
    const link = links.get(worker) ?? linked.successor(worker);
    const resolved = checkConfig({ listen: { port: 0 }, ...make(worker) }, tmpdir());
    const gateway = new Gateway(resolved, createLogger('debug', sink), link);
    const { listeners, admin } = await gateway.start();
    const log = (): LogLine[] => lines.map((line) => JSON.parse(line) as LogLine);
    const made = {
      gateway,
      port: listeners[0]?.port ?? 0,
      adminPort: admin?.port ?? 0,
      log,
      lines: (msg: string) => log().filter((line) => line['msg'] === msg),
      text: () => lines.join(''),
    };
    running.set(worker, made);
    await before;
    linked.hub.workers.ready(worker);
    return made;
  };
  return {
    linked,
    start(worker) {
      const made = begin(worker, begun);
      begun = made.catch(() => {});
      return made;
    },
    async kill(worker) {
      linked.kill(worker);
      links.delete(worker);
      await running.get(worker)?.gateway.stop();
      running.delete(worker);
    },
  };
}
