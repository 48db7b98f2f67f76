/** Connects to a server: socket, SSLRequest, TLS; the startup packet is sent only after that. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Channel } from '../net/channel.ts';
import { connectShared } from '../net/shared-read.ts';
import { SSL_REQUEST } from '../wire/greeting.ts';
import type { ClientCertificate } from './certificate/mint.ts';
import { within } from './deadline.ts';
import { fixedAddress } from './hosts/endpoint.ts';
import type { Address, Server } from './hosts/endpoint.ts';
import { unreachable } from './refusals.ts';
import { isLocal, secure, tlsDemand } from './secure.ts';
import type { TlsDemand } from './secure.ts';

/** A connection on which only TLS has been negotiated. */
export interface Dialed {
  /** Paused, nothing read. */
  readonly channel: Channel;
  readonly address: Address;
  /** The server is this machine or has shown a certificate that was verified. */
  readonly proven: boolean;
  /** Present on TLS: the server's certificate as DER, for channel binding (RFC 5929 §4). */
  readonly certificate?: Buffer;
}

/** The options of {@link dial}. */
export interface DialOptions {
  /** Milliseconds for name resolution, connection and TLS together. Default 5000. */
  readonly connectMs?: number;
  /** Connects there instead of to `host` and `port`; TLS still verifies these. */
  readonly address?: Address;
  /** Shown to a server that asks for one. Default: none. */
  readonly certificate?: ClientCertificate | undefined;
}

/** SSLRequest's answers (manual, 55.2.10). */
const WILLING = 0x53;
const UNWILLING = 0x4e;

/**
 * Connects to the database entry's server, with TLS as the entry demands.
 * @throws GatewayError `sqlclient_unable_to_establish_sqlconnection`, its cause is the failure; or the signal's reason
 */
export async function dial(
  database: Server,
  signal: AbortSignal,
  options: DialOptions = {},
): Promise<Dialed> {
  const { connectMs = 5000, address = addressOf(database), certificate } = options;
  const where = 'path' in address ? address.path : `${address.host} port ${address.port}`;
  const late = (): Error => unreachable(new Error(`no connection to ${where} within ${connectMs} ms`));
  return within(connectMs, signal, late, async (inner) => {
    const channel = connectShared({ ...address, autoSelectFamilyAttemptTimeout: 1000 });
    try {
      await connected(channel.socket, inner);
      const found = remoteAddress(channel.socket, address);
      const demand = tlsDemand(database);
      if (!demand) return { channel, address: found, proven: isLocal(database.host) };
      return { ...(await upgrade(channel, { ...demand, certificate }, inner)), address: found };
    } catch (error) {
      channel.destroy();
      throw unreachable(new Error(`connecting to ${where} failed`, { cause: error }));
    }
  });
}

function addressOf({ host, port = 5432 }: Server): Address {
  return fixedAddress({ host, port }) ?? { host, port };
}

function remoteAddress(socket: Socket, dialed: Address): Address {
  if ('path' in dialed || socket.remoteAddress === undefined) return dialed;
  return { host: socket.remoteAddress, port: dialed.port };
}

async function connected(socket: Socket, signal: AbortSignal): Promise<void> {
  await once(socket, 'connect', { signal });
}

async function upgrade(
  channel: Channel<Socket>,
  demand: TlsDemand,
  signal: AbortSignal,
): Promise<Omit<Dialed, 'address'>> {
  const answer = await answerToSslRequest(channel, signal);
  if (answer.length !== 1)
    throw new Error('the server sent unencrypted bytes behind its answer to SSLRequest');
  if (answer[0] === UNWILLING)
    throw new Error('the server does not offer TLS, which the configuration demands');
  if (answer[0] !== WILLING) throw new Error('the server gave no valid answer to SSLRequest');
  const secured = await secure(channel.socket, demand, signal);
  return {
    channel: new Channel(secured),
    proven: demand.mode !== 'require' || isLocal(channel.socket.remoteAddress ?? ''),
    ...certificateOf(secured),
  };
}

function certificateOf(secured: TLSSocket): { certificate?: Buffer } {
  const certificate = secured.getPeerX509Certificate();
  return certificate ? { certificate: certificate.raw } : {};
}

/** Whatever arrives first: all of it, because bytes behind the answer were not protected by TLS (CVE-2021-23222). */
function answerToSslRequest(channel: Channel, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    channel.listen({
      bytes(chunk) {
        channel.halt();
        signal.removeEventListener('abort', abort);
        resolve(Buffer.from(chunk));
      },
      drained() {},
      closed(error) {
        signal.removeEventListener('abort', abort);
        reject(error ?? new Error('the server closed the connection instead of answering SSLRequest'));
      },
    });
    channel.write(SSL_REQUEST);
    channel.resume();
  });
}
