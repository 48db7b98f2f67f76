/** The commands of this plugin that are known without a config. */
import type { StandaloneCommand } from '../../core/index.ts';
import { standaloneTenantCommand } from './tenant-command.ts';

/** By their words. */
export const commands: Readonly<Record<string, StandaloneCommand>> = {
  'sql tenant': standaloneTenantCommand,
};
