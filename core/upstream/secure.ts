/** TLS towards a server: libpq's modes without their fall-backs (manual, 34.19.1). */
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import type { SecureContext, TLSSocket } from 'node:tls';
import type { TlsMode, UpstreamTls } from '../contract/database.ts';
import { fileVersion } from '../options/file-version.ts';
import type { ClientCertificate } from './certificate/mint.ts';
import { abortable } from './deadline.ts';
import type { Server } from './hosts/endpoint.ts';

/** The demands on a server. */
export interface TlsDemand {
  readonly mode: Exclude<TlsMode, 'disable'>;
  /** PEM file of authorities. Default: Node's own list and NODE_EXTRA_CA_CERTS. */
  readonly ca?: string;
  /** Name that is verified, and sent as SNI unless it is an address (RFC 6066 §3). */
  readonly servername: string;
  /** Shown to a server that asks for one. Default: none. */
  readonly certificate?: ClientCertificate | undefined;
}

/** Whether the address is this machine's own: a unix socket or a loopback address. */
export function isLocal(host: string): boolean {
  return (
    host.startsWith('/') ||
    host === 'localhost' ||
    host === '::1' ||
    (isIP(host) === 4 && host.startsWith('127.'))
  );
}

function modeOf(host: string, given: UpstreamTls | undefined): TlsMode {
  return given ? (given.mode ?? 'verify-full') : isLocal(host) ? 'disable' : 'verify-full';
}

/**
 * The demands of the database entry; undefined for a plain connection. `require` with `ca` verifies the chain, as libpq
 * does when a root certificate file exists.
 */
export function tlsDemand({ host, tls: given }: Server): TlsDemand | undefined {
  const mode = modeOf(host, given);
  if (mode === 'disable') return undefined;
  const servername = given?.servername ?? host;
  if (given?.ca === undefined) return { mode, servername };
  return { mode: mode === 'require' ? 'verify-ca' : mode, ca: given.ca, servername };
}

interface Loaded {
  /** Changes when the file does. */
  readonly version: string;
  readonly context: SecureContext;
}

type Contexts = Map<string, Loaded>;

const anonymous: Contexts = new Map();
/** Their contexts go when the certificates do. */
const identified = new WeakMap<ClientCertificate, Contexts>();

function contextsWith(certificate: ClientCertificate | undefined): Contexts {
  if (!certificate) return anonymous;
  const contexts = identified.get(certificate) ?? new Map<string, Loaded>();
  identified.set(certificate, contexts);
  return contexts;
}

/**
 * A context per client certificate and file of authorities, kept while the file is unchanged: parsing a bundle costs
 * milliseconds.
 */
async function contextFor({ ca, certificate }: TlsDemand): Promise<SecureContext> {
  const contexts = contextsWith(certificate);
  const key = ca ?? '';
  const version = ca === undefined ? '' : await fileVersion(ca);
  const known = contexts.get(key);
  if (known?.version === version) return known.context;
  const authorities = ca === undefined ? {} : { ca: await readFile(ca) };
  const context = tls.createSecureContext({ minVersion: 'TLSv1.2', ...authorities, ...certificate });
  contexts.set(key, { version, context });
  return context;
}

function identityCheck({ mode, servername }: TlsDemand): typeof tls.checkServerIdentity {
  if (mode !== 'verify-full') return () => undefined;
  return (_host, certificate) => tls.checkServerIdentity(servername, certificate);
}

/**
 * Starts TLS on a socket that is connected and has been read to its last byte. The socket is destroyed on failure.
 * @throws Error of the system or of OpenSSL, or the signal's reason
 */
export async function secure(socket: Socket, demand: TlsDemand, signal: AbortSignal): Promise<TLSSocket> {
  const secureContext = await abortable(contextFor(demand), signal);
  const secured = tls.connect({
    socket,
    secureContext,
    servername: isIP(demand.servername) === 0 ? demand.servername : '',
    ALPNProtocols: ['postgresql'],
    rejectUnauthorized: demand.mode !== 'require',
    checkServerIdentity: identityCheck(demand),
  });
  await handshake(secured, socket, signal);
  return secured;
}

/** A peer that goes away within the handshake gives `close` and no error, on the socket below at times only. */
function handshake(secured: TLSSocket, below: Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      secured.off('secureConnect', done).off('close', lost);
      below.off('close', lost);
      signal.removeEventListener('abort', abort);
      if (!error) return resolve();
      secured.destroy();
      below.destroy();
      reject(error);
    };
    const done = (): void => settle();
    const lost = (): void => settle(new Error('the server closed the connection during the TLS handshake'));
    const abort = (): void => settle(signal.reason as Error);
    secured.on('secureConnect', done).on('close', lost);
    // Stays: an error after the handshake would otherwise end the process before the channel listens.
    secured.on('error', settle);
    below.on('close', lost);
    signal.addEventListener('abort', abort);
  });
}
