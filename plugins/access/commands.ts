/** The commands of this plugin that need no config. */
import type { StandaloneCommand } from '../../core/index.ts';
import { WANTED_OPTIONS, wantedBy } from './wanted.ts';

/** By their words; the modules of each are loaded only when it runs. */
export const commands: Readonly<Record<string, StandaloneCommand>> = {
  token: {
    summary: 'asks a gateway (its plugin access) for a token to a database, and prints only that',
    options: WANTED_OPTIONS,
    operands: ['DATABASE'],
    run: async (line) => (await import('./token.ts')).printToken(wantedBy(line)),
  },
  connect: {
    summary: 'asks a gateway for a token to a database, and runs psql with it',
    options: WANTED_OPTIONS,
    operands: ['DATABASE', '[-- PSQL-ARGUMENT…]'],
    run: async (line) => (await import('./connect.ts')).connect(wantedBy(line), line.operands.slice(1)),
  },
  'access key': {
    summary: 'makes an API key for those who ask for access, and its hash for the config',
    run: async () => (await import('./new-key.ts')).printNewKey(),
  },
};
