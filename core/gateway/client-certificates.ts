/** What lists of revoked client certificates mean beyond the handshake: for sessions that are open, and for operators. */
import type { TlsTermination } from '../client/tls.ts';
import type { ResolvedListener } from '../config/resolved.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Check } from '../admin/admin-routes.ts';

/** The end of sessions whose certificate has been revoked. */
export const REVOKED = new GatewayError('admin_shutdown', 'the client certificate has been revoked', {
  hint: 'Connect again with a certificate that is good.',
});

type Listeners = ReadonlyMap<string, { readonly tls?: TlsTermination | undefined }>;

/** Readiness notes on lists that are out of date: others than the clients of their authorities are served. */
export function revocationChecks(listeners: Listeners): readonly Check[] {
  return [...listeners].flatMap(([name, { tls }]) =>
    (tls?.outdatedLists ?? []).map(({ issuer, nextUpdate }) => ({
      name: `crl of listener ${name}`,
      problem: undefined,
      note: `the list of ${issuer} is out of date since ${nextUpdate?.toISOString()}: its certificates are refused`,
    })),
  );
}

/** Each that is, for the log. */
export const outdatedLists = (
  { path }: Pick<ResolvedListener, 'path'>,
  tls: TlsTermination | undefined,
): readonly object[] =>
  (tls?.outdatedLists ?? []).map(({ issuer, nextUpdate }) => ({
    option: `${path}.tls.crl`,
    issuer,
    nextUpdate,
  }));
