/**
 * The stream from the client: splits it at message boundaries, forwards whole chunks, stops at messages that need a
 * decision.
 */
import type { Channel, ChannelListener } from '../net/channel.ts';
import type { GatewayError } from '../contract/errors.ts';
import { FLUSH } from '../wire/to-server.ts';
import { FRONTEND_LIMIT, Frontend, HEADER_BYTES, frontendViolation, lastType } from '../wire/frames.ts';
import type { QueryHook } from './statements/query-hook.ts';
import type { OutstandingRequests } from './requests/outstanding-requests.ts';
import type { PreparedStatements } from './prepared/prepared-statements.ts';
import type { Meaning, UnlinkedMessages } from './unlinked-messages.ts';
import { OP_OF, isPlain } from './requests/request-queue.ts';
import { DROP, PASS, STOP, Streamed } from './message-action.ts';
import type { MessageAction, Step } from './message-action.ts';
import { MessageBuffer } from './message-buffer.ts';
import { renameBind } from './prepared/statement-names.ts';
import { PendingWrite } from './pending-write.ts';
import { UNCHANGED } from './prepared/plain-messages.ts';
import type { ClientPosition } from './transaction-boundary.ts';

/** Reasons, as bits. */
export const PauseReason = {
  /** The server connection's send buffer is full. */
  full: 1,
  /** A message waits, and enough bytes are held behind it. */
  held: 2,
  /** The probe of an uncertain COPY is under way. */
  probe: 4,
  /** The client does not read the gateway's own answers. */
  unread: 8,
} as const;

/** The reasons for not reading from a client: reading goes on when no reason is left. One per session. */
export class ClientPauses {
  readonly #client: Channel;
  #reasons = 0;

  constructor(client: Channel) {
    this.#client = client;
  }

