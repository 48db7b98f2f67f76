/** Operators of a gateway with several workers: whichever is asked, all are shown, and an order holds in all. */
import type { Client } from 'pg';
import { afterEach, expect, test } from 'vitest';
import { checkConfig } from '../../../core/config/check.ts';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import { operatedConfig, startOperated } from '../../support/operated.ts';
import type { Operated, OperatedOptions } from '../../support/operated.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { linkWorkers } from '../../support/worker-links.ts';
import type { LinkedWorkers } from '../../support/worker-links.ts';
import { tracing } from '../../../plugins/tracing/index.ts';
import { parsePrometheus } from '../../support/prometheus.ts';
import { ofOrders, settled, show, until } from './operator-tools.ts';

const stops: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

interface Workers {
  readonly linked: LinkedWorkers;
  readonly first: Operated;
  readonly second: Operated;
  /** Starts one that takes the number of the dead second one. */
  readonly successor: () => Promise<Operated>;
}

async function twoWorkers(options: OperatedOptions = {}): Promise<Workers> {
  const linked = linkWorkers(2);
  stops.push(() => linked.close());
  const start = async (link: LinkedWorkers['links'][number] | undefined): Promise<Operated> => {
    const running = await startOperated(sharedPostgres(), options, link);
    stops.push(() => running.gateway.stop());
    return running;
  };
  const [first, second] = [await start(linked.links[0]), await start(linked.links[1])];
  const successor = (): Promise<Operated> => {
    const link = linked.successor(2);
    linked.hub.workers.ready(2);
    return start(link);
  };
  return { linked, first, second, successor };
}

/** A client that has a server connection, and one that has only logged in. */
async function busy(running: Operated): Promise<Client> {
  const client = await running.client();
  await client.query('begin');
  return client;
}

/** That it waits: a promise in an object, since an async function would wait for it. */
async function waiting<T>(over: Promise<T>): Promise<{ readonly over: Promise<T> }> {
  over.catch(() => {});
  expect(await settled(over)).toBe(false);
  return { over };
}

/** Text of the notices that a client gets. */
function noticesOf(client: Client): string[] {
  const notices: string[] = [];
  client.on('notice', ({ message }) => void (message !== undefined && notices.push(message)));
  return notices;
}

test('the console shows the connections of all workers, from each the same', async () => {
  const { first, second } = await twoWorkers();
  const clients = [await busy(first), await busy(first), await busy(second)];
  const desks = [await first.console(), await second.console()];
  for (const desk of desks) {
    const rows = await show(desk, 'CLIENTS');
    const orders = rows.filter((row) => row['database'] === 'orders');
    expect(orders).toHaveLength(3);
    expect(rows).toHaveLength(5);
    const servers = await show(desk, 'SERVERS');
    const workerOf = (row: Readonly<Record<string, unknown>>): string | undefined =>
      /^server-w(\d)-\d+$/.exec(String(row['ptr']))?.[1];
    expect(servers.map(workerOf)).toEqual(['1', '1', '2']);
    expect(new Set(servers.map((row) => row['link']))).toEqual(new Set(orders.map((row) => row['ptr'])));
    expect(new Set(orders.map((row) => row['link']))).toEqual(new Set(servers.map((row) => row['ptr'])));
    expect(ofOrders(await show(desk, 'POOLS'))).toMatchObject({ cl_active: 3, sv_active: 3, cl_waiting: 0 });
    expect(ofOrders(await show(desk, 'DATABASES'))).toMatchObject({
      current_connections: 3,
      current_client_connections: 3,
      pool_size: 20,
    });
    const lists = Object.fromEntries((await show(desk, 'LISTS')).map((row) => [row['list'], row['items']]));
    expect(lists).toMatchObject({ used_clients: 5, used_servers: 3, databases: 1, pools: 2 });
    const sockets = await show(desk, 'SOCKETS');
    expect(sockets).toHaveLength(8);
    const files = await show(desk, 'FDS');
    expect(files.filter((row) => row['task'] === 'client')).toHaveLength(5);
    expect((await show(desk, 'USERS'))[0]).toMatchObject({ name: 'reader', current_connections: 3 });
    const memory = await show(desk, 'MEM');
    expect(memory.filter((row) => row['name'] === 'resident')).toHaveLength(1);
  }
  for (const client of clients) await client.query('commit');
  const totals = await Promise.all(desks.map((desk) => show(desk, 'STATS_TOTALS')));
  for (const rows of totals) expect(ofOrders(rows)).toMatchObject({ query_count: '6', xact_count: '3' });
  const http = (await first.ask('GET', '/v1/sessions')).body as { sessions: { worker: number }[] };
  expect(http.sessions.map(({ worker }) => String(worker)).toSorted()).toEqual(['1', '1', '1', '2', '2']);
  expect(http).not.toHaveProperty('silent');
});

