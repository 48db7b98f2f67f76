/** Keeps schema changes in migrations: DDL that anybody else types is refused. A guard rail; grants are the wall. */
import { ConfigError, GatewayError } from 'postern';
import type { Plugin } from 'postern';

const DDL = /^(?:\s|--.*\n|\/\*(?:[^*]|\*(?!\/))*\*\/)*(?:create(?!\s+temp)|alter|drop|truncate)\b/i;

/** Lets only the subjects in `migrators` change the schema. @throws ConfigError where there is none */
export function noDdl({ migrators }: { readonly migrators: readonly string[] }): Plugin<'identity'> {
  if (migrators.length === 0) throw new ConfigError('noDdl.migrators: name at least one subject');
  const hint = 'Put it into a migration, or work on a temporary table.';
  return {
    name: 'no-ddl',
    needs: ['identity'],
    onQuery({ facts, log }, statement) {
      if (statement.kind !== 'query' && statement.kind !== 'parse') return;
      if (!DDL.test(statement.sql) || migrators.includes(facts.identity.subject)) return;
      log.warn({ plugin: 'no-ddl' }, 'schema change refused');
      throw new GatewayError('insufficient_privilege', 'schema changes go through migrations', { hint });
    },
  };
}
