/** The options of `ipFilter()`, checked once at boot and turned into sets. */
import { ConfigError, Networks, parseNetwork } from '../../core/index.ts';
import type { AsnOptions, CountryOptions, IpFilterOptions, Unknown } from './options.ts';

/** What a database is asked. */
export type GeoKind = 'country' | 'asn';

/** What the answer of a database means. */
export interface GeoRule {
  /** Where it stands in the config, for messages: `ipFilter.countries`. */
  readonly path: string;
  readonly kind: GeoKind;
  /** As in the config. */
  readonly file: string;
  /** Undefined: all. */
  readonly allow: ReadonlySet<string> | undefined;
  readonly deny: ReadonlySet<string>;
  readonly unknown: Unknown;
}

/** The whole plugin's policy. */
export interface Policy {
  /** Undefined: everybody. */
  readonly allow: Networks | undefined;
  readonly deny: Networks;
  readonly geo: readonly GeoRule[];
}

function bad(path: string, why: string): never {
  throw new ConfigError(`${path}: ${why}`);
}

function checkNames(path: string, value: unknown, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) bad(path, 'an object is needed');
  const stranger = Object.keys(value).find((name) => !known.includes(name));
  if (stranger !== undefined) bad(`${path}.${stranger}`, `no such option; there are ${known.join(', ')}`);
}

function list<T>(
  path: string,
  value: unknown,
  what: string,
  item: (path: string, one: unknown) => T,
): readonly T[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return bad(path, `a list of ${what} is needed`);
  return value.map((one: unknown, index) => item(`${path}[${index}]`, one));
}

function networks(path: string, value: unknown): readonly ReturnType<typeof parseNetwork>[] {
  return list(path, value, 'networks', (at, one) => {
    try {
      return parseNetwork(typeof one === 'string' ? one : bad(at, 'a text is needed'));
    } catch (error) {
      if (error instanceof ConfigError && !error.message.startsWith(at)) return bad(at, error.message);
      throw error;
    }
  });
}

const regions = new Intl.DisplayNames('en', { type: 'region', fallback: 'none' });

/** The databases have ISO's codes only, and a code that they never have would silently match nobody. */
function country(path: string, value: unknown): string {
  if (typeof value !== 'string' || !/^[A-Z]{2}$/.test(value)) {
    return bad(path, "a code of two capital letters such as 'DE' is needed (ISO 3166-1)");
  }
  const { region } = new Intl.Locale('und', { region: value });
  if (region !== value) bad(path, `'${value}' is not the code of ISO 3166-1: say '${region}'`);
  return regions.of(value) === undefined ? bad(path, `'${value}' is no country`) : value;
}

function asn(path: string, value: unknown): string {
  const digits = typeof value === 'string' ? /^AS([1-9]\d*)$/.exec(value)?.[1] : value;
  const number = Number(digits);
  if (digits !== undefined && Number.isInteger(number) && number > 0 && number <= 0xffffffff)
    return `AS${number}`;
  return bad(path, "a number such as 64496 or 'AS64496' is needed");
}

const READERS = { country, asn };
const WORDS = { country: 'countries', asn: 'numbers' };

function geoRule(path: string, kind: GeoKind, options: CountryOptions | AsnOptions): GeoRule {
  checkNames(path, options, ['database', 'allow', 'deny', 'unknown']);
  const { database, unknown } = options;
  if (typeof database !== 'string' || database === '')
    bad(`${path}.database`, 'the path of an .mmdb file is needed');
  const allow = list(`${path}.allow`, options.allow, WORDS[kind], READERS[kind]);
  refuseEmpty(`${path}.allow`, options.allow, 'all');
  const deny = list(`${path}.deny`, options.deny, WORDS[kind], READERS[kind]);
  if (unknown !== undefined && unknown !== 'allow' && unknown !== 'deny') {
    bad(`${path}.unknown`, "'allow' or 'deny' is needed");
  }
  if (allow.length + deny.length === 0 && unknown !== 'deny') {
    bad(path, "refuses nobody: say whom to allow or deny, or unknown: 'deny'");
  }
  return {
    path,
    kind,
    file: database,
    allow: allow.length > 0 ? new Set(allow) : undefined,
    deny: new Set(deny),
    unknown: unknown ?? (allow.length > 0 ? 'deny' : 'allow'),
  };
}

/** Whoever makes a list of nobody hardly means everybody, and a list that came out empty by a mistake must not mean it. */
function refuseEmpty(path: string, allow: readonly unknown[] | undefined, whom: string): void {
  if (allow?.length === 0) bad(path, `the list is empty: leave it out to allow ${whom}`);
}

/** Checks the options. @throws ConfigError that names the option's path, such as `ipFilter.allow[3]` */
export function parsePolicy(options: IpFilterOptions): Policy {
  checkNames('ipFilter', options, ['allow', 'deny', 'countries', 'asns']);
  const { countries, asns } = options;
  const allow = networks('ipFilter.allow', options.allow);
  refuseEmpty('ipFilter.allow', options.allow, 'everybody');
  return {
    allow: allow.length > 0 ? new Networks(allow) : undefined,
    deny: new Networks(networks('ipFilter.deny', options.deny)),
    geo: [
      ...(countries === undefined ? [] : [geoRule('ipFilter.countries', 'country', countries)]),
      ...(asns === undefined ? [] : [geoRule('ipFilter.asns', 'asn', asns)]),
    ],
  };
}
