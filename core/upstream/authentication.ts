/** Proves to a server that the gateway may log in as the role, and, where the method can, the server to the gateway. */
import { createHash } from 'node:crypto';
import { GatewayError } from '../contract/errors.ts';
import { readAuthentication, readNegotiateProtocolVersion } from '../wire/backend.ts';
import type { AuthenticationRequest } from '../wire/backend.ts';
import { serverEndPoint } from '../wire/channel-binding.ts';
import { Backend } from '../wire/frames.ts';
import { ScramClient } from '../wire/scram.ts';
import { encodePassword, encodeSaslInitialResponse, encodeSaslResponse } from '../wire/to-server.ts';
import { errorIn, unexpected } from './conversation.ts';
import type { Conversation } from './conversation.ts';
import type { Credentials } from './credentials.ts';
import type { Dialed } from './dial.ts';
import { loginRefused, refusedByServer } from './refusals.ts';
import type { ServerMessage } from './server-messages.ts';

/** The facts about the server before the authentication. */
export type Peer = Pick<Dialed, 'proven' | 'certificate'>;

/** The credentials that a server may ask for. */
export type Shown = Omit<Credentials, 'fingerprint'>;

/**
 * Answers authentication requests until AuthenticationOk (manual, 55.2.1 and 55.3).
 * @param minor the newest minor version that the startup packet has asked for: the server may say first that it has an older one
 * @throws GatewayError `sqlserver_rejected_establishment_of_sqlconnection` if the server refuses, wants a method the
 * gateway does not use here, or fails to prove that it knows the password
 */
export async function authenticate(
  talk: Conversation,
  credentials: Shown,
  peer: Peer,
  minor = 0,
): Promise<void> {
  const request = await firstRequest(talk, minor);
  const { kind, user, password } = credentials;
  if (request.kind === 'ok') {
    if (password === undefined || peer.proven) return;
    // Any server at that name would get the sessions: only SCRAM or TLS proves that it is the right one.
    throw refuse(
      "it asks for no password and has not proven who it is: use TLS, or login: { kind: 'trust' }",
    );
  }
  if (password === undefined) throw refuse(`it asks for a password although login.kind is '${kind}'`);
  if (request.kind === 'sasl') return scram(talk, password, request.mechanisms, peer);
  if (request.kind === 'md5') return disclose(talk, 'md5', peer, md5(user, password, request.salt));
  if (request.kind === 'cleartext') return disclose(talk, 'cleartext', peer, password);
  const what = request.kind === 'unsupported' ? `method ${request.code}` : `${request.kind} out of order`;
  throw refuse(`it asks for authentication ${what}, which the gateway does not know`);
}

async function firstRequest(talk: Conversation, minor: number): Promise<AuthenticationRequest> {
  const message = await talk.next();
  if (minor === 0 || message.type !== Backend.negotiateProtocolVersion) return requestIn(message);
  const older = readNegotiateProtocolVersion(message.body);
  if (older.major !== 3 || older.minor >= minor || older.options.length > 0) throw unexpected(message);
  return nextRequest(talk);
}

async function nextRequest(talk: Conversation): Promise<AuthenticationRequest> {
  return requestIn(await talk.next());
}

function requestIn(message: ServerMessage): AuthenticationRequest {
  const error = errorIn(message);
  if (error) throw refusedByServer(error);
  // Nothing else may come before AuthenticationOk, a notice neither (wire: libpq breaks as well).
  if (message.type !== Backend.authentication) throw unexpected(message);
  return readAuthentication(message.body);
}

async function expectOk(talk: Conversation): Promise<void> {
  const { kind } = await nextRequest(talk);
  if (kind !== 'ok') throw refuse(`it asks for a second authentication (${kind})`);
}

async function scram(
  talk: Conversation,
  password: string,
  offered: readonly string[],
  peer: Peer,
): Promise<void> {
  const channelBinding = peer.certificate && serverEndPoint(peer.certificate);
  try {
    const client = new ScramClient({ password, offered, channelBinding });
    talk.send(encodeSaslInitialResponse(client.mechanism, client.clientFirst()));
    talk.send(encodeSaslResponse(await client.continue(await saslData(talk, 'sasl-continue'))));
    client.finish(await saslData(talk, 'sasl-final'));
  } catch (error) {
    const fromScram =
      error instanceof GatewayError && /^(protocol_violation|feature_not_supported)$/.test(error.code);
    throw fromScram ? loginRefused(error) : error;
  }
  await expectOk(talk);
}

async function saslData(talk: Conversation, wanted: 'sasl-continue' | 'sasl-final'): Promise<Buffer> {
  const request = await nextRequest(talk);
  if (request.kind === wanted && 'data' in request) return request.data;
  // An AuthenticationOk here would be a server that skips the proof that it knows the password.
  throw refuse(`it sent ${request.kind} where SCRAM demands ${wanted}`);
}

/** Methods that reveal the password, or an equivalent of it, to anyone on the network. */
async function disclose(talk: Conversation, method: string, peer: Peer, answer: string): Promise<void> {
  if (!peer.certificate)
    throw refuse(`it asks for ${method} authentication, which the gateway answers inside TLS only`);
  talk.send(encodePassword(answer));
  await expectOk(talk);
}

/** AuthenticationMD5Password's answer (manual, 55.2.1): concat('md5', md5(concat(md5(password, user), salt))). */
function md5(user: string, password: string, salt: Buffer): string {
  const inner = createHash('md5')
    .update(password + user)
    .digest('hex');
  return `md5${createHash('md5').update(inner).update(salt).digest('hex')}`;
}

function refuse(why: string): GatewayError {
  return loginRefused(new Error(`the server cannot be logged in to: ${why}`));
}
