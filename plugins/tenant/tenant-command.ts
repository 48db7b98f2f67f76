/** `postern sql tenant NAME`: by the templates of the config, or by those of the command line. */
import { ConfigError, parseTenant } from '../../core/index.ts';
import type { Command, CommandLine, StandaloneCommand } from '../../core/index.ts';
import { templatesOf } from './options.ts';
import type { Templates } from './options.ts';
import { tenantSql } from './setup-sql.ts';

const OUTLINE = {
  summary: 'prints the SQL that makes the role and the schema of a tenant',
  options: {
    role: { value: 'TEMPLATE', help: "the role, such as 'tenant_{tenant}'. Default: as the config says" },
    schema: { value: 'TEMPLATE', help: 'the schema. Default: as the config says' },
  },
  operands: ['NAME'],
  notes: 'With --role or --schema no config is read.',
} as const;

function print({ operands: [name = ''] }: CommandLine, templates: Templates): number {
  process.stdout.write(tenantSql(parseTenant(name), templates));
  return 0;
}

/** Undefined where the command line has none. @throws ConfigError that names the option, such as `--role` */
function templatesIn({ options }: CommandLine): Templates | undefined {
  const [[role] = [], [schema] = []] = [options['role'], options['schema']];
  if (role === undefined && schema === undefined) return undefined;
  const given = { ...(role !== undefined && { role }), ...(schema !== undefined && { schema }) };
  try {
    return templatesOf({ claim: 'tenant', ...given });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(error.message.replace(/^tenant\./, '--'), { cause: error });
  }
}

/** The command of a config whose plugin has these templates. */
export function tenantCommand(templates: Templates): Command {
  return { ...OUTLINE, run: (line) => print(line, templatesIn(line) ?? templates) };
}

/** The command without a config. */
export const standaloneTenantCommand: StandaloneCommand = {
  ...OUTLINE,
  options: {
    config: { value: 'FILE', help: 'the config. Default: gateway.config.ts in the current folder' },
    ...OUTLINE.options,
  },
  async run(line, configured) {
    const templates = templatesIn(line);
    return templates ? print(line, templates) : (await configured()).run(line);
  },
};
