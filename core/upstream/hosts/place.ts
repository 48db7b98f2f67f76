/** Where a server is: one host of an entry, and one address that its name leads to. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { DatabaseOptions, HostAddress } from '../../database.ts';

/** Where exactly a connection goes or ended up: a name may lead elsewhere the next time. */
export type Address = { readonly path: string } | { readonly host: string; readonly port: number };

/** A database entry with one of its hosts. */
export interface Server extends DatabaseOptions {
  readonly host: string;
}

/** One server, as far as the network tells. */
export interface Place extends Required<HostAddress> {
  /** Undefined: wherever the name leads when it is dialled. */
  readonly address?: Address;
}

/** The entry with the host of a place. */
export function serverAt(database: DatabaseOptions, { host, port }: Place): Server {
  return { ...database, host, port };
}

/** Where a host without a name to resolve is; undefined for a name. */
export function fixedAddress({ host, port }: Required<HostAddress>): Address | undefined {
  if (host.startsWith('/')) return { path: join(host, `.s.PGSQL.${port}`) };
  return isIP(host) === 0 ? undefined : { host, port };
}

/** A place in words, for operators: its address only where that is not the host itself. */
export function describePlace({ host, port, address }: Place): string {
  const resolved = address && 'host' in address && address.host !== host ? ` (${address.host})` : '';
  return `${host} port ${port}${resolved}`;
}

/**
 * Every address that a host leads to now, in the order of the resolver.
 * @throws Error of the system, such as ENOTFOUND
 */
export async function placesOf(at: Required<HostAddress>): Promise<readonly Place[]> {
  const fixed = fixedAddress(at);
  if (fixed) return [{ ...at, address: fixed }];
  const found = await lookup(at.host, { all: true });
  return found.map(({ address }) => ({ ...at, address: { host: address, port: at.port } }));
}
