/** Claims to database roles: an allow-list or map decides which role a verified token may take, never the token alone. */
import { GatewayError, shown, shownChoice } from '../../core/index.ts';
import type { Identity, Plugin, RoleName, Session, Target } from '../../core/index.ts';
import { mapFor, mapsAt, roleMaps, rolesIn } from './role-map.ts';
import type { RoleMap, RolesOptions } from './role-map.ts';
import { narrowed } from './target.ts';

export type { RolesOptions } from './role-map.ts';
export type { ClaimOption, ReadClaim, Shape } from './values.ts';

function refuse(message: string, reason: string, hint?: string): never {
  const more = { cause: new Error(reason), ...(hint === undefined ? {} : { hint }) };
  throw new GatewayError('invalid_authorization_specification', message, more);
}

function mapOf(maps: readonly RoleMap[], { issuer }: Identity, entry: string): RoleMap {
  const map = mapFor(maps, issuer, entry);
  if (map) return map;
  const reason = `no roles are configured for issuer ${issuer} at database ${shown(entry)}`;
  return refuse('the token maps to no role', reason);
}

/** The roles a token may take, in the claim's order. Values that mean nothing here are skipped. */
function rolesOf({ claims }: Identity, { values, roleOf, fallback }: RoleMap): readonly RoleName[] {
  const found = values.read(claims);
  if (found === undefined && fallback !== undefined) return [fallback];
  const no = (why: string): never => refuse('the token maps to no role', `${values.name} ${why}`);
  if (found === undefined) return no('is absent');
  if ('unfit' in found) return no(`is not a text or a list of texts: ${shown(found.unfit)}`);
  const roles = found.map(roleOf).filter((name) => name !== undefined);
  return roles.length > 0
    ? [...new Set(roles)]
    : no(`names no role that is allowed: ${shown(found.length === 1 ? found[0] : found)}`);
}

/** The role for the user name the client gave: one of the token's by name, or by `_` or the subject the first. */
function chosenRole(user: string, subject: string, roles: readonly RoleName[]): RoleName {
  const named = roles.find((name) => name === user);
  const chosen = named ?? (user === '_' || user === subject ? roles[0] : undefined);
  if (chosen !== undefined) return chosen;
  const hint = `Use the user name _ (psql -U _) for the role the token names. It may take: ${roles.join(', ')}.`;
  const why = `the user name is ${shown(user)}, wanted ${shownChoice([...roles, '_', subject])}`;
  return refuse(`the token may not take role "${user}"`, why, hint);
}

/** A fresh token has to allow the session's role still, and no role that the one before did not: it may widen nothing. */
function checkRenewed(
  after: readonly RoleName[],
  before: readonly RoleName[],
  role: RoleName | undefined,
): void {
  if (role === undefined || !after.includes(role)) {
    refuse(
      'the token may not take the role of the session',
      `it may be ${shownChoice(after)}, and not ${role}`,
    );
  }
  const more = after.find((name) => !before.includes(name));
  if (more === undefined) return;
  const why = `it may be ${more}, and the one before only ${shownChoice(before)}`;
  refuse('the token may take more roles than the one before', why);
}

function targetFor(policy: Target | undefined, rule: Target | undefined): Target | undefined {
  const target = narrowed(policy, rule);
  if (target !== undefined || rule === undefined) return target;
  const reason = `the token's rule asks for ${rule}, the role may have ${policy ?? 'replica'} only`;
  return refuse('the token may not use the servers it asks for', reason);
}

/**
 * Maps a claim to the role that logs in to PostgreSQL, by an exact allow-list, a map or a template. Enforces the token rule `target`.
 *
 * @place 9 below the plugin that provides `identity`
 * @throws ConfigError that names the option, such as `roles.allow[0]`
 * @example roles({ claim: 'role', allow: ['reader', 'writer'] })
 */
export function roles(options: RolesOptions | readonly RolesOptions[]): Plugin<'identity', never, 'roles'> {
  const maps = roleMaps(options);
  const byDatabase = maps.some(({ databases }) => databases !== undefined);
  const taken = (identity: Identity, { upstream, startup }: Session): readonly RoleName[] =>
    rolesOf(identity, mapOf(maps, identity, upstream?.entry ?? startup.database));
  const mapped = rolesIn(maps);
  const mappedAt = (name: string): readonly RoleName[] => rolesIn(mapsAt(maps, name)) ?? [];
  return {
    name: 'roles',
    options,
    needs: ['identity'],
    ...(mapped && { maps: byDatabase ? mappedAt : mapped }),
    checks: {
      identity(identity, session, renewed) {
        const { facts, upstream } = session;
        if (!renewed || !facts.identity) return;
        checkRenewed(taken(identity, session), taken(facts.identity, session), upstream?.role);
      },
      rules({ target }, { upstream }, renewed) {
        if (!renewed || target === undefined || narrowed(upstream?.target, target) === upstream?.target)
          return;
        refuse(
          'the token asks for other servers than the session has',
          `the rule target is ${shown(target)}, and the session has ${shown(upstream?.target)}`,
        );
      },
    },
    enforces: ['target'],
    onAuth(session, upstream) {
      const { facts, startup } = session;
      const { identity, rules } = facts;
      const { entry, decidedFor = [] } = upstream;
      const map = mapOf(maps, identity, entry);
      const role = chosenRole(startup.user, identity.subject, rolesOf(identity, map));
      const target = targetFor(map.targets.get(role), rules?.target);
      return {
        ...upstream,
        role,
        ...(target && { target }),
        ...(byDatabase && { decidedFor: [...decidedFor, entry] }),
      };
    },
  };
}
