/** Which connections a pool closes, which it opens, and until when it looks, by a clock of the test's own. */
import { expect, test } from 'vitest';
import { parseDatabase, parseRole } from '../../../core/contract/names.ts';
import type { Upstream } from '../../../core/contract/session.ts';
import type { Connector } from '../../../core/upstream/pool/connector.ts';
import type { Isolation } from '../../../core/upstream/pool/isolation.ts';
import { limitsOf } from '../../../core/upstream/pool/limits.ts';
import { Maintenance, PendingCloses } from '../../../core/upstream/pool/maintenance.ts';
import { keyOf } from '../../../core/upstream/pool-key.ts';
import { PooledServers } from '../../../core/upstream/pool/pooled-servers.ts';
import type { PooledServer } from '../../../core/upstream/pool/pooled-servers.ts';
import type { CheckoutRequest } from '../../../core/upstream/pool/checkout-request.ts';
import type { PoolOptions } from '../../../core/contract/pool.ts';

const upstreamOf = (role: string): Upstream => ({
  entry: 'main',
  database: parseDatabase('main'),
  role: parseRole(role),
  settings: {},
  schemas: [],
  onCheckout: [],
});

/** The parts around the maintenance, as far as it uses them. */
class Stage {
  now = 0;
  waits = false;
  exhausted: PooledServer | undefined;
  refused: string | undefined;
  busy = false;
  looked = 0;
  /** How often the timer looks, in milliseconds; undefined while there is none. */
  every: number | undefined;
  readonly servers = new PooledServers();
  readonly maintenance: Maintenance;

  constructor(options: PoolOptions) {
    this.maintenance = new Maintenance({
      limits: limitsOf(options),
      clock: {
        now: () => this.now,
        every: (ms) => {
          this.every = ms;
          return () => (this.every = undefined);
        },
      },
      servers: this.servers,
      isolation: { exhausted: (server: PooledServer) => server === this.exhausted } as unknown as Isolation,
      connector: this.#connector(),
      close: (server) => this.servers.remove(server),
      waiting: () => this.waits,
      looked: () => void (this.looked += 1),
    });
  }

  /** A session of a role has used the pool. */
  use(role: string): void {
    const checkout = {
      key: keyOf(upstreamOf(role), false),
      owner: {},
      request: { upstream: upstreamOf(role) },
    };
    this.maintenance.used(checkout as unknown as CheckoutRequest);
  }

  /** A connection that has been idle since now. */
  idle(role: string, expiresAt = Infinity): PooledServer {
    const server = this.servers.add(keyOf(upstreamOf(role), false), expiresAt);
    this.servers.become(server, 'idle');
    server.idleSince = this.now;
    return server;
  }

  at(now: number): number {
    this.now = now;
    this.maintenance.look();
    return this.servers.size;
  }

  #connector(): Connector {
    const parts = {
      refusal: (role: string) => (role === this.refused ? new Error('refused') : undefined),
      begin: ({ key }: CheckoutRequest) => this.idle(key.role) !== undefined,
    };
    return Object.defineProperty(parts, 'busy', { get: () => this.busy }) as unknown as Connector;
  }
}

test('a connection is closed when it has been idle for too long, has lived for too long, or may serve no session', () => {
  const stage = new Stage({ idleTimeout: '10s', maxLifetime: '1h' });
  stage.use('reader');
  stage.idle('reader');
  stage.idle('reader', 5_000);
  stage.exhausted = stage.idle('reader');
  expect(stage.at(4_999)).toBe(2);
  expect(stage.at(5_000)).toBe(1);
  expect(stage.at(9_999)).toBe(1);
  expect(stage.at(10_000)).toBe(0);
  expect(stage.every).toBeUndefined();
});

test('one that a session has is left to that session', () => {
  const stage = new Stage({ idleTimeout: '1s' });
  const server = stage.idle('reader', 10);
  stage.servers.become(server, 'lent');
  expect(stage.at(100_000)).toBe(1);
});

test('as many as configured are kept open for each kind that was used, and opened where some are missing', () => {
  const stage = new Stage({ idleTimeout: '1s', min: 2 });
  expect(stage.at(0)).toBe(0);
  stage.use('reader');
  expect(stage.at(0)).toBe(2);
  stage.idle('reader');
  stage.idle('writer');
  expect(stage.at(1_000)).toBe(2);
  expect(stage.every).toBe(250);
  stage.maintenance.keepsMinimum = false;
  expect(stage.at(2_000)).toBe(0);
  expect(stage.every).toBeUndefined();
});

test('none is opened beyond the limits, for a role that the server refuses, or while others are being opened', () => {
  const most = new Stage({ min: 3, size: 5, perRole: 2 });
  most.use('reader');
  expect(most.at(0)).toBe(2);
  const refused = new Stage({ min: 1 });
  refused.refused = 'reader';
  refused.use('reader');
  expect(refused.at(0)).toBe(0);
  const busy = new Stage({ min: 1 });
  busy.busy = true;
  busy.use('reader');
  expect(busy.at(0)).toBe(0);
  busy.busy = false;
  expect(busy.at(0)).toBe(1);
});

test('more kinds than fit into the pool are not all kept open: the latest used are', () => {
  const stage = new Stage({ min: 2, size: 4 });
  for (const role of ['one', 'two', 'three', 'two']) stage.use(role);
  stage.at(0);
  expect(stage.servers.all().map(({ key }) => key.role)).toEqual(['three', 'three', 'two', 'two']);
});

test('it looks while a request waits, also without any connection', () => {
  const stage = new Stage({});
  stage.use('reader');
  stage.waits = true;
  stage.at(0);
  expect(stage.every).toBe(1_000);
  stage.waits = false;
  stage.at(1);
  expect(stage.every).toBeUndefined();
  expect(stage.looked).toBe(2);
});

test('a wait for closed connections ends with the last of them, or with its signal', async () => {
  const [stage, idle] = [new Stage({}), { paused: false, retired: false }];
  const [old, other] = [stage.idle('reader'), stage.idle('reader')];
  old.outdated = true;
  const closes = new PendingCloses({ servers: stage.servers, idle });
  const leaving = new AbortController();
  const given = closes.ofReplaced(leaving.signal);
  leaving.abort(new Error('the operator has gone'));
  await expect(given).rejects.toThrow('the operator has gone');
  const replaced = closes.ofReplaced(new AbortController().signal);
  const all = closes.all();
  expect([closes.mustClose(old), closes.mustClose(other)]).toEqual([true, false]);
  stage.servers.remove(old);
  closes.look();
  await replaced;
  idle.paused = true;
  expect(closes.mustClose(other)).toBe(true);
  stage.servers.remove(other);
  closes.look();
  await all;
});
