/** Who may be whom, and for how long: the plugins roles and limits of an imported config. */
import type { ListedPlugin } from '../written/config-text.ts';
import { call } from '../written/source.ts';
import type { Value } from '../written/source.ts';
import type { Authentication } from './authentication.ts';
import { forcedUser } from './databases.ts';
import type { Connection } from './ini-config.ts';
import type { Remarks } from './remarks.ts';
import { durationOf } from './settings.ts';
import type { Settings } from './settings.ts';

type Entry = Readonly<Record<string, Value>>;

/** Databases by the user as which all their clients are logged in; undefined: as themselves. */
function byForcedUser(databases: readonly Connection[]): ReadonlyMap<string | undefined, readonly string[]> {
  const groups = new Map<string | undefined, string[]>();
  for (const one of databases) {
    const user = forcedUser(one);
    groups.set(user, [...(groups.get(user) ?? []), one.name]);
  }
  return groups;
}

/** Clients are who they are, or all of a database are the user of its connection string. */
export function rolesPlugin(
  databases: readonly Connection[],
  { users, issuer }: Authentication,
  remarks: Remarks,
): ListedPlugin {
  const groups = byForcedUser(databases);
  const above = ['The name of the user is the role, as with PgBouncer; no other role is ever taken.'];
  const listed = (options: Value): ListedPlugin => ({
    folder: 'roles',
    factory: 'roles',
    source: call('roles', options),
    above,
  });
  const [only] = groups.keys();
  if (groups.size <= 1) {
    const mapped = only === undefined ? { allow: users } : { map: { '*': only } };
    return listed({ claim: 'sub', ...mapped });
  }
  const star = databases.find(({ name }) => name === '*');
  if (star)
    remarks.add(
      star.place,
      "*: roles are by the name of a database where some have user=: add the names that clients use for others to its 'databases'",
    );
  const entries = [...groups].flatMap(([user, names]): readonly Entry[] => {
    const known = names.filter((name) => name !== '*');
    const mapped: Entry = user === undefined ? { allow: users } : { map: { '*': user } };
    return known.length > 0 ? [{ issuer, claim: 'sub', ...mapped, databases: known }] : [];
  });
  return listed(entries);
}

/** Time-outs of clients; undefined where there are none. */
export function limitsPlugin(settings: Settings, remarks: Remarks): ListedPlugin | undefined {
  const span = (name: string, differs: string): string | undefined => {
    const taken = settings.seconds(name);
    if (!taken || taken.value === 0) return undefined;
    remarks.add(taken.place, `${name}: ${differs}`);
    return durationOf(taken.value);
  };
  const statement = span('query_timeout', 'the server cancels the statement, and the session goes on');
  const idleInTransaction = span('idle_transaction_timeout', 'the server ends the session, with 25P03');
  const idle = span('client_idle_timeout', 'a session is ended outside of transactions only, with 57P05');
  if (statement === undefined && idleInTransaction === undefined && idle === undefined) return undefined;
  const timeouts = { statement, idleInTransaction };
  const has = statement !== undefined || idleInTransaction !== undefined;
  return {
    folder: 'limits',
    factory: 'limits',
    source: call('limits', { idle, ...(has && { timeouts }) }),
  };
}
