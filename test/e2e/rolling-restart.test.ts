/** Two gateways behind HAProxy are restarted one after the other while pgbench runs: no transaction breaks, and no login is refused. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Balancer, INTERVAL_MS } from '../support/balancer.ts';
import type { Balanced } from '../support/balancer.ts';
import { freePort } from '../support/free-port.ts';
import { GatewayProcess, prepareCheckout } from '../support/gateway-process.ts';
import { PgbenchLoop } from '../support/pgbench-loop.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { issuer } from '../support/token.ts';

const run = promisify(execFile);
const isLong = process.env['POSTERN_LONG'] === '1';
const ROUNDS = isLong ? 5 : 1;
/** Longer than the balancer needs to see that a gateway is going. */
const DELAY_MS = 10 * INTERVAL_MS;
const MODES = ['session', 'transaction'] as const;
/** Sessions that stay are told of their end between two transactions, and come again with the next run. So many a second as leave the machine some time for other tests. */
const LOADS = [
  ['-c', '3', '-T', '5', '-R', '60'],
  ['-c', '2', '-T', '2', '-C', '-R', '20'],
] as const;

const keys = issuer({ algorithms: ['ES256'] });
let postgres: OwnPostgres;
let places: readonly Balanced[] = [];
const gateways: GatewayProcess[] = [];

function configOf({ port, adminPort }: Balanced): string {
  const passwords = JSON.stringify(postgres.passwords);
  const entries = MODES.map((mode) => `${mode}: { ...server, pool: { mode: '${mode}', size: 6 } },`);
  return `import { defineConfig } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';
const login = { kind: 'password', passwords: ${passwords} } as const;
const server = { host: '127.0.0.1', port: ${postgres.port}, database: 'bench', login } as const;
export default defineConfig({
  listen: { port: ${port}, proxyProtocol: { trusted: ['127.0.0.0/8'] } },
  databases: { ${entries.join(' ')} },
  plugins: [
    jwt({ issuers: [{ issuer: '${keys.issuer}', audience: '${keys.audience}', jwks: 'jwks.json' }] }),
    roles({ claim: 'role', allow: ['writer'] }),
  ],
  admin: { port: ${adminPort} },
  workers: 2,
  drainDelay: '${DELAY_MS}ms',
});
`;
}

async function begin(index: number): Promise<void> {
  const place = places[index];
  if (!place) return;
  const files = { 'jwks.json': JSON.stringify(keys.jwks) };
  gateways[index] = await GatewayProcess.start({ config: configOf(place), files });
}

function environment(port: number): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PGHOST: '127.0.0.1',
    PGPORT: String(port),
    PGUSER: '_',
    PGPASSWORD: keys.sign({ role: 'writer' }),
    PGSSLMODE: 'disable',
  };
}

describeWith('haproxy', (haproxy) => {
  describeWith('pgbench', (pgbench) => {
    let balancer: Balancer;

    beforeAll(async () => {
      prepareCheckout();
      postgres = await startPostgres();
      await postgres.sql('create database bench owner writer');
      places = await Promise.all(
        [1, 2].map(async () => ({ port: await freePort(), adminPort: await freePort() })),
      );
      for (const index of places.keys()) await begin(index);
      balancer = await Balancer.start(haproxy, places);
    }, 240_000);
    afterAll(async () => {
      await balancer.remove();
      for (const gateway of gateways) await gateway.remove();
      await postgres.stop();
    });

    /** Runs pgbench in both modes, with one login for all transactions and with one for each, while `roll` runs. */
    async function whilePgbenchRuns(roll: () => Promise<void>): Promise<void> {
      const env = environment(balancer.port);
      const init = ['-i', '-q', '-s', '4', '--foreign-keys', 'session'];
      await run(pgbench, init, { env });
      const loops = MODES.flatMap((database) =>
        LOADS.map((args) => new PgbenchLoop({ program: pgbench, env, database, args: [...args, '-j', '2'] })),
      );
      try {
        await roll();
      } finally {
        for (const loop of loops) await loop.stop();
      }
      for (const { transactions, broken, refused, others } of loops) {
        expect({ broken, refused, others }).toEqual({ broken: [], refused: [], others: [] });
        expect(transactions).toBeGreaterThan(0);
      }
      // Whoever was told that a transaction is done finds it, and no other one is there.
      const confirmed = loops.reduce((sum, { transactions }) => sum + transactions, 0);
      const [books] = await postgres.sql('select count(*)::int as count from pgbench_history', 'bench');
      expect(books).toEqual({ count: confirmed });
      if (isLong)
        console.log(loops.map(({ transactions, endedBetween }) => ({ transactions, endedBetween })));
    }

    test('by SIGTERM, each gateway after the other one', async () => {
      await whilePgbenchRuns(async () => {
        for (let round = 0; round < ROUNDS; round += 1) {
          for (const [index, gateway] of gateways.entries()) {
            gateway.signal('SIGTERM');
            expect(await gateway.ended()).toBe(0);
            await gateway.remove();
            await begin(index);
            await balancer.finds(['UP', 'UP']);
          }
        }
      });
    }, 900_000);

    test('by SIGUSR2, each worker after the other one, and no gateway is missed', async () => {
      await whilePgbenchRuns(async () => {
        for (let round = 1; round <= ROUNDS; round += 1) {
          for (const gateway of gateways) gateway.signal('SIGUSR2');
          for (const gateway of gateways)
            await expect
              .poll(() => gateway.lines('the workers are replaced').length, { timeout: 400_000 })
              .toBe(round);
        }
      });
      for (const gateway of gateways) expect(gateway.lines('a worker has ended')).toEqual([]);
    }, 900_000);
  });
});
