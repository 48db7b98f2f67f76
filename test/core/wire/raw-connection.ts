/** A connection to a real server, message by message, built from nothing but core/wire. */
import { once } from 'node:events';
import net from 'node:net';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { errorFields, readAuthentication } from '../../../core/wire/backend.ts';
import type { ServerError } from '../../../core/wire/backend.ts';
import { serverEndPoint } from '../../../core/wire/channel-binding.ts';
import { SSL_REQUEST, encodeStartup } from '../../../core/wire/greeting.ts';
import { ScramClient } from '../../../core/wire/scram.ts';
import type { ScramOptions } from '../../../core/wire/scram.ts';
import { encodeSaslInitialResponse, encodeSaslResponse } from '../../../core/wire/to-server.ts';

/** A message of a server. */
export interface RawMessage {
  readonly type: string;
  readonly body: Buffer;
}

/** Where and as whom; `scram` replaces what would be offered to {@link ScramClient}. */
export interface RawLogin {
  readonly port: number;
  readonly tls?: boolean;
  readonly parameters: readonly (readonly [name: string, value: string])[];
  readonly password: string;
  readonly scram?: (options: ScramOptions) => ScramOptions;
}

/** A connection and all that was said before ReadyForQuery. */
export interface RawConnection {
  readonly mechanism: string;
  /** Sends a message, and gives all the answers up to ReadyForQuery. */
  ask(message: Buffer): Promise<RawMessage[]>;
  close(): void;
}

async function* messages(socket: Socket): AsyncGenerator<RawMessage, undefined> {
  let bytes: Buffer = Buffer.alloc(0);
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk as Buffer]);
    while (bytes.length >= 5 && bytes.length > bytes.readUInt32BE(1)) {
      const end = bytes.readUInt32BE(1) + 1;
      yield { type: bytes.toString('latin1', 0, 1), body: bytes.subarray(5, end) };
      bytes = bytes.subarray(end);
    }
  }
  return undefined;
}

async function dial({ port, tls: encrypted }: RawLogin): Promise<Socket> {
  const socket = net.connect(port, '127.0.0.1');
  if (encrypted !== true) return socket;
  socket.write(SSL_REQUEST);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  if (answer.toString() !== 'S') throw new Error(`the server has no TLS: ${answer.toString()}`);
  const secured = tls.connect({ socket, rejectUnauthorized: false });
  await once(secured, 'secureConnect');
  return secured;
}

async function next(stream: AsyncGenerator<RawMessage, undefined>): Promise<RawMessage> {
  const { value } = await stream.next();
  if (!value) throw new Error('the server closed the connection');
  return value;
}

/** Logs in by SCRAM. What the server refuses is returned as it said it. */
export async function rawLogin(login: RawLogin): Promise<RawConnection | ServerError> {
  const socket = await dial(login);
  const stream = messages(socket);
  const binding =
    socket instanceof tls.TLSSocket ? serverEndPoint(socket.getPeerCertificate().raw) : undefined;
  let client: ScramClient | undefined;
  socket.write(encodeStartup(login.parameters));
  for (let message = await next(stream); message.type !== 'Z'; message = await next(stream)) {
    if (message.type === 'E') {
      socket.destroy();
      return errorFields(message.body);
    }
    if (message.type !== 'R') continue;
    const request = readAuthentication(message.body);
    if (request.kind === 'sasl') {
      const options = { password: login.password, offered: request.mechanisms, channelBinding: binding };
      client = new ScramClient(login.scram?.(options) ?? options);
      socket.write(encodeSaslInitialResponse(client.mechanism, client.clientFirst()));
    } else if (request.kind === 'sasl-continue' && client) {
      socket.write(encodeSaslResponse(await client.continue(request.data)));
    } else if (request.kind === 'sasl-final') client?.finish(request.data);
  }
  return {
    mechanism: client?.mechanism ?? 'none',
    close: () => void socket.destroy(),
    async ask(message) {
      socket.write(message);
      const answers: RawMessage[] = [];
      for (let answer = await next(stream); answer.type !== 'Z'; answer = await next(stream))
        answers.push(answer);
      return answers;
    },
  };
}

/** The connection of a login that must succeed. @throws Error with the server's reason */
export async function rawConnection(login: RawLogin): Promise<RawConnection> {
  const result = await rawLogin(login);
  if ('ask' in result) return result;
  throw new Error(`login failed: ${result.code} ${result.message}`);
}
