/** `postern check`: loads a config as `start` would, runs nothing, and says what it is; with `--online` also whether what it names is there. */
import { choiceText } from '../config/auth.ts';
import { answeredDatabases } from '../config/answered-databases.ts';
import { findConfig, loadConfig } from '../load.ts';
import type { ResolvedConfig } from '../config/check.ts';
import { smallPools } from '../config/small-pools.ts';
import { lineOf } from './online/finding.ts';
import type { Finding } from './online/finding.ts';
import { passwordFindings, secretFindings } from './online/secrets.ts';

const list = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.join(', '));

/** Where the databases are that plugins answer, or that they are nowhere: `, console pgbouncer on public`. */
function answeredText(config: ResolvedConfig): string {
  return answeredDatabases(config)
    .map(
      ({ plugin, name, on }) =>
        `, ${plugin.name} ${name} on ${on.length === 0 ? 'no listener' : on.join(', ')}`,
    )
    .join('');
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
    ['admin', `${admin ? `${admin.host} port ${admin.port}` : 'none'}${answeredText(config)}`],
  ];
  return lines.map(([what = '', is = '']) => `  ${what.padEnd(11)}${is}\n`).join('');
}

/** What is asked for on the command line. */
export interface CheckOptions {
  /** The config file. Default: gateway.config.ts in the working directory. */
  readonly config: string | undefined;
  /** Whether servers, issuers and the like are asked. */
  readonly online: boolean;
  /** Databases, by the names that clients use, besides the entries of the config. */
  readonly databases: readonly string[];
}

/** In the order in which they are known, so that nobody waits for the slowest to read the first. */
async function* onlineFindings(
  config: ResolvedConfig,
  { databases }: CheckOptions,
): AsyncGenerator<readonly Finding[]> {
  const [{ entryFindings }, { pluginFindings }] = await Promise.all([
    import('./online/servers.ts'),
    import('./online/plugins.ts'),
  ]);
  const { signal } = new AbortController();
  const names = [...new Set([...config.databaseNames, ...databases])];
  if (names.length === 0) {
    const text = 'databases is a function: name some that it serves by --database';
    yield [{ level: 'warning', path: 'databases', text }];
  }
  const asked = [...names.map((name) => entryFindings(config, name, signal)), pluginFindings(config)];
  for (const findings of asked) yield await findings;
}

/**
 * Prints the summary and the findings; resolves with exit code 0, or with 1 where one of them is an error. Plugins are made, never set up.
 * @throws ConfigError with the sentence that says what is wrong
 */
export async function check(options: CheckOptions): Promise<number> {
  const path = findConfig(process.cwd(), options.config);
  const config = await loadConfig(path);
  process.stdout.write(`${path} is valid\n${summary(config)}`);
  let failed = false;
  const tell = (findings: readonly Finding[]): void => {
    for (const finding of findings) {
      failed ||= finding.level === 'error';
      if (options.online || finding.level !== 'ok') process.stdout.write(lineOf(finding));
    }
  };
  const small = (await smallPools(config)).map((one): Finding => ({ level: 'warning', ...one }));
  tell([...small, ...secretFindings(config), ...(await passwordFindings(config))]);
  if (options.online) for await (const findings of onlineFindings(config, options)) tell(findings);
  return failed ? 1 : 0;
}
