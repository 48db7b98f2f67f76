/** The commands of this plugin that are known without a config. */
import type { StandaloneCommand } from '../../core/index.ts';
import { standaloneVerifyCommand } from './verify-command.ts';

/** By their words. */
export const commands: Readonly<Record<string, StandaloneCommand>> = {
  'audit verify': standaloneVerifyCommand,
};
