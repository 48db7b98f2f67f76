/** Transaction mode without a gateway: a token is verified, messages come whole, and a connection is free when the server says idle. */
import { createHash } from 'node:crypto';
import type { Server } from 'node:net';
import { createLocalJWKSet, jwtVerify } from 'jose';
import type { JSONWebKeySet } from 'jose';
import type { Channel } from '../../../core/net/channel.ts';
import { listenShared } from '../../../core/net/shared-read.ts';
import { Conversation } from '../../../core/upstream/conversation.ts';
import { dial } from '../../../core/upstream/dial.ts';
import { login } from '../../../core/upstream/login.ts';
import {
  AUTHENTICATION_CLEARTEXT_PASSWORD,
  AUTHENTICATION_OK,
  backendKeyData,
  parameterStatus,
  readyForQuery,
} from '../../../core/wire/to-client.ts';
import type { FloorOptions } from './floor.ts';

const IDLE = readyForQuery('I');
const HEADER_BYTES = 5;
const TERMINATE = 0x58;

async function connect({ host, port, user, password, database }: FloorOptions['server']) {
  const { signal } = new AbortController();
  const { channel } = await dial({ host, port, login: { kind: 'password', passwords: {} } }, signal);
  const talk = new Conversation(channel, signal);
  const startup = [
    ['user', user],
    ['database', database],
  ] as const;
  await login(talk, {
    startup,
    credentials: { kind: 'password', user, password },
    peer: { proven: true },
  });
  talk.end();
  return { channel, parameters: [...talk.parameters] };
}

/** The server connections, and the clients that wait for one. */
class Pool {
  readonly #idle: Channel[];
  readonly #waiting: Client[] = [];

  constructor(servers: readonly Channel[]) {
    this.#idle = [...servers];
  }

  take(client: Client): Channel | undefined {
    const server = this.#idle.pop();
    if (!server) this.#waiting.push(client);
    return server;
  }

  give(server: Channel): void {
    const next = this.#waiting.shift();
    if (next) next.granted(server);
    else this.#idle.push(server);
  }
}

/** One that has logged in. */
class Client {
  readonly #channel: Channel;
  readonly #pool: Pool;
  #server: Channel | undefined;
  #held: Buffer | undefined;

  constructor(channel: Channel, pool: Pool) {
    this.#channel = channel;
    this.#pool = pool;
  }

  bytes(chunk: Buffer): void {
    if (chunk[0] === TERMINATE) return this.#channel.close();
    const server = this.#server ?? this.#pool.take(this);
    if (!server) this.#held = Buffer.from(chunk);
    else if (server === this.#server) server.writeCopy(chunk, 0, chunk.length);
    else this.#use(server, chunk);
  }

  drained(): void {}
  closed(): void {}

  granted(server: Channel): void {
    if (this.#held) this.#use(server, this.#held);
    this.#held = undefined;
  }

  #use(server: Channel, first: Buffer): void {
    this.#server = server;
    server.listen({ bytes: (chunk) => this.#answered(server, chunk), drained() {}, closed() {} });
    server.resume();
    server.writeCopy(first, 0, first.length);
  }

  #answered(server: Channel, chunk: Buffer): void {
    this.#channel.writeCopy(chunk, 0, chunk.length);
    if (!chunk.subarray(-IDLE.length).equals(IDLE)) return;
    server.pause();
    this.#server = undefined;
    this.#pool.give(server);
  }
}

/** Verifies a token once; then its hash is known. */
function verifier(jwks: FloorOptions['jwks']): (token: Buffer) => true | Promise<true> {
  const keys = createLocalJWKSet(jwks as JSONWebKeySet);
  const known = new Set<string>();
  return (token) => {
    const hash = createHash('sha256').update(token).digest('base64');
    if (known.has(hash)) return true;
    return jwtVerify(token.toString('latin1'), keys).then(() => {
      known.add(hash);
      return true as const;
    });
  };
}

/** Listens on a free port of loopback once all server connections are open. */
export async function pool({ server, size, jwks }: FloorOptions): Promise<Server> {
  const made = await Promise.all(Array.from({ length: size }, () => connect(server)));
  const connections = new Pool(made.map(({ channel }) => channel));
  const parameters = made[0]?.parameters ?? [];
  const welcome = Buffer.concat([
    AUTHENTICATION_OK,
    ...parameters.map(([name, value]) => parameterStatus(name, value)),
    backendKeyData(1, Buffer.alloc(4)),
    IDLE,
  ]);
  const verify = verifier(jwks);
  return listenShared({ host: '127.0.0.1', port: 0 }, (channel) => {
    const client = new Client(channel, connections);
    const accept = (): void => {
      channel.listen(client);
      channel.write(welcome);
    };
    let asked = false;
    channel.listen({
      bytes(chunk) {
        // The startup packet, then the password.
        if (!asked) {
          asked = true;
          channel.write(AUTHENTICATION_CLEARTEXT_PASSWORD);
          return;
        }
        const verified = verify(chunk.subarray(HEADER_BYTES, -1));
        if (verified === true) accept();
        else void verified.then(accept);
      },
      drained() {},
      closed() {},
    });
    channel.resume();
  });
}
