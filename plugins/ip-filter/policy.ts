/** The options of `ipFilter()`, checked once at boot and turned into sets. */
import {
  Networks,
  badOption,
  parseNetwork,
  readChoice,
  readList,
  readObject,
  readParsed,
} from '../../core/index.ts';
import type { Network } from '../../core/index.ts';
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

/** An option that is left out, and an empty list, has nothing in it. */
function list<T>(
  path: string,
  value: unknown,
  what: string,
  item: (path: string, one: unknown) => T,
): readonly T[] {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return [];
  return readList(path, value, item, what);
}

function networks(path: string, value: unknown): readonly Network[] {
  return list(path, value, 'networks', (at, one) => readParsed(at, one, parseNetwork));
}

const regions = new Intl.DisplayNames('en', { type: 'region', fallback: 'none' });

/** The databases have ISO's codes only, and a code that they never have would silently match nobody. */
function country(path: string, value: unknown): string {
  if (typeof value !== 'string' || !/^[A-Z]{2}$/.test(value)) {
    return badOption(path, "a code of two capital letters such as 'DE' is needed (ISO 3166-1)");
  }
  const { region } = new Intl.Locale('und', { region: value });
  if (region !== value) badOption(path, `'${value}' is not the code of ISO 3166-1: say '${region}'`);
  return regions.of(value) === undefined ? badOption(path, `'${value}' is no country`) : value;
}

function asn(path: string, value: unknown): string {
  const digits = typeof value === 'string' ? /^AS([1-9]\d*)$/.exec(value)?.[1] : value;
  const number = Number(digits);
  if (digits !== undefined && Number.isInteger(number) && number > 0 && number <= 0xffffffff)
    return `AS${number}`;
  return badOption(path, "a number such as 64496 or 'AS64496' is needed");
}

const READERS = { country, asn };
const WORDS = { country: 'countries', asn: 'numbers' };

function geoRule(path: string, kind: GeoKind, given: CountryOptions | AsnOptions): GeoRule {
  const known = ['database', 'allow', 'deny', 'unknown'] as const;
  const options = readObject<CountryOptions | AsnOptions>(path, given, known);
  const { database, unknown } = options;
  if (typeof database !== 'string' || database === '')
    badOption(`${path}.database`, 'the path of an .mmdb file is needed');
  const allow = list(`${path}.allow`, options.allow, WORDS[kind], READERS[kind]);
  refuseEmpty(`${path}.allow`, options.allow, 'all');
  const deny = list(`${path}.deny`, options.deny, WORDS[kind], READERS[kind]);
  if (unknown !== undefined) readChoice(`${path}.unknown`, unknown, ['allow', 'deny']);
  if (allow.length + deny.length === 0 && unknown !== 'deny') {
    badOption(path, "refuses nobody: say whom to allow or deny, or unknown: 'deny'");
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
  if (allow?.length === 0) badOption(path, `the list is empty: leave it out to allow ${whom}`);
}

/** Checks the options. @throws ConfigError that names the option's path, such as `ipFilter.allow[3]` */
export function parsePolicy(given: IpFilterOptions): Policy {
  const known = ['allow', 'deny', 'countries', 'asns'] as const;
  const options = readObject<IpFilterOptions>('ipFilter', given, known);
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
