/** The prepared statements of one session by the client's names, within bounds. */
import { GatewayError } from '../errors.ts';
import type { Statement } from './statement-key.ts';

/** Most names at once, and bytes of all their texts: the gateway's memory is shared by all sessions. */
const MOST_NAMES = 10_000;
const MOST_BYTES = 33_554_432;

/** Stands for a statement that is prepared under the client's own name, as it is too long to be stored: the connection stays with the session. */
export const FOREIGN: Statement = {
  key: '',
  alone: '',
  body: Buffer.alloc(0),
  settings: '',
  path: undefined,
  discards: false,
  leavesSettings: true,
};

/** Shared by the sessions that have prepared nothing: never written to. */
const NONE = new Map<string, Statement>();

/** A name, and what it stands for. */
interface Found {
  readonly name: string;
  readonly statement: Statement;
}

/** Compares without making another text. */
function isText(text: string, data: Buffer, from: number, to: number): boolean {
  if (text.length !== to - from) return false;
  for (let i = 0; i < text.length; i += 1) if (text.charCodeAt(i) !== data[from + i]) return false;
  return true;
}

/** One per session. Names are bytes, each as the character with its number. */
export class SessionStatements {
  #byName = NONE;
  #bytes = 0;
  /** Only while the name stands for it. */
  #last: Found | undefined;

  get(name: string): Statement | undefined {
    return this.#byName.get(name);
  }
  /** The statement whose name is in `data` from `from` to `to`; mostly that of the last time. */
  find(data: Buffer, from: number, to: number): Found | undefined {
    const last = this.#last;
    if (last && isText(last.name, data, from, to)) return last;
    const name = data.toString('latin1', from, to);
    const statement = this.#byName.get(name);
    this.#last = statement && { name, statement };
    return this.#last;
  }
  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /** Takes a name that is free. @throws GatewayError `program_limit_exceeded` */
  add(name: string, statement: Statement): void {
    if (this.#byName.size >= MOST_NAMES || this.#bytes + statement.body.length > MOST_BYTES) {
      throw new GatewayError('program_limit_exceeded', 'too many prepared statements in one session', {
        hint: `A session may have ${MOST_NAMES}, with ${MOST_BYTES} bytes of text in all.`,
      });
    }
    this.restore(name, statement);
  }

  /** Restores a removed name, unless it has another statement by now. */
  restore(name: string, statement: Statement): void {
    if (this.#byName.has(name)) return;
    if (this.#byName === NONE) this.#byName = new Map();
    this.#byName.set(name, statement);
    this.#bytes += statement.body.length;
  }

  /** Frees a name; with `only` not if it stands for another statement by now. */
  remove(name: string, only?: Statement): void {
    const statement = this.#byName.get(name);
    if (!statement || (only && statement !== only)) return;
    this.#byName.delete(name);
    this.#last = undefined;
    this.#bytes -= statement.body.length;
  }

  clear(): void {
    this.#byName = NONE;
    this.#last = undefined;
    this.#bytes = 0;
  }
}
