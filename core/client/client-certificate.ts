/** What is wrong with the certificate that a client has shown in the handshake, or has not. */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { GatewayError } from '../contract/errors.ts';
import type { Client, ClientCertificate } from '../contract/session.ts';
import { fingerprintOf } from '../x509/authorities.ts';
import type { Authorities } from '../x509/authorities.ts';
import { readCertificate } from '../x509/certificate.ts';
import { DerError } from '../x509/der.ts';

/** The alerts with which OpenSSL, and so PostgreSQL, refuses a certificate (`ssl_x509err2alert`), in OpenSSL's words. */
const ALERTS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'certificate expired',
  CERT_NOT_YET_VALID: 'bad certificate',
  CERT_REVOKED: 'certificate revoked',
  CERT_CHAIN_TOO_LONG: 'unknown ca',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'unknown ca',
  INVALID_CA: 'unknown ca',
  PATH_LENGTH_EXCEEDED: 'unknown ca',
  SELF_SIGNED_CERT_IN_CHAIN: 'unknown ca',
  UNABLE_TO_GET_ISSUER_CERT: 'unknown ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unknown ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unknown ca',
  INVALID_PURPOSE: 'unsupported certificate',
};

/** What a client has shown in its handshake: nothing, a verified certificate, or one that is none. */
export interface ShownCertificate {
  readonly certificate?: ClientCertificate;
  /** The refusal of a client that is not as the listener demands. */
  readonly fault?: GatewayError;
}

/**
 * Looks at the certificate of a client after its handshake. A refusal is sent as an error inside TLS, because Node completes every
 * handshake and then can send no alert: in PostgreSQL's words for a connection without its certificate.
 * @param required the client has to show one
 * @param authorities those of the listener
 */
export function lookAtCertificate(
  socket: TLSSocket,
  required: boolean,
  authorities: Authorities,
): ShownCertificate {
  const shown = socket.getPeerX509Certificate();
  if (!shown) return required ? { fault: invalid('the client has shown none') } : {};
  if (socket.authorized) return read(shown, authorities);
  // Node has OpenSSL's name of the error here, although its type says Error.
  const why: unknown = socket.authorizationError;
  const code = why instanceof Error ? why.message : String(why);
  return { fault: invalid(code, ALERTS[code] ?? 'certificate unknown') };
}

/** OpenSSL takes some that are not quite as RFC 5280 has them. */
function read(shown: X509Certificate, authorities: Authorities): ShownCertificate {
  try {
    const authority = authorities.of(shown);
    return { certificate: readCertificate(shown.raw, authority && fingerprintOf(authority)) };
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    return { fault: invalid(`not as RFC 5280 has it: ${error.message}`, 'bad certificate') };
  }
}

/**
 * Lets a client pass that has shown a certificate, for which its listener asks in the handshake.
 * @throws GatewayError as the refusal of {@link lookAtCertificate}
 */
export function checkShown({ tls }: Pick<Client, 'tls'>): void {
  if (tls?.certificate) return;
  throw invalid(tls ? 'the client has shown none' : 'the client has come without TLS');
}

/** The refusal of a client whose listener demands a certificate, and that has come without one over a way that is encrypted already. */
export function unshown({ tls }: Pick<Client, 'tls'>): GatewayError | undefined {
  return tls?.certificate ? undefined : invalid('the way in has stated none');
}

/** The refusal of a client whose certificate was revoked after its handshake, in the words of one that was before. */
export function revoked(): GatewayError {
  return invalid('CERT_REVOKED', ALERTS['CERT_REVOKED']);
}

function invalid(why: string, detail?: string): GatewayError {
  return new GatewayError(
    'invalid_authorization_specification',
    'connection requires a valid client certificate',
    { cause: new Error(why), ...(detail !== undefined && { detail }) },
  );
}
