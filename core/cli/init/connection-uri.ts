/** Connection URIs as libpq reads them (manual, 34.1.1.2): several hosts, unix sockets, and parameters behind a question mark. */
import { ConfigError } from '../../contract/errors.ts';

/** One of the servers. */
export interface UriHost {
  /** Name, address, or the folder of a unix socket; empty: libpq's default. */
  readonly host: string;
  /** Default: libpq's, 5432. */
  readonly port: number | undefined;
}

/** What a URI says. A parameter behind the question mark beats the same one in front of it, as in libpq. */
export interface ConnectionUri {
  /** At least one. */
  readonly hosts: readonly UriHost[];
  readonly database: string | undefined;
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** All others, in their order. */
  readonly parameters: ReadonlyMap<string, string>;
}

const SCHEME = /^postgres(?:ql)?:\/\//;
const HOW = 'such as postgres://db.example:5432/orders';

/** No message repeats anything of a URI: a password may be where it does not belong. */
function wrong(why: string): never {
  throw new ConfigError(`the URL ${why}`);
}

function decoded(text: string, part: string): string {
  let plain: string;
  try {
    plain = decodeURIComponent(text);
  } catch {
    return wrong(`has a wrong %-escape in its ${part}: % itself is written %25`);
  }
  return plain.includes('\0') ? wrong(`has a zero byte in its ${part}`) : plain;
}

/** The text in front of the first of these characters, and the text from there on. */
function cut(text: string, at: RegExp): readonly [string, string] {
  const place = text.search(at);
  return place < 0 ? [text, ''] : [text.slice(0, place), text.slice(place)];
}

function portOf(text: string): number | undefined {
  if (text === '') return undefined;
  const port = Number(text);
  return /^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535
    ? port
    : wrong('has a port that is no number from 1 to 65535');
}

function hostOf(text: string): UriHost {
  if (!text.startsWith('[')) {
    const [host, port] = cut(text, /:/);
    return { host: decoded(host, 'host'), port: portOf(port.slice(1)) };
  }
  const end = text.indexOf(']');
  if (end < 0) wrong('has an IPv6 address whose bracket is not closed');
  const behind = text.slice(end + 1);
  if (behind !== '' && !behind.startsWith(':')) wrong('has something behind an IPv6 address that is no port');
  return { host: decoded(text.slice(1, end), 'host'), port: portOf(behind.slice(1)) };
}

function parametersOf(query: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const pair of query.split('&').filter((one) => one !== '')) {
    const [name, value] = cut(pair, /=/);
    if (value === '') wrong('has a parameter without a value');
    parameters.set(decoded(name, 'parameters'), decoded(value.slice(1), 'parameters'));
  }
  return parameters;
}

/** One port is for all hosts; else there are as many as hosts (manual, 34.1.1.3). */
function withPorts(hosts: readonly UriHost[], ports: string | undefined): readonly UriHost[] {
  if (ports === undefined) return hosts;
  const list = ports.split(',').map((port) => portOf(port.trim()));
  if (list.length > 1 && list.length !== hosts.length) wrong('has another number of ports than of hosts');
  return hosts.map(({ host }, index) => ({ host, port: list.length > 1 ? list[index] : list[0] }));
}

/** Reads a URI. @throws ConfigError that says what is wrong, without a piece of it */
export function parseConnectionUri(uri: string): ConnectionUri {
  if (!SCHEME.test(uri)) wrong(`has to begin with postgres:// or postgresql://, ${HOW}`);
  const [front, query] = cut(uri.replace(SCHEME, ''), /\?/);
  const [authority, path] = cut(front, /\//);
  const at = authority.indexOf('@');
  const [user, password] = cut(at < 0 ? '' : authority.slice(0, at), /:/);
  if (authority.includes('@', at + 1)) wrong('has two @ in front of its path: one inside a password is %40');
  const parameters = parametersOf(query.slice(1));
  const take = (name: string): string | undefined => {
    const value = parameters.get(name);
    parameters.delete(name);
    return value === '' ? undefined : value;
  };
  const named = take('host')?.split(',');
  const hosts = named
    ? named.map((host) => ({ host, port: undefined }))
    : authority
        .slice(at + 1)
        .split(',')
        .map(hostOf);
  const filled = (text: string, part: string): string | undefined =>
    text === '' ? undefined : decoded(text, part);
  return {
    hosts: withPorts(hosts, take('port')),
    database: take('dbname') ?? filled(path.slice(1), 'database'),
    user: take('user') ?? filled(user, 'user'),
    password: take('password') ?? filled(password.slice(1), 'password'),
    parameters,
  };
}