test('a PAUSE given to one worker stops clients of the other, and resolves when neither has a connection', async () => {
  const { first, second } = await twoWorkers({ orders: { pool: { mode: 'transaction' } } });
  const desk = await first.console();
  const [here, there] = [await first.client(), await busy(second)];
  const paused = desk.query('PAUSE orders');
  await until(async () => ofOrders(await show(await second.console(), 'DATABASES'))['paused'] === 1);
  expect(await settled(paused)).toBe(false);
  await there.query('commit');
  await paused;
  expect(ofOrders(await show(await second.console(), 'DATABASES'))['current_connections']).toBe(0);
  const queries = [await waiting(here.query('select 1')), await waiting(there.query('select 1'))];
  // Whichever worker is told.
  await (await second.console()).query('RESUME orders');
  for (const { over } of queries) await over;
});

test('a RESUME on another worker calls off a PAUSE that is waiting', async () => {
  const { first, second } = await twoWorkers();
  const there = await busy(second);
  const paused = (await first.console()).query('PAUSE');
  await waiting(paused);
  await (await second.console()).query('RESUME');
  await expect(paused).rejects.toMatchObject({ code: '57014' });
  await there.query('commit');
});

test('an order is logged once and told once, by the worker that was asked', async () => {
  const told: string[] = [];
  const auditor: AnyPlugin = { name: 'auditor', on: { operator: ({ verb }) => void told.push(verb) } };
  const { plugins } = operatedConfig(sharedPostgres());
  const { first, second } = await twoWorkers({ plugins: [...plugins, auditor] });
  const desk = await second.console();
  for (const order of [
    'DISABLE orders',
    'ENABLE orders',
    'RECONNECT orders',
    'PAUSE orders',
    'RESUME orders',
  ])
    await desk.query(order);
  expect(told).toEqual(['DISABLE', 'ENABLE', 'RECONNECT', 'PAUSE', 'RESUME']);
  expect(second.lines('operator')).toHaveLength(5);
  expect(first.lines('operator')).toEqual([]);
});

test('a session of another worker is ended by its id, over the console and over HTTP', async () => {
  const { first, second } = await twoWorkers();
  const [one, other] = [await second.client({ application_name: 'one' }), await second.client()];
  const ended = [one, other].map(
    (client) => new Promise<unknown>((resolve) => client.once('error', resolve)),
  );
  const desk = await first.console();
  const rows = await show(desk, 'CLIENTS');
  const idOf = (name: string): string =>
    String(rows.find((row) => row['database'] === 'orders' && row['application_name'] === name)?.['id']);
  await desk.query(`KILL_CLIENT "${idOf('one')}"`);
  expect(await ended[0]).toMatchObject({ code: '57P01' });
  expect((await first.ask('DELETE', `/v1/sessions/${idOf('')}`)).status).toBe(204);
  expect(await ended[1]).toMatchObject({ code: '57P01' });
  expect(first.lines('operator').map(({ verb }) => verb)).toEqual(['KILL_CLIENT', 'KILL_CLIENT']);
  await expect(desk.query('KILL_CLIENT nobody')).rejects.toMatchObject({ code: '22023' });
});

test('KILL ends the sessions of all workers, DISABLE keeps new ones from all', async () => {
  const { first, second } = await twoWorkers();
  const clients = [await busy(first), await busy(second)];
  const ended = clients.map((client) => new Promise<unknown>((resolve) => client.once('error', resolve)));
  const desk = await first.console();
  await desk.query('KILL orders');
  for (const end of ended) expect(await end).toMatchObject({ code: '57P01' });
  await desk.query('RESUME orders');
  await desk.query('DISABLE orders');
  for (const running of [first, second])
    await expect(running.client()).rejects.toMatchObject({ code: '55000' });
  await (await second.console()).query('ENABLE orders');
  await (await first.client()).end();
});

