/** What stands in each line of the log of a process. */
import type { ResolvedConfig } from '../config/resolved.ts';

/** Which instance of a fleet it is: lines of several come together elsewhere. */
export const logBindings = ({ fleet }: Pick<ResolvedConfig, 'fleet'>): object =>
  fleet ? { instance: fleet.instance } : {};
