/** A pgbouncer.ini by its sections, before it means anything here. */
import { ConfigError } from '../../contract/errors.ts';
import { leadingInteger, parseConnectString } from './connect-string.ts';
import { walkIni } from './ini.ts';
import type { IniEntry, Place } from './ini.ts';
import type { Remarks } from './remarks.ts';
import { Settings } from './settings.ts';

/** A line of [databases], [users] or [peers]. */
export interface Connection {
  readonly name: string;
  /** The last of each key counts. */
  readonly pairs: ReadonlyMap<string, string>;
  readonly place: Place;
}

/** All sections. */
export interface IniConfig {
  readonly settings: Settings;
  readonly databases: readonly Connection[];
  readonly users: readonly Connection[];
  readonly peers: readonly Connection[];
}

const POOL_MODES: readonly string[] = ['session', 'transaction', 'statement'];
const CONSOLE = 'pgbouncer';
type Section = 'databases' | 'users' | 'peers';
const SECTIONS: readonly string[] = ['pgbouncer', 'databases', 'users', 'peers'];

/** What is wrong with the pairs of a line, without its values: it may have a password. */
function mistakeIn(
  { section, name }: IniEntry,
  pairs: ReadonlyMap<string, string> | undefined,
): string | undefined {
  if (!pairs) return "pairs such as host=db.example port=5432 are needed; a value with blanks stands in '…'";
  if (section === 'databases' && name === CONSOLE) return 'the name is reserved for the console';
  const port = pairs.get('port');
  if (port !== undefined && leadingInteger(port) === 0) return 'port: a number is needed';
  const mode = pairs.get('pool_mode');
  if (mode === undefined || POOL_MODES.includes(mode.toLowerCase())) return undefined;
  return `pool_mode: one of ${POOL_MODES.join(', ')} is needed`;
}

function pairsOf(entry: IniEntry): ReadonlyMap<string, string> {
  const { name, value, place, section } = entry;
  const list = parseConnectString(value);
  const pairs = list && new Map(list);
  const mistake = mistakeIn(entry, pairs);
  if (pairs && mistake === undefined) return pairs;
  throw new ConfigError(`${place.file}:${place.line}: ${section}.${name}: ${mistake}`);
}

/** A later line for a database replaces an earlier one, but PgBouncer never loses its user. */
function withUserOf(
  before: Connection | undefined,
  pairs: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  if (pairs.has('user')) return pairs;
  const kept = ['user', 'password'].flatMap((key) => {
    const value = before?.pairs.get('user') === undefined ? undefined : before.pairs.get(key);
    return value === undefined ? [] : [[key, value] as const];
  });
  return new Map([...pairs, ...kept]);
}

/** Reads a file and those that it includes. @throws ConfigError with file and line for what PgBouncer refuses to start with */
export function readIniConfig(path: string, remarks: Remarks): IniConfig {
  const settings = new Settings();
  const connections = {
    databases: new Map<string, Connection>(),
    users: new Map<string, Connection>(),
    peers: new Map<string, Connection>(),
  };
  walkIni(path, {
    section(name, place) {
      if (!SECTIONS.includes(name))
        throw new ConfigError(`${place.file}:${place.line}: PgBouncer has no section [${name}]`);
      if (name !== 'pgbouncer') return;
      for (const lost of settings.clear())
        remarks.add(
          lost.place,
          `${lost.name} does not count: the later [pgbouncer] in ${place.file}:${place.line} sets all settings to their defaults, in PgBouncer too`,
        );
    },
    entry(entry) {
      const { section, name, place } = entry;
      if (section === 'pgbouncer') return settings.set(entry);
      const known = connections[section as Section];
      known.set(name, { name, pairs: withUserOf(known.get(name), pairsOf(entry)), place });
    },
  });
  const { databases, users, peers } = connections;
  return {
    settings,
    databases: [...databases.values()],
    users: [...users.values()],
    peers: [...peers.values()],
  };
}
