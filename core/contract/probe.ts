/** The question of `postern check --online` to a plugin: is all there that it depends on? */
import type { Lookup, LookupRow } from './lookup.ts';
import type { WebSignal } from './web-types.ts';

/** One thing that was looked at. */
export interface ProbeFinding {
  /** Where the config says it, such as `jwt.issuers[0]`. */
  readonly path: string;
  /** What it is, or what is wrong with it, in a sentence without a secret. */
  readonly text: string;
  /** `'error'`: sessions that need it are refused. `'warning'`: they are not, or only later. Default `'ok'`. */
  readonly level?: 'ok' | 'warning' | 'error';
}

/** What a plugin may use for it: nothing has been set up, and nothing may be left open. */
export interface ProbeContext {
  /** The folder of the config file: what relative paths start from. */
  readonly directory: string;
  /** Aborted after 5 seconds: what is not known then is an error. */
  readonly signal: WebSignal;
  /** As `lookUp` of a gateway. */
  lookUp(lookup: Lookup): Promise<readonly LookupRow[]>;
}
