/** Which minor protocol version a client gets, and how it is told (manual, 55.2.1). */
import { cstring, int32, message } from './message.ts';

/** Newest minor version of protocol 3 that the gateway speaks to clients. */
export const NEWEST_MINOR = 2;

/** What a StartupMessage's version comes to. */
export interface NegotiatedVersion {
  /** Minor version from here on. */
  readonly minor: number;
  /** NegotiateProtocolVersion, to be sent before the authentication request; undefined if nothing differs. */
  readonly reply: Buffer | undefined;
}

/**
 * Settles the version as PostgreSQL 18 does: the lower of both minors, and a reply if the client's is newer
 * than 3.2 or it asked for protocol options, none of which the gateway knows. 3.1 passes as PostgreSQL lets it.
 * An unsolicited reply is fatal for libpq.
 * @param protocolOptions names that start with `_pq_.`, as the client sent them
 */
export function negotiateVersion(minor: number, protocolOptions: readonly string[]): NegotiatedVersion {
  const agreed = Math.min(minor, NEWEST_MINOR);
  const differs = minor > NEWEST_MINOR || protocolOptions.length > 0;
  return { minor: agreed, reply: differs ? negotiateProtocolVersion(agreed, protocolOptions) : undefined };
}

/**
 * NegotiateProtocolVersion (manual, 55.7). The first field is the whole version number, as every server since 9.3
 * sends it and libpq compares it, although the manual speaks of the minor one.
 */
export function negotiateProtocolVersion(minor: number, unknownOptions: readonly string[]): Buffer {
  return message('v', [
    int32(3 * 65_536 + minor),
    int32(unknownOptions.length),
    ...unknownOptions.map(cstring),
  ]);
}

/** Length of the cancel key for a client, in bytes: libpq of protocol 3.0 fails on any length but 4. */
export function cancelKeyLength(minor: number): number {
  return minor >= 2 ? 32 : 4;
}
