/** Tenants: from a claim to a role, a schema, a database or a server of their own, through parsers that let no trick pass. */
import { GatewayError, claimAt, parseTenant, shown, shownChoice } from '../../core/index.ts';
import type { Identity, Plugin, RoleName, Session, TenantName } from '../../core/index.ts';
import { hints } from './hints.ts';
import { templatesOf } from './options.ts';
import type { Templates, TenantOptions } from './options.ts';
import { tenantCommand } from './tenant-command.ts';

export type { TenantOptions } from './options.ts';

function refuse(message: string, reason: string, hint?: string): never {
  const more = { cause: new Error(reason), ...(hint === undefined ? {} : { hint }) };
  throw new GatewayError('invalid_authorization_specification', message, more);
}

/** The tenant of a token. Nothing is folded, trimmed or normalised: two texts that look alike are two tenants, or none. */
function tenantOf({ claims }: Identity, { claim, fallback }: Templates): TenantName {
  const value = claimAt(claims, claim);
  if (value === undefined && fallback !== undefined) return fallback;
  const no = (why: string): never => refuse('the token names no tenant', `claim ${claim} ${why}`);
  if (typeof value !== 'string')
    return no(value === undefined ? 'is absent' : `is not a text: ${shown(value)}`);
  try {
    return parseTenant(value);
  } catch {
    return no(`is no name of a tenant, 1 to 63 of a-z, 0-9, _ and -: ${shown(value)}`);
  }
}

/** The user name is `_`, the token's subject, or the role itself: anything else was meant for something else. */
function checkUser({ startup, facts }: Session<'identity'>, role: RoleName): void {
  if ([role, '_', facts.identity.subject].includes(startup.user)) return;
  const hint = 'Use the user name _ (psql -U _) for the role of the token.';
  refuse(
    `the token may not take role "${startup.user}"`,
    `the user name is ${shown(startup.user)}, wanted ${shownChoice([role, '_', facts.identity.subject])}`,
    hint,
  );
}

/**
 * States the tenant of a session by a claim, and connects the session to the tenant's own role, schema, database or server by templates.
 *
 * @place 8 below the plugin that provides `identity`, above those that map roles and limit sessions
 * @throws ConfigError that names the option, such as `tenant.schema`
 * @example tenant({ claim: 'tenant', role: 'tenant_{tenant}', schema: 'tenant_{tenant}' })
 */
export function tenant(options: TenantOptions): Plugin<'identity', 'tenant', 'tenant'> {
  const templates = templatesOf(options);
  return {
    name: 'tenant',
    options,
    needs: ['identity'],
    provides: hints.provides,
    commands: { 'sql tenant': tenantCommand(templates) },
    checks: {
      identity(identity, { facts }, renewed) {
        const name = renewed ? tenantOf(identity, templates) : facts.tenant;
        if (name === facts.tenant) return;
        const why = `it is of ${shown(name)}, and the session of ${shown(facts.tenant)}`;
        refuse('the token is of another tenant than the session', why);
      },
    },
    onAuth(session, upstream) {
      const name = tenantOf(session.facts.identity, templates);
      session.establish('tenant', name);
      const { shared } = templates;
      const [role, schema] = [templates.role?.(name), templates.schema?.(name)];
      const [database, entry] = [templates.database?.(name), templates.entry?.(name)];
      if (role !== undefined) checkUser(session, role);
      return {
        ...upstream,
        ...(role !== undefined && { role }),
        ...(schema !== undefined && { schemas: [schema, ...shared, ...upstream.schemas] }),
        ...(entry !== undefined && { entry }),
        ...(database !== undefined && { database }),
      };
    },
  };
}
