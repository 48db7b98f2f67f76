/** The address of a server: one host of an entry, and one address of its name. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { DatabaseOptions, HostAddress } from '../../contract/database.ts';

/** The exact address of a connection: a name may have another one the next time. */
export type Address = { readonly path: string } | { readonly host: string; readonly port: number };

/** A database entry with one of its hosts. */
export interface Server extends DatabaseOptions {
  readonly host: string;
}

/** One server, by its network address. */
export interface Endpoint extends Required<HostAddress> {
  /** Undefined: the address that the name has at the time of the connection. */
  readonly address?: Address;
}

/** The entry with the host of an endpoint. */
export function serverAt(database: DatabaseOptions, { host, port }: Endpoint): Server {
  return { ...database, host, port };
}

/** The address of a host that needs no resolver; undefined for a name. */
export function fixedAddress({ host, port }: Required<HostAddress>): Address | undefined {
  if (host.startsWith('/')) return { path: join(host, `.s.PGSQL.${port}`) };
  return isIP(host) === 0 ? undefined : { host, port };
}

/** An endpoint in words, for operators: its address only where that is not the host itself. */
export function describeEndpoint({ host, port, address }: Endpoint): string {
  const resolved = address && 'host' in address && address.host !== host ? ` (${address.host})` : '';
  return `${host} port ${port}${resolved}`;
}

/**
 * All addresses of a host now, in the order of the resolver.
 * @throws Error of the system, such as ENOTFOUND
 */
export async function endpointsOf(at: Required<HostAddress>): Promise<readonly Endpoint[]> {
  const fixed = fixedAddress(at);
  if (fixed) return [{ ...at, address: fixed }];
  const found = await lookup(at.host, { all: true });
  return found.map(({ address }) => ({ ...at, address: { host: address, port: at.port } }));
}
