/** How tests run: real servers, so files in processes of their own; those that only call functions share some. */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';
import { filesOfSharedProcesses } from './test/support/shared-process.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const sharing = [...filesOfSharedProcesses(here('.'))];

const resolve = {
  alias: [
    { find: /^postern$/, replacement: here('core/index.ts') },
    { find: /^postern\/testing$/, replacement: here('core/testing/test-gateway.ts') },
    { find: /^postern\/wire$/, replacement: here('core/wire/index.ts') },
    { find: /^postern\/plugins\/([^/]+)$/, replacement: here('plugins/$1/index.ts') },
  ],
};

const every = {
  pool: 'forks',
  // Events come within milliseconds, unless the machine is busy with something else: no test fails for want of speed.
  testTimeout: 120_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 30_000 } },
} as const;

export default defineConfig({
  test: {
    // Most tests wait for servers, clocks and timers: three processes per core keep it busy. On large machines memory is the limit.
    maxWorkers: Math.min(8, 3 * availableParallelism()),
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        resolve,
        test: {
          ...every,
          name: 'servers',
          include: ['test/**/*.test.ts'],
          exclude: sharing,
          globalSetup: ['test/support/shared-postgres.ts'],
        },
      },
      // A new process and its imports cost a second of a core, more than most of these files.
      { resolve, test: { ...every, name: 'functions', include: sharing, isolate: false } },
    ],
  },
});
