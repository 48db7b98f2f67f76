/** `postern sql roles`: prints what a DBA has to run and write so that the gateway of a config can log in. */
import type { ResolvedConfig } from '../config/check.ts';
import { hostsOf } from '../contract/database.ts';
import { findConfig, loadConfig } from '../load.ts';
import { PLACEHOLDER, accessTo } from './sql/access.ts';
import { comment } from './sql/quoting.ts';
import { whatIsServed } from './sql/served.ts';
import type { Asked, Served } from './sql/served.ts';
import { statementsFor } from './sql/statements.ts';

/** The hosts of a list are one server here: replicas have the roles of their primary, and need its pg_hba.conf. */
const whereIs = (one: Served): string =>
  hostsOf(one)
    .map(({ host, port }) => `${host} port ${port}`)
    .join(', ');

/** By server: roles belong to a server, and so does its pg_hba.conf. */
function byServer(served: readonly Served[]): readonly (readonly Served[])[] {
  const servers = new Map<string, Served[]>();
  for (const one of served) {
    const where = whereIs(one);
    servers.set(where, [...(servers.get(where) ?? []), one]);
  }
  return [...servers.values()];
}

function authorityHints(served: readonly Served[]): readonly string[] {
  const files = served.flatMap(({ login }) => (login.kind === 'certificate' ? [login.ca] : []));
  return [...new Set(files)].flatMap((ca) => [
    comment(`In postgresql.conf: ssl = on, and in the file of ssl_ca_file what is in ${ca}.`),
    comment(
      'Whoever has a certificate under that file gets in as the role it names: keep other authorities out of it.',
    ),
  ]);
}

function section(served: readonly Served[], only: string | undefined): readonly string[] {
  const where = served.slice(0, 1).map(whereIs).join();
  const lines = accessTo(served, only);
  const hints = lines.some((line) => line.includes(PLACEHOLDER))
    ? [comment(`${PLACEHOLDER} stands for the gateway's address.`)]
    : [];
  return [
    comment(`Server ${where}. Run this in psql as a superuser; run again, it changes nothing.`),
    ...statementsFor(served),
    '',
    comment(
      'Lines of pg_hba.conf, to stand above all others for these roles; then: select pg_reload_conf();',
    ),
    ...hints,
    ...authorityHints(served),
    ...lines.map((line) => comment(`  ${line}`)),
    '',
  ];
}

/**
 * SQL for the roles of a config, with lines of pg_hba.conf as comments. Connects to nothing and holds no secret.
 * @throws ConfigError where it is not known which databases or roles are meant
 */
export async function rolesSql(config: ResolvedConfig, asked: Asked): Promise<string> {
  const served = await whatIsServed(config, asked);
  const only = asked.database === undefined ? undefined : served[0]?.database;
  const lines = byServer(served).flatMap((server) => section(server, only));
  return `${lines.join('\n')}\n`;
}

/**
 * Prints {@link rolesSql} and resolves with exit code 0.
 * @param given the config file. Default: gateway.config.ts in the working directory
 * @throws ConfigError for a bad config, and as rolesSql does
 */
export async function printRoles(given: string | undefined, asked: Asked): Promise<number> {
  const config = await loadConfig(findConfig(process.cwd(), given));
  process.stdout.write(await rolesSql(config, asked));
  return 0;
}
