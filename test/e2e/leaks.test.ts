/** A short run of `npm run test:leaks`: nothing crosses from one identity to another, and no commit is lost. */
import { beforeAll, expect, test } from 'vitest';
import { prepareCheckout } from '../support/gateway-process.ts';
import { KINDS } from '../leaks/findings.ts';
import type { Kind } from '../leaks/findings.ts';
import { runSuite } from '../leaks/suite.ts';

beforeAll(prepareCheckout, 120_000);

test('a few seconds of many people on few connections, with harm all around, leak nothing and lose nothing', async () => {
  const told: string[] = [];
  const { findings } = await runSuite({
    seed: Date.now() % 1_000_000,
    checkouts: 20_000,
    seconds: 8,
    tell: (line) => told.push(line),
  });
  expect(told).toEqual([]);
  expect(findings.total).toBe(0);
  // Nothing was tried in vain.
  const untried = (Object.keys(KINDS) as Kind[]).filter((kind) => !findings.trials.get(kind));
  expect(untried).toEqual([]);
  for (const event of ['traces left', 'requests cut', 'connections cut', 'transactions confirmed']) {
    expect(findings.events.get(event), event).toBeGreaterThan(0);
  }
}, 180_000);
