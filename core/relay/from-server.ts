/** The stream from the server: finds message boundaries, forwards whole chunks, inspects messages that change the state. */
import { GatewayError, SQLSTATES } from '../contract/errors.ts';
import type { ChannelListener } from '../net/channel.ts';
import { errorFields, readCommandComplete } from '../wire/backend.ts';
import { BACKEND_LIMIT, Backend, HEADER_BYTES } from '../wire/frames.ts';
import { refusal } from '../wire/to-client.ts';
import {
  ASYNCHRONOUS,
  Disposition,
  ResponseAction,
  actionOf,
  isPlain,
  streamsData,
} from './requests/request-queue.ts';
import { isQuiet } from './command-tags.ts';
import { MessageBuffer } from './message-buffer.ts';
import type { OutstandingRequests } from './requests/outstanding-requests.ts';
import { Status } from './transaction-boundary.ts';
import type { ServerPosition } from './transaction-boundary.ts';

/** Bytes that are assembled of an inspected message; the fields that matter come first. */
const INSPECTED_BYTES = 65_536;
/** Longest ParameterStatus in bytes: it is kept whole, and a search_path may be long. So is the description of a prepared statement. */
const LONGEST_PARAMETER = 1_048_576;

/** The interface between the stream from the server and the relay. */
export interface FromServerHost {
  readonly outstanding: OutstandingRequests;
  /** Writes a copy of them, or of a part. */
  toClient(bytes: Buffer, from?: number, to?: number): void;
  /** The tags of CommandComplete are needed. */
  readonly readsTags: boolean;
  /** Gets the tag of each CommandComplete. */
  completed(tag: string): void;
  /** The server refused a write: it is a replica, or the client chose read-only transactions. */
  refusedWrite(): void;
  /** ParameterStatus, body only. */
  reported(body: Buffer): void;
  /** The gateway's refusal replaced the server's error, whose code tells a time-out from the refusal. */
  errorReplaced(code: string, error: GatewayError): void;
  /** The server sent a message that answers nothing. */
  broken(why: string): void;
  /** ReadyForQuery passed, an error passed, or a local answer may be due. */
  settled(): void;
  /** The server has taken all bytes that were queued for it. */
  serverDrained(): void;
  serverLost(): void;
}

const isStatus = (byte: number): boolean =>
  byte === Status.idle || byte === Status.transaction || byte === Status.failed;

/** By type byte: 1 where the body is needed. */
const NEEDS_BODY = new Uint8Array(256);
for (const type of [Backend.readyForQuery, Backend.errorResponse, Backend.parameterStatus])
  NEEDS_BODY[type] = 1;

/** One per session. Listens to the channel of its server connection. */
export class FromServer implements ChannelListener {
  readonly #host: FromServerHost;
  readonly #held = new MessageBuffer();
  /** Missing bytes of a long message's body, and whether they are hidden from the client. */
  #rest = 0;
  #hideRest = false;
  #stopped = false;
  /** A chunk is being processed: bytes in front of the current message have not been forwarded yet. */
  #processing = false;
  #replacement: { readonly code: string; readonly error: GatewayError } | undefined;

  constructor(host: FromServerHost) {
    this.#host = host;
  }

  /** The client has whole messages only: a message of the gateway may be sent to it now. */
  get atBoundary(): boolean {
    return !this.#processing && (this.#rest === 0 || this.#hideRest);
  }

  /** Observers run meanwhile: whatever they call, nothing is decided before the end of the chunk. */
  get processing(): boolean {
    return this.#processing;
  }

  /** Where the stream stands between and within messages. */
  get position(): ServerPosition {
    if (!this.atBoundary) return 'midMessage';
    return this.#rest === 0 && this.#held.length === 0 ? 'boundary' : 'partial';
  }

  stop(): void {
    this.#stopped = true;
  }

  drained(): void {
    this.#host.serverDrained();
  }

  closed(): void {
    this.#host.serverLost();
  }

