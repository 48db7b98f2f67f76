/** The ledger's queue: one small integer per client message that the server will answer, in a ring. */
import { Frontend } from '../wire/frames.ts';
import { GatewayError } from '../errors.ts';

/** The operation of a message that was sent; 0 is reserved for "none". */
export const Op = {
  query: 1,
  functionCall: 2,
  parse: 3,
  bind: 4,
  close: 5,
  describe: 6,
  execute: 7,
  sync: 8,
  /** CopyDone or CopyFail: gets no answer, and marks a position in the stream. */
  copyEnd: 9,
} as const;
export type Op = (typeof Op)[keyof typeof Op];

/** What happens to the answer. */
export const Kind = {
  forward: 0,
  /** A message of the gateway: its answer is hidden from the client. */
  swallow: 16,
  /** Never sent to the server: its note has the answer, which the client gets in order. */
  local: 32,
  /** Sent so that the server refuses it in order: the gateway replaces the text of its error. */
  mask: 48,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

const OP_BITS = 15;
const KIND_BITS = 48;
/** Set in an entry that has a note. */
const NOTED = 64;

/** The part of an entry that says what was sent. */
export const opOf = (entry: number): number => entry & OP_BITS;
/** Operations that belong to a batch: an error in one of them discards all up to the next Sync. */
export const isExtended = (op: number): boolean => op >= Op.parse && op <= Op.execute;
/** The part of an entry that says what happens to its answer. */
export const kindOf = (entry: number): number => entry & KIND_BITS;
/** True for entries whose answers pass unchanged and unobserved: the fast path. */
export const isPlain = (entry: number): boolean => entry <= OP_BITS;

/** True for entries whose data rows are not inspected. */
export const streamsData = (entry: number): boolean =>
  isPlain(entry) && (entry === Op.query || entry === Op.execute);

/** Callbacks and facts of an entry besides its integer; most entries have none. */
export interface Note {
  /** Kind `local`: makes the answer when it is due; `status` is the status byte at that time. */
  readonly answer?: ((status: number) => Buffer) | undefined;
  /** Kind `mask`: the error that the client reads instead. */
  readonly error?: GatewayError | undefined;
  /** Only an error with one of these SQLSTATEs is replaced by `error`. */
  readonly replaces?: readonly string[] | undefined;
  /** Whatever its tag says, its effect ends with its transaction. */
  readonly harmless?: boolean | undefined;
  /** Kind `swallow`: an error is sent to the client all the same. */
  readonly showsError?: boolean | undefined;
  /** A Parse that prepares a statement under a name of the client. */
  readonly names?: true | undefined;
  /** The server, or the gateway, answered it without an error. */
  closed?(): void;
  /** The server discarded or refused it. */
  dropped?(): void;
  /** It is not known whether the server carries it out; default: as `dropped`. */
  lost?(): void;
  /** Gets each answer: its type byte, the length of the whole message, and its body where that was kept. */
  answered?(type: number, bytes: number, body: Buffer | undefined): void;
  /** Gets the length of each CopyData message of the client for it. */
  received?(bytes: number): void;
}

/** Reports to the note that the outcome of its message is not known. */
export function lose(note: Note | undefined): void {
  if (note?.lost) note.lost();
  else note?.dropped?.();
}

/** By type byte of a client's message: its {@link Op}, 0 where it gets no entry. */
export const OP_OF: Uint8Array = (() => {
  const table = new Uint8Array(256);
  table[Frontend.query] = Op.query;
  table[Frontend.functionCall] = Op.functionCall;
  table[Frontend.parse] = Op.parse;
  table[Frontend.bind] = Op.bind;
  table[Frontend.close] = Op.close;
  table[Frontend.describe] = Op.describe;
  table[Frontend.execute] = Op.execute;
  table[Frontend.sync] = Op.sync;
  table[Frontend.copyDone] = Op.copyEnd;
  table[Frontend.copyFail] = Op.copyEnd;
  return table;
})();

/** Unanswered messages at once. Only Syncs within COPY and stray ends of COPY can be so many, and cost a byte each. */
const MOST_ENTRIES = 2 ** 24;
/** The gateway's own answers that are not due yet: nothing else limits them, as they never go to the server. */
const MOST_LOCAL = 10_000;

/** First in, first out; grows by doubling, never shrinks. */
export class Entries {
  #ring = new Uint8Array(32);
  #first = 0;
  #next = 0;
  #notes: Map<number, Note> | undefined;
  #local = 0;
  /** The position up to which the client has asked for answers. */
  #due = 0;

  get length(): number {
    return this.#next - this.#first;
  }

  /** The oldest entry, 0 if there is none. */
  get head(): number {
    return this.#first === this.#next ? 0 : this.at(0);
  }

  get headNote(): Note | undefined {
    return (this.head & NOTED) === 0 ? undefined : this.#notes?.get(this.#first);
  }

  /** The entry `index` places behind the oldest. */
  at(index: number): number {
    return this.#ring[(this.#first + index) & (this.#ring.length - 1)] ?? 0;
  }

  /** The note of the entry `index` places behind the oldest. */
  noteAt(index: number): Note | undefined {
    return this.#notes?.get(this.#first + index);
  }

  /** Some are never sent to the server. */
  get hasLocal(): boolean {
    return this.#local > 0;
  }

  /** True if one of the operations was sent to the server, not counting the oldest `from`; `ops` has the bit `1 << op` of each. */
  has(ops: number, from = 0): boolean {
    for (let i = from; i < this.length; i += 1) {
      const entry = this.at(i);
      if (kindOf(entry) !== Kind.local && ((ops >> opOf(entry)) & 1) === 1) return true;
    }
    return false;
  }

  /** The client waits for the answers to all its messages. */
  flush(): void {
    this.#due = this.#next;
  }
  /** The client waits for the answer to the oldest. */
  get due(): boolean {
    return this.#first < this.#due;
  }

  /** How many Syncs stand between the oldest entry and what follows them. */
  get syncsAhead(): number {
    let count = 0;
    while (opOf(this.at(1 + count)) === Op.sync && 1 + count < this.length) count += 1;
    return count;
  }

  /** @throws GatewayError `program_limit_exceeded` for too many at once */
  push(op: number, kind: number, note: Note | undefined): void {
    if (kind === Kind.local) {
      if (this.#local === MOST_LOCAL) throw tooMany();
      this.#local += 1;
    }
    if (this.length === this.#ring.length) this.#grow();
    if (note) (this.#notes ??= new Map()).set(this.#next, note);
    this.#ring[this.#next & (this.#ring.length - 1)] = op | kind | (note ? NOTED : 0);
    this.#next += 1;
  }

  /** Removes the oldest entry and gives its note. */
  shift(): Note | undefined {
    const noted = (this.at(0) & NOTED) !== 0;
    const at = this.#first;
    if (noted && kindOf(this.at(0)) === Kind.local) this.#local -= 1;
    this.#first += 1;
    if (!noted) return undefined;
    const note = this.#notes?.get(at);
    this.#notes?.delete(at);
    return note;
  }

  /** Removes `count` entries right behind the oldest: Syncs that a COPY consumed. */
  removeBehindHead(count: number): void {
    if (count === 0) return;
    for (let i = 1; i <= count; i += 1) if ((this.at(i) & NOTED) !== 0) this.#swallowed(this.#first + i);
    const head = this.at(0);
    const note = this.#notes?.get(this.#first);
    this.#notes?.delete(this.#first);
    this.#first += count;
    this.#ring[this.#first & (this.#ring.length - 1)] = head;
    if (note) this.#notes?.set(this.#first, note);
  }

  #swallowed(at: number): void {
    this.#notes?.get(at)?.dropped?.();
    this.#notes?.delete(at);
  }

  #grow(): void {
    if (this.#ring.length === MOST_ENTRIES) throw tooMany();
    const larger = new Uint8Array(this.#ring.length * 2);
    for (let i = this.#first; i < this.#next; i += 1) {
      larger[i & (larger.length - 1)] = this.#ring[i & (this.#ring.length - 1)] ?? 0;
    }
    this.#ring = larger;
  }
}

function tooMany(): GatewayError {
  return new GatewayError('program_limit_exceeded', 'too many messages wait for their answers');
}
