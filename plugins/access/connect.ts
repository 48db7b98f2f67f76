/** `postern connect`: runs psql with a token that the gateway grants, in the environment and never in an argument. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { ConfigError } from '../../core/index.ts';
import { grantFor } from './token.ts';
import type { Wanted } from './wanted.ts';

/** Variables of libpq that would lead the token somewhere else, and ours that psql has no use for. */
const KEPT_BACK = ['PGHOSTADDR', 'PGSERVICE', 'POSTERN_CREDENTIAL'];
/** As shells count: a signal is this and its number. */
const SIGNALLED = 128;

/**
 * Resolves with psql's exit code.
 * @param more arguments of psql
 * @throws ConfigError without psql, and as grantFor does
 */
export async function connect(wanted: Wanted, more: readonly string[]): Promise<number> {
  const { token, uri } = await grantFor(wanted);
  const env: NodeJS.ProcessEnv = { ...process.env, PGPASSWORD: token };
  for (const name of KEPT_BACK) delete env[name];
  const psql = spawn('psql', ['-d', uri, ...more], { stdio: 'inherit', env });
  // The terminal sends Ctrl-C to both: what it means is psql's to say.
  const ignore = (): void => {};
  const pass = (signal: NodeJS.Signals): void => void psql.kill(signal);
  process.on('SIGINT', ignore).on('SIGTERM', pass).on('SIGHUP', pass);
  try {
    return await new Promise((resolve, reject) => {
      psql.once('error', (error) => reject(new ConfigError(`psql cannot be run: ${error.message}`)));
      psql.once('close', (code, signal) => {
        resolve(code ?? SIGNALLED + (signal === null ? 0 : constants.signals[signal]));
      });
    });
  } finally {
    process.off('SIGINT', ignore).off('SIGTERM', pass).off('SIGHUP', pass);
  }
}
