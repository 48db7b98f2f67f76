/** A pgbouncer.ini as a config of the gateway. */
import type { Draft } from '../written/config-text.ts';
import { Members } from '../written/source.ts';
import { Variables } from '../written/variables.ts';
import { authenticationOf } from './authentication.ts';
import type { Given } from './authentication.ts';
import { Entries, forcedUser } from './databases.ts';
import { readIniConfig } from './ini-config.ts';
import type { IniConfig } from './ini-config.ts';
import { listenOf } from './listeners.ts';
import { NO_EQUIVALENT } from './no-equivalent.ts';
import { limitsPlugin, rolesPlugin } from './policies.ts';
import { PoolSettings } from './pools.ts';
import type { Remarks } from './remarks.ts';
import { ServerTls } from './server-tls.ts';
import { durationOf } from './settings.ts';

/** A config that is not text yet, and what goes with it. */
export interface Imported {
  readonly draft: Draft;
  /** Of passwords, by name. */
  readonly variables: Variables;
  readonly databases: number;
  readonly users: number;
}

function sayUsersAndPeers({ users, peers }: IniConfig, remarks: Remarks): void {
  for (const { name, pairs, place } of users) {
    for (const key of pairs.keys()) {
      const why =
        key === 'pool_mode'
          ? "a mode is for a database; clients choose where pool: { clientMode: 'choose' } lets them"
          : (NO_EQUIVALENT.get(key) ?? 'has no equivalent');
      remarks.add(place, `user ${name}: ${key}: ${why}`);
    }
  }
  for (const { name, place } of peers) remarks.add(place, `peer ${name}: ${NO_EQUIVALENT.get('peer_id')}`);
}

function sayRest({ settings }: IniConfig, remarks: Remarks): void {
  for (const { name, place } of settings.rest())
    remarks.add(place, `${name}: ${NO_EQUIVALENT.get(name) ?? 'is not known to this command'}`);
}

/** As long as a login may wait for a server connection, where clients have one for the whole session. */
function loginTimeoutOf({ settings, databases }: IniConfig, pools: PoolSettings): string | undefined {
  const own = settings.seconds('client_login_timeout')?.value ?? 0;
  const waits = databases.some((one) => pools.waitsAtLogin(one)) ? pools.queryWaitSeconds : 0;
  const seconds = Math.max(own, waits);
  return seconds > 0 ? durationOf(seconds) : undefined;
}

/** Reads the file and says what it is here. @throws ConfigError with file and line */
export async function importFrom(path: string, given: Given): Promise<Imported> {
  const { remarks, pathOf } = given;
  const ini = readIniConfig(path, remarks);
  const { settings, databases } = ini;
  const authentication = await authenticationOf(ini, given);
  const { auth, users, asks } = authentication;
  const pools = new PoolSettings(settings, remarks);
  const tls = new ServerTls(settings, remarks, pathOf);
  const sockets = settings.text('unix_socket_dir')?.value ?? '/tmp';
  const variables = new Variables();
  const entries = new Entries({ remarks, variables, pools, tls, sockets, users, asks });
  const members = databases.map((one) => entries.member(one));
  const listen = listenOf({ settings, remarks, pathOf, auth });
  const limits = limitsPlugin(settings, remarks);
  const loginTimeout = loginTimeoutOf(ini, pools);
  const plugins = [
    authentication.plugin,
    rolesPlugin(databases, authentication, remarks),
    ...(limits ? [limits] : []),
  ];
  sayUsersAndPeers(ini, remarks);
  sayRest(ini, remarks);
  for (const one of databases.filter((each) => forcedUser(each) !== undefined && each.pairs.has('password')))
    remarks.add(one.place, `${one.name}: the password is not copied: a variable of the environment has it`);
  const said = remarks.lines();
  const draft: Draft = {
    about: `Imported from ${path} by \`postern import\`. \`postern check\` says whether it is valid.`,
    remarks: said.length > 0 ? ['Not taken over as it is:', ...said] : [],
    listen,
    databases: new Members(members),
    plugins,
    more: [
      {
        name: 'loginTimeout',
        value: loginTimeout,
        above: [
          'As long as clients may wait for a server connection, query_wait_timeout or client_login_timeout.',
        ],
      },
    ],
  };
  return { draft, variables, databases: databases.length, users: users.length };
}
