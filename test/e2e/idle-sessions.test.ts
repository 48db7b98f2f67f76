/** What a session that has asked once, and does nothing, keeps in memory: counted by class, as bytes depend on the Node. */
import { queryObjects } from 'node:v8';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { GatewayCommands } from '../../core/relay/statements/gateway-commands.ts';
import { Relay } from '../../core/relay/relay.ts';
import { StatementTexts } from '../../core/relay/statements/statement-texts.ts';
import { Companion } from '../bench/companion.ts';
import type { Peer } from '../bench/peer.ts';
import { home, startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';
import { sharedPostgres } from '../support/postgres.ts';

/** Sessions that are counted; what is made once for all of them is there before. */
const SESSIONS = 50;
const WARM_UP = 10;

const timer = setTimeout(() => {}, 0);
/** Objects of the gateway itself, and some that are easily made too often. Few: each costs a walk through the whole heap. */
const CLASSES = { Relay, GatewayCommands, StatementTexts, Set, Function, Timeout: timer.constructor };
clearTimeout(timer);

const shared = sharedPostgres();
let running: Operated;
let crowd: Companion;

beforeEach(() => {
  crowd = Companion.module('idle-clients.ts');
});
afterEach(async () => {
  await crowd.stop();
  await running.gateway.stop();
});

/** So many clients, in a process of their own, have logged in and asked once. */
async function gather(count: number): Promise<void> {
  const peer: Peer = {
    name: 'postern',
    host: '127.0.0.1',
    port: running.port,
    user: '_',
    password: home.sign({ sub: 'ada', role: 'reader' }),
    database: 'orders',
    tls: false,
  };
  const gathered = crowd.message();
  crowd.child.send({ peer, count });
  expect(await gathered).toBe('gathered');
}

function counts(): Map<string, number> {
  return new Map(Object.entries(CLASSES).map(([name, one]) => [name, Number(queryObjects(one))]));
}

test('an idle session has no timer, no list, and none of the parts that most sessions never need', async () => {
  running = await startOperated(shared, { orders: { pool: { mode: 'transaction', size: 5 } } });
  await gather(WARM_UP);
  const before = counts();
  await gather(SESSIONS);
  // Rounded: other things go on in this process, and some of them end meanwhile.
  const each = [...counts()].map(([name, count]) => [
    name,
    Math.max(0, Math.round((count - (before.get(name) ?? 0)) / SESSIONS)),
  ]);
  const { Function: functions, ...others } = Object.fromEntries(each) as Record<string, number>;
  expect(others).toEqual({ Relay: 1, GatewayCommands: 0, StatementTexts: 0, Set: 0, Timeout: 0 });
  expect(functions).toBeLessThanOrEqual(6);
}, 300_000);
