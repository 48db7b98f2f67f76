/** The SQL that makes a tenant: its role, its schema, and what the one may do in the other. */
import type { TenantName } from '../../core/index.ts';
import type { Templates } from './options.ts';

/** Names come from the parsers of the core, which let no quote pass. */
const quoted = (name: string): string => `"${name}"`;

function roleSql(role: string): readonly string[] {
  return [
    `do $$ begin if not exists (select from pg_catalog.pg_roles where rolname = '${role}') then create role ${quoted(role)}; end if; end $$;`,
    `alter role ${quoted(role)} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;`,
    `do $$ begin execute pg_catalog.format('grant connect on database %I to ${quoted(role)}', pg_catalog.current_database()); end $$;`,
  ];
}

function schemaSql(schema: string): readonly string[] {
  return [
    `create schema if not exists ${quoted(schema)};`,
    `revoke all on schema ${quoted(schema)} from public;`,
  ];
}

/** The schema belongs to whoever runs this, and so do the tables in it: the tenant cannot drop them. */
function grantsSql(role: string, schema: string): readonly string[] {
  const [to, within] = [quoted(role), quoted(schema)];
  const rights = [
    ['tables', 'select, insert, update, delete'],
    ['sequences', 'usage, select'],
    ['functions', 'execute'],
  ] as const;
  return [
    `grant usage on schema ${within} to ${to};`,
    ...rights.map(([kind, what]) => `grant ${what} on all ${kind} in schema ${within} to ${to};`),
    '-- And on what the same owner makes there later:',
    ...rights.map(
      ([kind, what]) => `alter default privileges in schema ${within} grant ${what} on ${kind} to ${to};`,
    ),
  ];
}

/** SQL that can be run again. @throws GatewayError for a tenant whose names PostgreSQL could not have */
export function tenantSql(tenant: TenantName, templates: Templates): string {
  const role = templates.role?.(tenant);
  const schema = templates.schema?.(tenant);
  const database = templates.database?.(tenant);
  if (role === undefined && schema === undefined)
    return `-- Tenant ${tenant}: nothing to make, since the plugin has neither 'role' nor 'schema'.\n`;
  const lines = [
    `-- Tenant ${tenant}${database === undefined ? '' : ` in database ${database}`}: run it in psql as the owner of the tenants' objects; run again, it changes nothing.`,
    'begin;',
    ...(role === undefined ? [] : roleSql(role)),
    ...(schema === undefined ? [] : schemaSql(schema)),
    ...(role === undefined || schema === undefined ? [] : grantsSql(role, schema)),
    'commit;',
    ...(role === undefined
      ? []
      : [`-- What the gateway needs to log in as it: postern sql roles --role ${role}`]),
  ];
  return `${lines.join('\n')}\n`;
}