test('RECONNECT replaces the connections of all workers, and WAIT_CLOSE waits for all', async () => {
  const { first, second } = await twoWorkers();
  const there = await second.client();
  const { rows } = await there.query<{ pid: number }>('select pg_backend_pid() as pid');
  const desk = await first.console();
  await desk.query('RECONNECT orders');
  const closed = await waiting(desk.query('WAIT_CLOSE orders'));
  await there.end();
  await closed.over;
  const again = await second.client();
  const after = await again.query<{ pid: number }>('select pg_backend_pid() as pid');
  expect(after.rows[0]?.pid).not.toBe(rows[0]?.pid);
});

test('a SUSPEND stops all workers until a RESUME, or until its operator leaves; a second one is refused', async () => {
  const { first, second } = await twoWorkers();
  const client = await second.client();
  const [desk, other] = [await first.console(), await second.console()];
  await desk.query('SUSPEND');
  await expect(other.query('SUSPEND')).rejects.toMatchObject({ code: '55000' });
  const query = await waiting(client.query('select 1'));
  await other.query('RESUME');
  await query.over;
  await desk.query('SUSPEND');
  const next = await waiting(client.query('select 1'));
  await desk.end();
  await next.over;
});

test('the successor of a dead worker comes up with what is paused paused, and what is disabled disabled', async () => {
  const { first, second, linked, successor } = await twoWorkers({
    orders: { pool: { mode: 'transaction' } },
  });
  const desk = await first.console();
  await desk.query('PAUSE orders');
  await desk.query('DISABLE orders');
  linked.kill(2);
  await second.gateway.stop(0);
  const third = await successor();
  await expect(third.client()).rejects.toMatchObject({ code: '55000' });
  await desk.query('ENABLE orders');
  const login = await waiting(third.client());
  await desk.query('RESUME orders');
  await login.over;
});

test('a suspension that the dead worker held for its operator ends with its successor', async () => {
  const { first, second, linked, successor } = await twoWorkers();
  const client = await first.client();
  await (await second.console()).query('SUSPEND');
  const query = await waiting(client.query('select 1'));
  linked.kill(2);
  await second.gateway.stop(0);
  await successor();
  await query.over;
});

test('a worker that hangs is a note, and what the others have is shown', async () => {
  const { first, second, linked } = await twoWorkers();
  await busy(first);
  await busy(second);
  const desk = await first.console();
  const notices = noticesOf(desk);
  const wake = linked.hang(2);
  expect(await show(desk, 'CLIENTS')).toHaveLength(2);
  expect(notices).toEqual(['worker 2 has not answered: what is theirs is missing here']);
  expect((await first.ask('GET', '/v1/pools')).body).toMatchObject({ silent: [2] });
  expect((await first.ask('GET', '/v1/databases/orders')).body).toMatchObject({ silent: [2], sessions: 1 });
  wake();
  await until(async () => (await show(desk, 'CLIENTS')).length === 3);
});

test('a worker that dies in the middle of a question keeps no operator waiting, and a PAUSE neither', async () => {
  const { first, second, linked } = await twoWorkers();
  await busy(second);
  const desk = await first.console();
  const paused = await waiting(desk.query('PAUSE orders'));
  linked.hang(2);
  const shown = show(await first.console(), 'CLIENTS');
  await settled(shown);
  linked.kill(2);
  expect(await shown).toHaveLength(2);
  await paused.over;
  await second.gateway.stop(0);
});

test('an entry that a reload removes is paused no more, on any worker', async () => {
  const { first, second, linked } = await twoWorkers();
  const desk = await first.console();
  await desk.query('PAUSE orders');
  const board = await linked.links[1]?.board(':operators');
  expect(board?.all().size).toBe(1);
  const without = { ...operatedConfig(sharedPostgres()), databases: {} };
  await first.gateway.reload(checkConfig({ listen: { port: 0 }, ...without }, '/'));
  await until(async () => board?.all().size === 0);
  expect(ofOrders(await show(await second.console(), 'DATABASES'))['paused']).toBe(0);
});

/** With metrics. */
async function startMeasured(link: LinkedWorkers['links'][number] | undefined): Promise<Operated> {
  const config = operatedConfig(sharedPostgres());
  const plugins = [tracing({ metrics: { public: true } }), ...config.plugins];
  const running = await startOperated(sharedPostgres(), { ...config, plugins }, link);
  stops.push(() => running.gateway.stop());
  return running;
}

