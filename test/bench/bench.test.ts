/** What the benchmarks compute and print; none is run here. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { commandOf, UsageError } from './command-line.ts';
import type { Benchmark } from './command-line.ts';
import { imbalanceOf } from './imbalance.ts';
import { median, percentile } from './percentile.ts';
import { inTurn, medians, ROUNDS } from './rounds.ts';
import { json, markdown } from './table.ts';
import type { Table } from './table.ts';

const table: Table = {
  note: 'two loads',
  columns: [
    { key: 'tps', title: 'tps', against: ['PgBouncer', 'PostgreSQL'] },
    { key: 'cpu', title: 'CPU µs', digits: 1 },
  ],
  rows: [
    { load: 'few', peer: 'postern', figures: { tps: 90, cpu: 1.25 } },
    { load: 'few', peer: 'PgBouncer', figures: { tps: 100, cpu: undefined } },
    { load: 'many', peer: 'postern', figures: { tps: 300 } },
    { load: 'many', peer: 'PgBouncer', figures: { tps: 0 } },
  ],
};

describe('a percentile', () => {
  test('is the smallest value that so many do not exceed', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([50, 95, 99, 100].map((percent) => percentile(hundred, percent))).toEqual([50, 95, 99, 100]);
  });

  test('sorts by number, and takes one value for all of them', () => {
    expect(median([10, 9, 100])).toBe(10);
    expect([percentile([7], 50), percentile([7], 99)]).toEqual([7, 7]);
  });

  test('of nothing is no number', () => {
    expect(percentile([], 50)).toBeNaN();
  });
});

describe('the imbalance of processes', () => {
  test.each([
    [[8, 8], 1],
    [[10, 6], 1.25],
    [[0, 16], 2],
    [[3, 1, 1, 1], 2],
  ])('with %j is %d', (counts, imbalance) => {
    expect(imbalanceOf(counts)).toBe(imbalance);
  });
});

describe('rounds', () => {
  test('give the median of each figure, and all that has failed', () => {
    const rounds = [
      { tps: 3, failed: 1 },
      { tps: 1, failed: 0 },
      { tps: 2, failed: 2, cpu: undefined },
    ];
    expect(medians(rounds)).toEqual({ tps: 2, failed: 3, cpu: undefined });
  });

  test('take each peer in turn, after all are warm', async () => {
    const order: string[] = [];
    const figures = await inTurn(
      ['a', 'b'],
      async (peer) => order.push(`warm ${peer}`),
      async (peer) => ({ tps: order.push(peer) }),
    );
    expect(order).toEqual(['warm a', 'warm b', ...Array.from({ length: ROUNDS }, () => ['a', 'b']).flat()]);
    expect(figures).toEqual([{ tps: 5 }, { tps: 6 }]);
  });
});

describe('the table', () => {
  test('shows ratios to the peer under the same load, and a dash for what is not known', () => {
    expect(markdown(table).split('\n')).toEqual([
      'two loads',
      '',
      '| load | peer | tps | × PgBouncer | × PostgreSQL | CPU µs |',
      '| --- | --- | --- | --- | --- | --- |',
      '| few | postern | 90 | 0.90 | – | 1.3 |',
      '| few | PgBouncer | 100 | 1.00 | – | – |',
      '| many | postern | 300 | – | – | – |',
      '| many | PgBouncer | 0 | – | – | – |',
    ]);
  });

  test('as JSON has the figures as they were measured', () => {
    expect(JSON.parse(json(table))).toMatchObject({
      node: process.version,
      columns: { tps: 'tps', cpu: 'CPU µs' },
      rows: [{ load: 'few', peer: 'postern', figures: { tps: 90, cpu: 1.25 } }, {}, {}, {}],
    });
  });
});

describe('the command line', () => {
  const run: Benchmark['run'] = () => Promise.resolve(table);
  const all = {
    first: { summary: 'one', options: { seconds: 9, with: 'onQuery' }, run },
    second: { summary: 'two', options: { clients: 10, mode: 'session' as const, tls: false }, run },
  };

  test('means the first benchmark and its defaults when it is empty', () => {
    expect(commandOf([], all)).toMatchObject({
      benchmark: all.first,
      json: false,
      options: { seconds: 9, with: 'onQuery' },
    });
  });

  test('names a benchmark and changes its options', () => {
    const command = commandOf(['second', '--json', '--clients', '3', '--tls'], all);
    expect(command).toMatchObject({ benchmark: all.second, json: true, options: { clients: 3, tls: true } });
  });

  test.each([
    [['third'], 'third: there are first, second'],
    [['second', 'first'], 'second first: there are first, second'],
    [['toString'], 'toString: there are first, second'],
    [['second', '--seconds', '3'], '--seconds: second takes --json, --clients, --mode, --tls'],
    [['--seconds', '0'], '--seconds 0: a whole number above 0 is needed'],
    [['second', '--mode', 'statement'], '--mode statement: there are session, transaction'],
    [['--with', 'onQuery,none'], '--with none: there are onQuery, '],
    [['--nothing'], "Unknown option '--nothing'"],
  ])('refuses %j, and says what there is', (args, message) => {
    expect(() => commandOf(args, all)).toThrow(UsageError);
    expect(() => commandOf(args, all)).toThrow(message);
  });

  const bench = (...args: string[]) => {
    const [jiti, file] = ['../../node_modules/jiti/lib/jiti-cli.mjs', 'bench.ts'].map((path) =>
      fileURLToPath(new URL(path, import.meta.url)),
    );
    return spawnSync(process.execPath, [jiti ?? '', file ?? '', ...args], { encoding: 'utf8' });
  };

  test('says with --help what there is', () => {
    const { status, stdout } = bench('--help');
    expect(status).toBe(0);
    for (const name of ['loads', 'logins', 'latency', 'idle', 'bulk'])
      expect(stdout).toContain(`\n  ${name} `);
  });

  test('ends with 1 and one line after a mistake', () => {
    const { status, stderr } = bench('nonsense');
    expect(status).toBe(1);
    expect(stderr).toContain(
      'bench: nonsense: there are loads, logins, latency, idle, bulk, workers, observers\n',
    );
    expect(stderr).not.toContain('    at ');
  });
});