  has(reason: number): boolean {
    return (this.#reasons & reason) !== 0;
  }

  /** Bytes for the server are still queued. */
  get full(): boolean {
    return this.has(PauseReason.full);
  }

  add(reason: number): void {
    this.#reasons |= reason;
    this.#client.halt();
  }

  /** Removes a reason; `over`: the client is not read again in any case. */
  remove(reason: number, over: boolean): void {
    if (this.#reasons === 0) return;
    this.#reasons &= ~reason;
    if (this.#reasons === 0 && !over) this.#client.resume();
  }
}

/** Implemented by the relay, called by the stream. */
export interface FromClientHost {
  readonly outstanding: OutstandingRequests;
  readonly queryHook: QueryHook;
  /** Present where server connections change between transactions. */
  readonly prepared: PreparedStatements | undefined;
  /** Writes a copy of them, or of a part. */
  toServer(bytes: Buffer, from?: number, to?: number): void;
  /** A message with a statement is about to be sent; `frame` is its beginning. */
  sends(type: number, frame: Buffer): void;
  /** True: a decision is awaited and enough bytes are held, so that reading has to stop. False: reading may go on. */
  held(waiting: boolean): void;
  /** The client sent Terminate. */
  terminated(): void;
  /** The client broke the protocol: FATAL after all outstanding answers. */
  violated(error: GatewayError): void;
  /** A defect or a limit of the gateway: FATAL at once. */
  failed(error: unknown): void;
  /** The next message for the server has to wait for a connection, or for settings on it. */
  unlinked(): boolean;
  /** Decides about messages while that is so. */
  readonly unlinkedMessages: UnlinkedMessages;
  /** A chunk has been processed: answers of the gateway may be due. */
  settled(): void;
  /** The client has taken all bytes that were queued for it. */
  clientDrained(): void;
  clientLost(): void;
  /** The client sends nothing more. True: it waits for answers. */
  clientHalfClosed(): boolean;
}

/** A message is forwarded when it is whole or has so many bytes: a slow client then occupies no server connection. */
const HOLD_BYTES = 65_536;

/**
 * The stream from the client: finds message boundaries, forwards whole chunks, stops at messages that need a decision.
 * One per session. Listens to the client's channel.
 */
export class FromClient implements ChannelListener {
  readonly #host: FromClientHost;
  readonly #held = new MessageBuffer();
  /** Each write costs the server a read. */
  readonly #pending = new PendingWrite();
  /** Missing bytes of a long message's body, and whether they are dropped. */
  #rest = 0;
  #dropRest = false;
  #stopped = false;
  #terminated = false;
  #waiting = false;
  #processing = false;
  /** Where the message ends that is decided about; only then. */
  #data: Buffer | undefined;
  #dataAt = 0;
  /** The message that is decided about has not arrived whole. */
  #isPart = false;

  constructor(host: FromClientHost) {
    this.#host = host;
  }

  /** Where the stream stands between and within messages. */
  get position(): ClientPosition {
    if (this.#rest > 0 && !this.#dropRest) return 'midMessage';
    if (this.#waiting || this.#processing) return 'deciding';
    return this.#rest === 0 && this.#held.length === 0 ? 'boundary' : 'partial';
  }
  /** A message waits for a hook, for answers, or for a server connection. */
  get waiting(): boolean {
    return this.#waiting;
  }
  /** The client sent Terminate, which may still stand behind a message that waits. */
  get terminating(): boolean {
    if (!this.#waiting) return this.#terminated;
    const { bytes } = this.#held;
    return bytes !== undefined && lastType(bytes) === Frontend.terminate;
  }

  /** The received bytes behind the message that is decided about, once that is whole; they may change with the next read. */
  get behind(): Buffer | undefined {
    if (this.#isPart) return undefined;
    return this.#waiting ? this.#held.bytes : this.#data?.subarray(this.#dataAt);
  }

  /** No message of the client is sent to the server any more. */
  stop(): void {
    this.#stopped = true;
  }

  drained(): void {
    this.#host.clientDrained();
  }

  inputEnded(): boolean {
    return this.#host.clientHalfClosed();
  }

  closed(): void {
    this.#host.clientLost();
  }

  bytes(chunk: Buffer): void {
    if (this.#stopped) return;
    const fresh = this.#held.length === 0 && !this.#waiting;
    const data = fresh ? chunk : this.#held.add(chunk);
    if (data) this.#processSafely(data);
    // Reading goes on meanwhile, so that a closed connection is noticed.
    else if (this.#waiting && this.#held.length >= HOLD_BYTES) this.#host.held(true);
  }

  /** A defect of the gateway must not end more than this session. */
  #processSafely(data: Buffer): void {
    this.#processing = true;
    try {
      this.#process(data);
      this.#pending.flush(this.#host);
    } catch (error) {
      this.#pending.flush(this.#host);
      this.stop();
      this.#host.failed(error);
    }
    this.#processing = false;
    this.#host.settled();
  }

  #process(data: Buffer): void {
    const { outstanding } = this.#host;
    const length = data.length;
    let at = Math.min(this.#rest, length);
    this.#rest -= at;
    let from = this.#dropRest ? at : 0;
    let needed = HEADER_BYTES;
    while (length - at >= HEADER_BYTES) {
      const type = data[at] ?? 0;
      const word = data.readUInt32BE(at + 1);
      const end = at + 1 + word;
      if (word < 4 || word > (FRONTEND_LIMIT[type] ?? 0)) {
        this.#pending.add(data, from, at);
        this.#violation(type, word);
        return;
      }
      const meaning = this.#host.unlinked() ? this.#unlinked(type, data, at, end) : 'go';
      if (typeof meaning === 'number') {
        needed = meaning;
        break;
      }
      if (meaning === 'wait') {
        this.#pending.add(data, from, at);
        this.#waiting = true;
        this.#held.hold(data, at, Infinity);
        return;
      }
      let dropped = false;
      const step = meaning === 'drop' ? DROP : this.#step(type, data, at, end);
      if (step) {
        if (step.next === 'hold') {
          needed = step.bytes;
          break;
        }
        // A hook may have ended the session.
        if (this.#stopped && step.next !== 'stop') return this.#pending.clear();
        if (step.next !== 'pass') {
          this.#pending.add(data, from, at);
          from = Math.min(end, length);
          if (step.next === 'stop') return;
          if (step.next === 'rename') renameBind(this.#pending, data, at, end, step.own);
          if (step.next === 'replace' && !this.#replace(step, data, end)) return;
          dropped = step.next === 'drop' || (step.next === 'replace' && !(step.by instanceof Streamed));
        }
      } else if (end > length && type !== Frontend.copyData && length - at < HOLD_BYTES) {
        needed = Math.min(end - at, HOLD_BYTES);
        break;
      } else {
        const op = OP_OF[type] ?? 0;
        if (op !== 0) outstanding.sent(op);
        else if (type === Frontend.flush) outstanding.flush();
        else if (!isPlain(outstanding.head)) outstanding.headObserver?.received?.(word + 1);
      }
      if (end > length) {
        this.#rest = end - length;
        this.#dropRest = dropped;
        at = length;
        break;
      }
      at = end;
    }
    this.#pending.add(data, from, at);
    if (at < length) this.#held.hold(data, at, needed);
  }

  /** Undefined for a message that only needs an entry in the queue, once it is whole. */
  #step(type: number, data: Buffer, at: number, end: number): Step | undefined {
    const { queryHook, prepared } = this.#host;
    const { wants, namesOnly, observesOnly, decides, readsNoQuery } = queryHook.messageMask;
    const inPlace = observesOnly || decides;
    if (wants[type] === 0) return undefined;
    if (
      (namesOnly || decides) &&
      prepared?.plain.isAboutPortal(type, data, at, inPlace) &&
      !this.#host.unlinked()
    )
      return undefined;
    if (inPlace && end <= data.length) {
      const own = queryHook.inChunk(type, data, at, end);
      if (own !== undefined) return underName(own);
    }
    if (type === Frontend.terminate) {
      this.#stopped = this.#terminated = true;
      // Forwarded bytes first: statements in front of a Terminate are completed.
      queueMicrotask(() => this.#host.terminated());
      return STOP;
    }
    if (queryHook.discarding) {
      if (type === Frontend.sync) queryHook.endDiscard();
      return DROP;
    }
    const there = Math.min(end, data.length) - at;
    const bytes = Math.min(end - at, HOLD_BYTES);
    if (there < bytes) return { next: 'hold', bytes };
    const whole = at + there === end;
    if (type === Frontend.query && whole && readsNoQuery && prepared?.plain.query(data, at, end)) return PASS;
    const own =
      whole && namesOnly && !observesOnly ? prepared?.plain.nameFor(type, data, at, end) : undefined;
    if (own !== undefined) return underName(own);
    const seen = partOf(data, at, at + there);
    if (!queryHook.concerns(type, seen)) {
      this.#host.sends(type, seen);
      this.#host.outstanding.sent(OP_OF[type] ?? 0);
      return PASS;
    }
    if (queryHook.needsWhole(type, seen, end - at)) {
      if (queryHook.exceeds(type, seen, end - at))
        return { next: 'replace', by: queryHook.tooLong(type, seen) };
      if (!whole) return { next: 'hold', bytes: end - at };
    }
    const frame = Buffer.from(seen);
    this.#data = data;
    this.#dataAt = at + there;
    this.#isPart = !whole;
    const by = queryHook.message(type, frame);
    this.#data = undefined;
    return by === frame ? PASS : { next: 'replace', by, frame };
  }

  /** False when processing stops here: the decision is awaited, or the relay has ended. */
  #replace({ by, frame }: Extract<Step, { next: 'replace' }>, data: Buffer, end: number): boolean {
    if (!(by instanceof Promise)) {
      this.#send(by);
      return !this.#stopped;
    }
    this.#waiting = true;
    this.#held.hold(data, end, Infinity);
    const rest = Math.max(0, end - data.length);
    by.then((bytes) => {
      this.#rest = rest;
      this.#dropRest = bytes !== frame && !(bytes instanceof Streamed);
      this.#decided(bytes);
    }).catch((error: unknown) => {
      this.#waiting = false;
      this.stop();
      this.#host.failed(error);
      this.#host.settled();
    });
    return false;
  }

  #send(action: MessageAction): void {
    const bytes = action instanceof Streamed ? action.head : action;
    if (bytes) this.#pending.add(bytes, 0, bytes.length);
  }

  #unlinked(type: number, data: Buffer, at: number, end: number): Meaning {
    // The gateway itself may write to the server next.
    this.#pending.flush(this.#host);
    const there = partOf(data, at, Math.min(end, data.length));
    return this.#host.unlinkedMessages.meaning(type, there, end - at, HOLD_BYTES, data, at);
  }

  /** The wait of a message for a server connection is over; `error`: no connection was granted. */
  resumed(error: GatewayError | undefined): void {
    if (!this.#host.unlinkedMessages.resumed(error)) this.#decided(undefined);
  }

  #decided(bytes: MessageAction): void {
    this.#waiting = false;
    if (this.#stopped) return;
    this.#send(bytes);
    const rest = this.#held.take();
    if (!rest) this.#pending.flush(this.#host);
    if (rest) this.#processSafely(rest);
    else this.#host.settled();
    if (!this.#waiting) this.#host.held(false);
  }

  #violation(type: number, word: number): void {
    this.#stopped = true;
    // Answers to a batch without its Sync would stay in the server's buffer.
    if (!this.#host.outstanding.answered) this.#pending.add(FLUSH, 0, FLUSH.length);
    this.#pending.flush(this.#host);
    this.#host.violated(frontendViolation(type, word));
  }
}

/** The message is sent as it is, or as a Bind of the statement with this name of the gateway. */
const underName = (own: string): Step => (own === UNCHANGED ? PASS : { next: 'rename', own });

/** A view of a part; of all of it no view is made. */
function partOf(data: Buffer, from: number, to: number): Buffer {
  return from === 0 && to === data.length ? data : data.subarray(from, to);
}
