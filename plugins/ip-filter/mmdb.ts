/** Reads a database in MaxMind's format (MaxMind DB 2.0), and refuses one that is not whole or not of the kind asked for. */
import { isIP } from 'node:net';
import { Reader } from 'maxmind';
import type { Response } from 'maxmind';
import type { GeoKind } from './policy.ts';

/** What a file says, ready to be asked. */
export interface Mmdb {
  /** For log lines: `GeoLite2-Country`. */
  readonly type: string;
  readonly built: Date;
  /** Such as `DE` or `AS64496`; undefined if the database does not know. @throws Error where the file is damaged */
  find(address: string): string | undefined;
}

const MAPPED = /^::ffff:(?=\d+\.)/i;
const METADATA = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
/** Zero bytes between the search tree and the data. */
const SEPARATOR = 16;
/** Decoded records that are remembered; a database of countries has some hundred in all. */
const REMEMBERED = 4_096;

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/** MaxMind and DB-IP have `country.iso_code`, IPinfo has `country_code` or `country`. */
function countryIn(record: Fields): string | undefined {
  const { country, country_code: code } = record;
  const found = isFields(country) ? country['iso_code'] : (code ?? country);
  return typeof found === 'string' && /^[A-Z]{2}$/.test(found) ? found : undefined;
}

/** MaxMind and DB-IP have `autonomous_system_number`, IPinfo has `asn` with `AS` in front. */
function asnIn({ autonomous_system_number: number, asn }: Fields): string | undefined {
  if (typeof number === 'number') return `AS${number}`;
  return typeof asn === 'string' && /^AS\d+$/.test(asn) ? asn : undefined;
}

const READERS = { country: countryIn, asn: asnIn };

/** Remembers records, and forgets all when there are too many. */
function memory() {
  const known = new Map<string | number, unknown>();
  return {
    get: (key: string | number) => known.get(key),
    set(key: string | number, record: unknown) {
      if (known.size >= REMEMBERED) known.clear();
      known.set(key, record);
    },
  };
}

/** What is in the file must be where its end says: a file that is cut or half written is not used. */
function openReader(bytes: Buffer): Reader<Response> {
  const end = bytes.lastIndexOf(METADATA);
  if (end < 0) throw new Error('not a MaxMind database, or not all of one');
  const reader = new Reader<Response>(bytes, { cache: memory() });
  const { binaryFormatMajorVersion: version, searchTreeSize, nodeCount } = reader.metadata;
  if (version !== 2) throw new Error(`version ${version} of the format, which nobody knows`);
  const data = searchTreeSize + SEPARATOR;
  const apart = bytes.subarray(searchTreeSize, data);
  if (!(nodeCount > 0) || data > end || apart.some((byte) => byte !== 0))
    throw new Error('the file is damaged');
  return reader;
}

/** Addresses all over both kinds of the Internet. */
function* samples(): Generator<string> {
  for (let first = 1; first < 224; first += 1) {
    for (let second = 0; second < 256; second += 64) yield `${first}.${second}.0.1`;
  }
  for (let group = 0x2000; group < 0x3000; group += 8) yield `${group.toString(16)}::1`;
}

/** A database of another kind would know no address, and refuse everybody or nobody. */
function refuseOtherKind(look: (address: string) => Fields | undefined, kind: GeoKind): void {
  const records = Array.from(samples(), look).filter((record) => record !== undefined);
  if (records.length === 0 || records.some((record) => READERS[kind](record) !== undefined)) return;
  throw new Error(`no database of ${kind === 'asn' ? 'network operators (ASN)' : 'countries'}`);
}

/** Opens a database that is in memory. @throws Error that says what is wrong with it */
export function openMmdb(bytes: Buffer, kind: GeoKind): Mmdb {
  const reader = openReader(bytes);
  const { databaseType, buildEpoch, ipVersion } = reader.metadata;
  const look = (text: string): Fields | undefined => {
    // No database has a zone, and few have IPv4 a second time as IPv4-mapped IPv6.
    const address = (text.split('%', 1)[0] ?? '').replace(MAPPED, '');
    const version = isIP(address);
    // A tree of IPv4 would take the first bits of an IPv6 address for one of its own.
    if (version === 0 || (version === 6 && ipVersion === 4)) return undefined;
    const record: unknown = reader.get(address);
    return isFields(record) ? record : undefined;
  };
  refuseOtherKind(look, kind);
  return {
    type: databaseType,
    built: buildEpoch,
    find(address) {
      const record = look(address);
      return record && READERS[kind](record);
    },
  };
}
