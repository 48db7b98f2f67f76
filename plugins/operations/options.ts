/** What `operations()` may be told. */
import { readDuration, readObject } from '../../core/index.ts';
import type { Duration } from '../../core/index.ts';

/**
 * The options of `operations()`.
 *
 * @reload new requests
 */
export interface OperationsOptions {
  /**
   * How long a request waits for what it has ordered to be done (pause, wait-close, suspend), where its query has no `wait`.
   *
   * @defaultValue `'30s'`
   * @example wait: '10s'
   */
  readonly wait?: Duration;
}

/** The options, each with a value. */
export type Operations = Required<OperationsOptions>;

/** Checks the options and fills the defaults in. @throws ConfigError that names the option */
export function operationsOf(options: OperationsOptions): Operations {
  const { wait = '30s' } = readObject<OperationsOptions>('operations', options, ['wait']);
  readDuration('operations.wait', wait);
  return { wait };
}
