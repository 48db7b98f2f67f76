/** What is wrong with the certificate that a client has shown in the handshake, or has not. */
import type { TLSSocket } from 'node:tls';
import { GatewayError } from '../errors.ts';

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

/**
 * The refusal of a client after its handshake; undefined for one that is as the listener demands. It is sent as an error inside TLS,
 * because Node completes every handshake and then can send no alert: in PostgreSQL's words for a connection without its certificate.
 * @param required the client has to show one
 */
export function certificateFault(socket: TLSSocket, required: boolean): GatewayError | undefined {
  if (!socket.getPeerX509Certificate()) return required ? invalid('the client has shown none') : undefined;
  if (socket.authorized) return undefined;
  // Node has OpenSSL's name of the error here, although its type says Error.
  const why: unknown = socket.authorizationError;
  const code = why instanceof Error ? why.message : String(why);
  return invalid(code, ALERTS[code] ?? 'certificate unknown');
}

function invalid(why: string, detail?: string): GatewayError {
  return new GatewayError(
    'invalid_authorization_specification',
    'connection requires a valid client certificate',
    { cause: new Error(why), ...(detail !== undefined && { detail }) },
  );
}
