/** What a plugin speaks over with a client whose database it answers itself. */
import { ClientGone } from '../client/reader.ts';
import { asGatewayError, describe } from '../client/refuse.ts';
import type { AnsweredConnection, ClientMessage } from '../contract/answered-database.ts';
import { GatewayError } from '../contract/errors.ts';
import type { SessionState } from '../contract/session.ts';
import { FRONTEND_LIMIT, Frontend, HEADER_BYTES, frontendViolation } from '../wire/frames.ts';
import { noticeResponse, refusal } from '../wire/to-client.ts';
import type { CancelKey } from './cancel-keys.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { SessionContext } from './session-context.ts';
import { tellLogin } from './session-log.ts';
import { loginResponse } from './session-start.ts';
import { Usage } from './usage.ts';

/** The longest message, in bytes. */
const LONGEST_MESSAGE = 65_536;

/** One per session. */
export class Conversation implements AnsweredConnection {
  readonly #of: SessionContext;
  readonly #context: GatewayContext;
  readonly #usage: Usage;
  #key: CancelKey | undefined;
  /** Writes that wait until the client takes more. */
  #waiting: (() => void)[] = [];

  constructor(of: SessionContext, context: GatewayContext) {
    this.#of = of;
    this.#context = context;
    const { session, reader } = of;
    const name = session.startup.database;
    this.#usage = context.statistics.enter(new Usage(session, name, name, reader.channel));
    reader.channel.listen({
      bytes: (chunk) => reader.bytes(chunk),
      drained: () => this.#goOn(),
      closed: (error) => {
        reader.closed(error);
        this.#goOn();
      },
    });
  }

  /** Whether the login has ended. */
  get opened(): boolean {
    return this.#key !== undefined;
  }

  open(parameters: ReadonlyMap<string, string>, cancel: () => void): number {
    if (this.#key) throw new Error('the connection is open already');
    const { session, reader, minor, hooks } = this.#of;
    const { channel } = reader;
    this.#usage.parameters = parameters;
    const key = this.#context.cancelKeys.issue(minor, {
      cancel: () => {
        try {
          cancel();
        } catch (thrown) {
          session.log.error({ error: describe(thrown) }, 'a cancel failed');
        }
        return Promise.resolve();
      },
    });
    this.#key = key;
    channel.cutOffWhenStalled();
    channel.write(loginResponse(parameters, key));
    session.attach({
      end: (error) => this.end(error),
      drain: (error) => this.end(error),
      refresh() {},
      notice: (message, hint) =>
        void channel.write(noticeResponse({ severity: 'NOTICE', code: '00000', message, hint })),
    });
    session.changed('idle');
    tellLogin(session, hooks);
    return key.processId;
  }

  async read(): Promise<ClientMessage | undefined> {
    const { reader } = this.#of;
    const head = await reader.exactly(HEADER_BYTES);
    const [type, word] = [head.readUInt8(0), head.readUInt32BE(1)];
    if (word < 4 || word > (FRONTEND_LIMIT[type] ?? 0)) throw frontendViolation(type, word);
    if (word > LONGEST_MESSAGE) throw new GatewayError('protocol_violation', 'the message is too long');
    const body = await reader.exactly(word - 4);
    return type === Frontend.terminate ? undefined : { type, body };
  }

  async write(bytes: Uint8Array): Promise<void> {
    const { session, reader } = this.#of;
    const { channel } = reader;
    // A session that has been told to end says no more.
    if (session.reason) throw new ClientGone('the session is over');
    if (bytes.length === 0 || channel.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)))
      return;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      if (channel.closed || channel.queued === 0) this.#goOn();
    });
  }

  #goOn(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  changed(state: Exclude<SessionState, 'starting'>): void {
    const { session } = this.#of;
    session.changed(state);
    this.#usage.changed(state, session.changedAt);
    if (state !== 'active') this.#usage.counters.ready(state === 'idle');
  }

  errorOf(thrown: unknown): GatewayError {
    return asGatewayError(thrown, this.#of.session.log);
  }

  /** The session is over with `error`, which the client is told. */
  end(error: GatewayError): void {
    const { session, reader } = this.#of;
    session.conclude({ kind: this.#context.draining ? 'drained' : 'ended', error });
    reader.channel.finish(refusal('FATAL', error));
  }

  /** Nothing cancels any more. */
  close(): void {
    if (this.#key) this.#context.cancelKeys.revoke(this.#key);
  }
}
