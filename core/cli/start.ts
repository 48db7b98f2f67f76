/** `postern start`: runs the gateway of a config; its log goes to standard output as JSON lines. */
import { Gateway } from '../gateway.ts';
import { findConfig, loadConfig } from '../load.ts';
import { createLogger } from '../gateway/log.ts';
import { drainOrStop, nextSignal } from './run-gateway.ts';

/**
 * Resolves with exit code 0 after SIGTERM or SIGINT and the drain.
 * @param given the config file. Default: gateway.config.ts in the working directory
 * @throws ConfigError for a bad config; Error if an address cannot be listened on
 */
export async function start(given: string | undefined): Promise<number> {
  const config = await loadConfig(findConfig(process.cwd(), given));
  const gateway = new Gateway(config, createLogger(config.logLevel));
  // Before it says that it listens: whoever reads that may send a signal at once.
  const told = nextSignal();
  await Promise.race([gateway.start(), told]);
  await told;
  await drainOrStop(gateway);
  return 0;
}
