/** From the startup packet to the first ReadyForQuery of a server connection. */
import { readBackendKeyData, readReadyForQuery } from '../wire/backend.ts';
import { Backend } from '../wire/frames.ts';
import { encodeStartup } from '../wire/greeting.ts';
import { authenticate } from './authentication.ts';
import type { Peer, Shown } from './authentication.ts';
import { errorIn, unexpected } from './conversation.ts';
import type { Conversation } from './conversation.ts';
import { parameterRefused, refusedByServer } from './refusals.ts';

/** BackendKeyData: the key that cancels a query of this connection. */
export interface BackendKey {
  readonly pid: number;
  /** 4 to 256 bytes. */
  readonly secret: Buffer;
}

/** The parameters of a login. */
export interface LoginRequest {
  readonly startup: readonly (readonly [string, string])[];
  readonly credentials: Shown;
  readonly peer: Peer;
  /** The newest minor version of protocol 3 that is asked for. Default 0. */
  readonly minor?: number;
  /** The packet has parameters that the client chose: it reads why the server refuses one. Default false. */
  readonly clientParameters?: boolean;
}

/**
 * Logs in; the server is idle afterwards. Its ParameterStatus values are in `talk.parameters`. Undefined where it sends no key, as
 * some poolers do.
 * @throws GatewayError as {@link refusedByServer} and {@link unreachable} make them, or the signal's reason
 */
export async function login(talk: Conversation, request: LoginRequest): Promise<BackendKey | undefined> {
  const { startup, credentials, peer, minor = 0 } = request;
  talk.send(encodeStartup(startup, minor));
  await authenticate(talk, credentials, peer, minor);
  let key: BackendKey | undefined;
  for (;;) {
    const message = await talk.reply();
    const error = errorIn(message);
    if (error) throw request.clientParameters === true ? parameterRefused(error) : refusedByServer(error);
    if (message.type === Backend.readyForQuery && readReadyForQuery(message.body) === 'I') break;
    if (message.type !== Backend.backendKeyData || key) throw unexpected(message);
    const { processId, secret } = readBackendKeyData(message.body);
    key = { pid: processId, secret: Buffer.from(secret) };
  }
  return key;
}
