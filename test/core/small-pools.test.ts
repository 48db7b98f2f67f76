/** Pools that are small for the number of workers are told of, and others are not. */
import { expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { smallPools } from '../../core/config/small-pools.ts';

const entry = (size?: number): object => ({
  host: 'db.example',
  login: { kind: 'password', passwords: { reader: 'x' } },
  ...(size !== undefined && { pool: { size } }),
});

async function found(workers: number): Promise<readonly string[]> {
  const databases = { small: entry(5), fits: entry(8), usual: entry() };
  const config = checkConfig({ listen: { port: 0 }, databases, plugins: [], workers }, '/');
  return (await smallPools(config)).map(({ path }) => path);
}

test('a pool needs two connections for each worker', async () => {
  expect(await found(1)).toEqual([]);
  expect(await found(2)).toEqual([]);
  expect(await found(3)).toEqual(['databases.small.pool.size']);
  expect(await found(5)).toEqual(['databases.small.pool.size', 'databases.fits.pool.size']);
  expect(await found(11)).toHaveLength(3);
});
