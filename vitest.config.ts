/** How tests run: real servers, so files in processes of their own and few at a time. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^postern$/, replacement: here('core/index.ts') },
      { find: /^postern\/plugins\/([^/]+)$/, replacement: here('plugins/$1/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/shared-postgres.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // Events come within milliseconds, unless the machine is busy with something else: no test fails for want of speed.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
