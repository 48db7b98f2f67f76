/** `postern start`: runs the gateway of a config; its log goes to standard output as JSON lines. */
import { Gateway } from '../gateway.ts';
import { findConfig } from '../load.ts';
import { createLogger } from '../gateway/log.ts';
import { ConfigFile } from './config-file.ts';
import { drainOrStop, nextSignal } from './run-gateway.ts';
import { StrayErrors } from './stray-errors.ts';

/** What the command line said. */
export interface StartOptions {
  /** The config file. Default: gateway.config.ts in the working directory. */
  readonly config: string | undefined;
  /** Whether a change of the config's files reloads it. SIGHUP does so in any case. */
  readonly watch: boolean;
}

/**
 * Resolves with exit code 0 after SIGTERM, SIGINT or an operator's SHUTDOWN, and the drain; with 1 if an error of the gateway's
 * own was the reason.
 * @throws ConfigError for a bad config; Error if an address cannot be listened on
 */
export async function start({ config: given, watch }: StartOptions): Promise<number> {
  const file = new ConfigFile(findConfig(process.cwd(), given));
  const config = await file.load();
  const log = createLogger(config.logLevel);
  const strays = new StrayErrors(log);
  const gateway = new Gateway(config, log);
  // Before it says that it listens: whoever reads that may send a signal at once.
  const told = Promise.race([nextSignal(), strays.fatal]);
  const started = gateway.start();
  gateway.reloadsFrom(() => file.load());
  file.feed(gateway, { watch });
  try {
    await Promise.race([started, told]);
    await Promise.race([told.then(() => drainOrStop(gateway)), gateway.stopped]);
  } finally {
    file.close();
    strays.close();
  }
  return strays.any ? 1 : 0;
}