/** The values of one metric, by their labels. */
async function scrape({ adminPort }: Operated, name: string): Promise<readonly [string, number][]> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  return parsePrometheus(text)
    .filter((sample) => sample.name === name)
    .map(({ labels, value }) => [Object.values(labels).join(' '), value]);
}

test('a scrape of any worker has the sum of all, and says how many have answered', async () => {
  const linked = linkWorkers(2);
  stops.push(() => linked.close());
  const [first, second] = [await startMeasured(linked.links[0]), await startMeasured(linked.links[1])];
  await busy(first);
  await busy(second);
  for (const worker of [first, second]) {
    expect(await scrape(worker, 'postern_workers')).toEqual([
      ['ready', 2],
      ['silent', 0],
    ]);
    expect(await scrape(worker, 'postern_queries_total')).toEqual([['orders', 2]]);
    expect(await scrape(worker, 'postern_server_connections')).toContainEqual(['orders lent', 2]);
    expect(await scrape(worker, 'postern_server_connections_limit')).toEqual([['orders', 20]]);
    expect(await scrape(worker, 'postern_up')).toEqual([['', 1]]);
    expect(await scrape(worker, 'postern_auth_duration_seconds_count')).toEqual([['accepted', 2]]);
  }
  linked.hang(2);
  expect(await scrape(first, 'postern_workers')).toEqual([
    ['ready', 1],
    ['silent', 1],
  ]);
  // What it has counted is as it was last; what it has now is not known.
  expect(await scrape(first, 'postern_queries_total')).toEqual([['orders', 2]]);
  expect(await scrape(first, 'postern_server_connections')).toContainEqual(['orders lent', 1]);
});

test('counters never fall when workers die, one after the other, whoever is asked', async () => {
  const linked = linkWorkers(2);
  stops.push(() => linked.close());
  const [first, second] = [await startMeasured(linked.links[0]), await startMeasured(linked.links[1])];
  const queries = async (asked: Operated): Promise<number | undefined> =>
    (await scrape(asked, 'postern_queries_total'))[0]?.[1];
  await busy(first);
  await busy(second);
  await busy(second);
  expect(await queries(first)).toBe(3);
  for (let deaths = 1; deaths <= 3; deaths += 1) {
    linked.kill(2);
    expect(await queries(first)).toBe(2 + deaths);
    const successor = await startMeasured(linked.successor(2));
    expect(await queries(successor)).toBe(2 + deaths);
    await busy(successor);
    expect(await queries(first)).toBe(3 + deaths);
    expect(await queries(successor)).toBe(3 + deaths);
    expect(await scrape(first, 'postern_auth_duration_seconds_count')).toEqual([['accepted', 3 + deaths]]);
  }
  linked.kill(1);
  linked.hub.workers.ready(2);
  const heir = await startMeasured(linked.successor(1));
  expect(await queries(heir)).toBe(6);
  await busy(heir);
  expect(await queries(heir)).toBe(7);
});

test('SHOW STATS and SHOW TOTALS never fall when workers die, one after the other, whoever is asked', async () => {
  const { linked, first, second, successor } = await twoWorkers();
  const used = async (asked: Operated): Promise<readonly number[]> => {
    const desk = await asked.console();
    const stats = ofOrders(await show(desk, 'STATS'));
    const totals = ofOrders(await show(desk, 'STATS_TOTALS'));
    const sum = (await show(desk, 'TOTALS')).find(({ name }) => name === 'total_query_count');
    expect(Number(sum?.['value'])).toBeGreaterThanOrEqual(Number(totals['query_count']));
    return [Number(stats['total_query_count']), Number(totals['query_count'])];
  };
  await busy(first);
  await busy(second);
  await busy(second);
  expect(await used(first)).toEqual([3, 3]);
  for (let deaths = 1; deaths <= 3; deaths += 1) {
    linked.kill(2);
    const left = 2 + deaths;
    expect(await used(first)).toEqual([left, left]);
    const heir = await successor();
    expect(await used(heir)).toEqual([left, left]);
    await busy(heir);
    expect(await used(first)).toEqual([left + 1, left + 1]);
    expect(await used(heir)).toEqual([left + 1, left + 1]);
  }
});
