/** The commands of this plugin that need no config. */
import type { StandaloneCommand } from '../../core/index.ts';
import { printNewKey } from './new-key.ts';

/** By their words. */
export const commands: Readonly<Record<string, StandaloneCommand>> = {
  'access key': {
    summary: 'makes an API key for those who ask for access, and its hash for the config',
    run: printNewKey,
  },
};
