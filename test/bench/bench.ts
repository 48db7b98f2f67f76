/**
 * `npm run bench [-- --json] [-- --seconds 10] [-- --only prepared] [-- --with onQuery,policies,metrics,audit]`: the gateway beside PostgreSQL direct and, where
 * they are installed, PgBouncer and HAProxy, all in one run. Ratios hold; absolute figures are this machine's.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEmbedded } from '../../core/cli/embedded/server.ts';
import { executable } from '../support/executable.ts';
import { measure, run } from './measure.ts';
import type { Figure, Load, Peer } from './measure.ts';
import { haproxy, pgbouncer, postern } from './peers.ts';
import type { Running } from './peers.ts';
import { INSTALL } from '../../plugins/claims/install.ts';
import { CLAIMS_KEY, VARIANTS } from './variants.ts';
import type { Variant } from './variants.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean' },
    seconds: { type: 'string', default: '9' },
    only: { type: 'string' },
    with: { type: 'string', default: 'onQuery' },
  },
});
const seconds = Number(values.seconds);
/** Odd, so that there is a median. */
const ROUNDS = 3;

const LOADS: readonly Load[] = [
  ...[1, 8, 32].map((clients) => ({
    name: `select, prepared, ${clients} client${clients > 1 ? 's' : ''}`,
    args: ['-S', '-M', 'prepared', '-c', String(clients), '-j', clients > 1 ? '2' : '1'],
    seconds,
  })),
  { name: 'select, simple, 8 clients', args: ['-S', '-M', 'simple', '-c', '8', '-j', '2'], seconds },
  { name: 'select, extended, 8 clients', args: ['-S', '-M', 'extended', '-c', '8', '-j', '2'], seconds },
  { name: 'open, login, select, close, 4 clients', args: ['-S', '-C', '-c', '4', '-j', '2'], seconds },
].filter(({ name }) => values.only === undefined || name.includes(values.only));

function variant(name: string): Variant {
  const found = VARIANTS[name];
  if (!found) throw new Error(`--with ${name}: there are ${Object.keys(VARIANTS).join(', ')}`);
  return found;
}

async function main(): Promise<void> {
  const pgbench = executable('pgbench');
  if (pgbench === undefined) throw new Error('pgbench is not installed (Debian: apt install postgresql)');
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
  chmodSync(folder, 0o755);
  const server = await startEmbedded({ flags: { max_connections: '400', shared_buffers: '256MB' } });
  const started: Running[] = [];
  try {
    const password = randomBytes(9).toString('hex');
    const superuser = {
      name: 'setup',
      host: server.host,
      port: server.port,
      user: 'postgres',
      password: server.password,
    };
    await run(
      executable('psql') ?? 'psql',
      [
        '-h',
        server.host,
        '-p',
        String(server.port),
        '-U',
        'postgres',
        '-qc',
        `create role bench login password '${password}'`,
        '-c',
        'grant all on schema public to bench',
        '-c',
        INSTALL.replace(/\\getenv[^]*\\endif/, `select postern.add_key('${CLAIMS_KEY}');`),
      ],
      { PGPASSWORD: superuser.password },
    );
    const direct: Peer = {
      name: 'PostgreSQL',
      host: server.host,
      port: server.port,
      user: 'bench',
      password,
      database: 'postgres',
    };
    await run(
      pgbench,
      ['-i', '-q', '-s', '5', '-h', direct.host, '-p', String(direct.port), '-U', 'bench', 'postgres'],
      { PGPASSWORD: password },
    );
    const backdrop = { folder, database: 'postgres', port: server.port, user: 'bench', password };
    started.push(await postern(backdrop));
    for (const name of values.with.split(',').filter((one) => one !== ''))
      started.push(await postern(backdrop, `postern, ${name}`, variant(name)));
    for (const [name, start] of [
      ['pgbouncer', pgbouncer],
      ['haproxy', haproxy],
    ] as const) {
      const program = executable(name);
      if (program) started.push(await start(program, backdrop));
      else console.error(`${name} is not installed: left out`);
    }
    const peers = [direct, ...started.map(({ peer }) => peer)];
    const figures: Figure[] = [];
    for (const load of LOADS) {
      for (const peer of peers) await measure(pgbench, peer, { ...load, seconds: 1 });
      // In turn, and the median: the machine's speed drifts, and so does what else runs on it.
      const rounds: Figure[][] = [];
      for (let i = 0; i < ROUNDS; i += 1) {
        const round = [];
        for (const peer of peers)
          round.push(
            await measure(pgbench, peer, { ...load, seconds: Math.max(1, Math.round(seconds / ROUNDS)) }),
          );
        rounds.push(round);
      }
      for (const i of peers.keys()) figures.push(median(rounds.map((round) => round[i]!)));
    }
    console.log(
      values.json ? JSON.stringify({ node: process.version, figures }, undefined, 2) : table(figures),
    );
  } finally {
    for (const each of started) await each.stop();
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}

function median(figures: readonly Figure[]): Figure {
  const middle = (values: readonly number[]): number =>
    values.toSorted((a, b) => a - b)[(values.length - 1) / 2] ?? Number.NaN;
  const cpu = figures.map(({ cpuMicros }) => cpuMicros).filter((value) => value !== undefined);
  return {
    ...figures[0]!,
    tps: middle(figures.map(({ tps }) => tps)),
    cpuMicros: cpu.length > 0 ? middle(cpu) : undefined,
    failed: figures.reduce((sum, { failed }) => sum + failed, 0),
  };
}

function table(figures: readonly Figure[]): string {
  const lines = [
    `Node ${process.version}; ${ROUNDS} rounds in turn, ${seconds} s for each figure, medians; CPU is user + system time of the process in between`,
    '',
  ];
  lines.push(
    '| load | peer | tps | × PgBouncer | CPU µs/transaction | × PgBouncer | failed |',
    '|---|---|---|---|---|---|---|',
  );
  for (const { load, peer, tps, cpuMicros, failed } of figures) {
    const other = figures.find((figure) => figure.load === load && figure.peer === 'PgBouncer');
    const ratio = (mine?: number, theirs?: number): string =>
      mine && theirs ? (mine / theirs).toFixed(2) : '–';
    lines.push(
      `| ${load} | ${peer} | ${Math.round(tps)} | ${ratio(tps, other?.tps)} | ${cpuMicros?.toFixed(1) ?? '–'} | ${ratio(cpuMicros, other?.cpuMicros)} | ${failed} |`,
    );
  }
  return lines.join('\n');
}

await main();
