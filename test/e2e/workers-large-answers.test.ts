/** Answers of one worker to another, and lines of the log, that are larger than a channel or a pipe takes at once. */
import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { hasProc } from '../support/gateway-process.ts';
import { sharedPostgres } from '../support/postgres.ts';
import type { TokenGateway } from '../support/token-gateway.ts';
import { workerGateways } from '../support/worker-gateway.ts';

const postgres = sharedPostgres();
const { start } = workerGateways(postgres);

const SESSIONS = 300;
/** Of the subjects: the sessions of one worker are more than a mebibyte. */
const LENGTH = 8_000;

const startWith = (more = ''): Promise<TokenGateway> =>
  start({
    before: `import { console } from 'postern/plugins/console';`,
    database: `pool: { mode: 'transaction', size: 4 },`,
    plugins: 'console(),',
    more: `admin: { port: 0, operators: { claim: 'groups', value: 'dba' } }, ${more}`,
  });

/** So many clients whose token has a long subject. */
async function logIn(gateway: TokenGateway, count: number): Promise<readonly Client[]> {
  const clients: Client[] = [];
  const one = async (index: number): Promise<void> => {
    const sub = `${index} ${'x'.repeat(LENGTH)}`;
    clients.push(await gateway.login('reader', { password: gateway.issuer.sign({ role: 'reader', sub }) }));
  };
  for (let index = 0; index < count; index += 20)
    await Promise.all(Array.from({ length: 20 }, (_, more) => one(index + more)));
  return clients;
}

describe.runIf(hasProc)('two workers', () => {
  test(
    'an answer of more than a mebibyte arrives: the console shows all sessions of both',
    { timeout: 120_000 },
    async () => {
      const gateway = await startWith();
      await logIn(gateway, SESSIONS);
      const operator = gateway.issuer.sign({ sub: 'olga', groups: 'dba' });
      const desk = await gateway.login('reader', { database: 'pgbouncer', password: operator });
      for (let times = 0; times < 3; times += 1) {
        const { rows } = await desk.query<{ database: string }>('SHOW CLIENTS');
        expect(rows.filter(({ database }) => database === 'orders')).toHaveLength(SESSIONS);
      }
      expect(gateway.gateway.lines('a worker has ended')).toEqual([]);
      await desk.end();
    },
  );

  test(
    'long lines of both in one pipe are whole, although its reader has stalled',
    { timeout: 120_000 },
    async () => {
      const gateway = await startWith();
      gateway.gateway.loseReader('stalls');
      const clients = await logIn(gateway, SESSIONS);
      for (const client of clients) await client.end();
      gateway.gateway.readOn();
      const lines = (): number => gateway.gateway.lines('login').length;
      await expect.poll(lines).toBe(SESSIONS);
      const subjects = gateway.gateway.lines('login').map(({ subject }) => String(subject).length);
      expect(Math.min(...subjects)).toBeGreaterThan(LENGTH);
      gateway.gateway.signal('SIGTERM');
      expect(await gateway.gateway.ended()).toBe(0);
      expect(gateway.gateway.lines('stopped')).toHaveLength(2);
    },
  );

  test('what they say after the death of their parent is in the log', { timeout: 60_000 }, async () => {
    const gateway = await startWith(`drainTimeout: '20s',`);
    const clients = await logIn(gateway, 20);
    const busy = clients.slice(0, 4);
    for (const client of busy) await client.query('begin');
    gateway.gateway.signal('SIGKILL');
    const gone = (): number => gateway.gateway.lines('the parent process is gone').length;
    await expect.poll(gone).toBe(2);
    await Promise.all(busy.map((client) => client.query('commit')));
    await gateway.gateway.ended();
    expect(gateway.gateway.lines('stopped')).toHaveLength(2);
  });
});