  bytes(chunk: Buffer): void {
    if (this.#stopped) return;
    const data = this.#held.length === 0 ? chunk : this.#held.add(chunk);
    if (!data) return;
    this.#processing = true;
    try {
      const settled = this.#process(data);
      this.#processing = false;
      if (settled) this.#host.settled();
    } catch (error) {
      // A message that cannot be read must not end more than this session.
      this.#stopped = true;
      this.#host.broken(error instanceof GatewayError ? error.message : String(error));
    }
    this.#processing = false;
  }

  /** True when the state changed, so that pending work may go on. */
  #process(data: Buffer): boolean {
    const { outstanding } = this.#host;
    const length = data.length;
    let at = Math.min(this.#rest, length);
    this.#rest -= at;
    let from = this.#hideRest ? at : 0;
    let needed = HEADER_BYTES;
    let settled = at > 0 && this.#rest === 0;
    if (settled && outstanding.synthesizedDue) {
      this.#forward(data, from, at);
      from = at;
      this.#sendSynthesized();
    }
    while (length - at >= HEADER_BYTES) {
      const type = data[at] ?? 0;
      const word = data.readUInt32BE(at + 1);
      const end = at + 1 + word;
      let hidden = false;
      if (
        (type === Backend.dataRow || type === Backend.copyData) &&
        streamsData(outstanding.head) &&
        word >= 4
      ) {
        // The fast path: only the message boundary matters.
      } else {
        if (outstanding.synthesizedReady) {
          this.#forward(data, from, at);
          from = at;
          // The server has flushed the answers behind them.
          while (outstanding.synthesizedReady) this.#host.toClient(outstanding.takeSynthesized());
        }
        if (word < 4 || word > BACKEND_LIMIT) return this.#break(data, from, at);
        needed = this.#lookAt(type, end - at);
        if (length - at < needed) break;
        const disposition = this.#message(type, data, at, Math.min(end, length), end - at);
        if (disposition === Disposition.unexpected) return this.#break(data, from, at);
        settled = true;
        hidden = disposition === Disposition.hide || disposition === Disposition.replaceError;
        if (hidden || outstanding.synthesizedDue) {
          this.#forward(data, from, hidden ? at : Math.min(end, length));
          from = Math.min(end, length);
          if (disposition === Disposition.replaceError) this.#replaceError();
        }
        if (end <= length) this.#sendSynthesized();
        if (this.#stopped) return false;
      }
      if (end > length) {
        this.#rest = end - length;
        this.#hideRest = hidden;
        at = length;
        break;
      }
      at = end;
      needed = HEADER_BYTES;
    }
    this.#forward(data, from, at);
    if (at < length) this.#held.hold(data, at, needed);
    return settled;
  }

  /** Sends the gateway's own answers that are due; only at a message boundary. */
  #sendSynthesized(): void {
    const { outstanding } = this.#host;
    while (outstanding.synthesizedDue) this.#host.toClient(outstanding.takeSynthesized());
  }

  /** How many bytes of the message must have arrived before it can be processed. */
  #lookAt(type: number, length: number): number {
    if (type === Backend.parameterStatus || this.#isDescribed(type))
      return Math.min(length, LONGEST_PARAMETER);
    if (NEEDS_BODY[type] === 1) return Math.min(length, INSPECTED_BYTES);
    const isRead =
      type === Backend.commandComplete && (this.#host.readsTags || !isPlain(this.#host.outstanding.head));
    return isRead ? Math.min(length, INSPECTED_BYTES) : HEADER_BYTES;
  }

  #forward(data: Buffer, from: number, to: number): void {
    if (to > from) this.#host.toClient(data, from, to);
  }

  #message(type: number, data: Buffer, at: number, end: number, bytes: number): Disposition {
    const { outstanding } = this.#host;
    const from = at + HEADER_BYTES;
    this.#observe(type, data, from, end, bytes);
    if (type === Backend.readyForQuery) {
      const status = data[from] ?? 0;
      return bytes === HEADER_BYTES + 1 && isStatus(status)
        ? outstanding.reply(type, status)
        : Disposition.unexpected;
    }
    const quiet = type === Backend.commandComplete && (isQuiet(data, from) || !this.#host.readsTags);
    if (NEEDS_BODY[type] === 0 && (type !== Backend.commandComplete || quiet)) return outstanding.reply(type);
    const body = data.subarray(from, end);
    if (type === Backend.parameterStatus) this.#host.reported(body);
    if (type === Backend.commandComplete && actionOf(outstanding.head) !== ResponseAction.skip)
      this.#host.completed(readCommandComplete(body));
    if (type !== Backend.errorResponse) return outstanding.reply(type);
    const { severity, code } = errorFields(body);
    if (code === SQLSTATES.read_only_sql_transaction) this.#host.refusedWrite();
    const { disposition, observer: answered } = outstanding.error(
      severity === 'FATAL' || severity === 'PANIC',
    );
    const isOurs = disposition === Disposition.forward && answered?.replaces?.includes(code) === true;
    const replaced = disposition === Disposition.replaceError || isOurs;
    if (!replaced || !answered?.error) return disposition;
    this.#replacement = { code, error: answered.error };
    return Disposition.replaceError;
  }

  #observe(type: number, data: Buffer, from: number, end: number, bytes: number): void {
    const { outstanding } = this.#host;
    // While several possibilities exist, the request queue itself has no entries.
    const observed = isPlain(outstanding.head) ? outstanding.recovery : outstanding.headObserver;
    if (!observed?.answered || ASYNCHRONOUS.has(type)) return;
    const kept =
      type === Backend.commandComplete || type === Backend.errorResponse || this.#isDescribed(type);
    observed.answered(type, bytes, kept ? data.subarray(from, end) : undefined);
  }

  /** True for a message of whose body an observer needs all. */
  #isDescribed(type: number): boolean {
    if (type !== Backend.rowDescription && type !== Backend.parameterDescription) return false;
    return this.#host.outstanding.headObserver?.describes === true;
  }

  #replaceError(): void {
    if (!this.#replacement) return;
    const { code, error } = this.#replacement;
    this.#replacement = undefined;
    // The server refused for the same reason: no need to log it.
    if (code !== error.sqlstate) this.#host.errorReplaced(code, error);
    this.#host.toClient(refusal('ERROR', error));
  }

  #break(data: Buffer, from: number, at: number): false {
    this.#forward(data, from, at);
    this.#stopped = true;
    this.#processing = false;
    this.#host.broken(`message type ${data[at] ?? 0} answers nothing`);
    return false;
  }
}
