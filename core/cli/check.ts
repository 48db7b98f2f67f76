/** `postern check`: loads a config as `start` would, runs nothing, and says what it is. */
import { choiceText } from '../config/auth.ts';
import { consoleListeners } from '../config/providers.ts';
import { findConfig, loadConfig } from '../load.ts';
import type { ResolvedConfig } from '../config/check.ts';

const list = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.join(', '));

/** An operator has to know where the console is, and that it is nowhere. */
function consoleText(config: ResolvedConfig): string {
  const { admin } = config;
  if (admin?.console === undefined) return '';
  const on = consoleListeners(config);
  return `, console ${admin.console} on ${on.length === 0 ? 'no listener' : on.join(', ')}`;
}

function summary(config: ResolvedConfig): string {
  const { listeners, databaseNames, plugins, admin } = config;
  const listen = listeners.map(({ name, host, port, mode, tls, auth }) => {
    const how = mode === undefined ? (tls ? 'TLS' : 'no TLS') : `unix socket, mode 0o${mode.toString(8)}`;
    const asked = auth === 'password' ? '' : `, ${choiceText(auth)}`;
    return `${name} (${host} port ${port}, ${how}${asked})`;
  });
  const lines = [
    ['listeners', list(listen)],
    ['databases', list(databaseNames)],
    ['plugins', list(plugins.map(({ name }) => name))],
    ['admin', admin ? `${admin.host} port ${admin.port}${consoleText(config)}` : 'none'],
  ];
  return lines.map(([what = '', is = '']) => `  ${what.padEnd(11)}${is}\n`).join('');
}

/**
 * Prints the summary and resolves with exit code 0. Plugins are made, never set up.
 * @param given the config file. Default: gateway.config.ts in the working directory
 * @throws ConfigError with the sentence that says what is wrong
 */
export async function check(given: string | undefined): Promise<number> {
  const path = findConfig(process.cwd(), given);
  process.stdout.write(`${path} is valid\n${summary(await loadConfig(path))}`);
  return 0;
}
