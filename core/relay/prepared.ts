/** The SQL behind each prepared statement and portal; stored only where a plugin reads statements. */
import { GatewayError } from '../errors.ts';

/** Undoes a change, because the server discarded the message that made it. */
export type Undo = () => void;

/** The SQL of a statement, as far as the gateway has it. */
export interface Text {
  readonly sql: string;
  /** It is the beginning of a longer one. */
  readonly cut: boolean;
}

/** The gateway did not see the text: PREPARE in SQL, or a cursor. */
const UNSEEN: Text = { sql: '', cut: false };

/** Names in use at once, by one session. */
const MOST_NAMES = 10_000;

class Names {
  readonly #texts = new Map<string, Text>();

  get(name: string): Text | undefined {
    return this.#texts.get(name);
  }

  change(name: string, text: Text | undefined): Undo {
    const before = this.#texts.get(name);
    if (text !== undefined && before === undefined && this.#texts.size >= MOST_NAMES) {
      throw new GatewayError(
        'program_limit_exceeded',
        `more than ${MOST_NAMES} prepared statements or portals`,
      );
    }
    this.#put(name, text);
    return () => {
      // Not if it has been changed again since, behind the Sync that ended the error.
      if (this.#texts.get(name) === text) this.#put(name, before);
    };
  }

  clear(): void {
    this.#texts.clear();
  }

  #put(name: string, text: Text | undefined): void {
    if (text === undefined) this.#texts.delete(name);
    else this.#texts.set(name, text);
  }
}

/** Updated by Parse, Bind and Close when they are sent; the entry of a message that the server discards undoes its change. */
export class Prepared {
  readonly #statements = new Names();
  readonly #portals = new Names();

  /** Empty when the gateway did not see it: PREPARE in SQL, or a cursor. */
  ofStatement(name: string): Text {
    return this.#statements.get(name) ?? UNSEEN;
  }
  ofPortal(name: string): Text {
    return this.#portals.get(name) ?? UNSEEN;
  }

  /** True when the server may still have an unnamed statement, which any Query and any unnamed Parse would drop. */
  get unnamed(): boolean {
    return this.#statements.get('') !== undefined;
  }

  parse(name: string, text: Text): Undo {
    return this.#statements.change(name, text);
  }
  bind(portal: string, statement: string): Undo {
    return this.#portals.change(portal, this.ofStatement(statement));
  }
  close(kind: 'S' | 'P', name: string): Undo {
    return (kind === 'S' ? this.#statements : this.#portals).change(name, undefined);
  }

  /** Portals die with their transaction. */
  transactionEnded(): void {
    this.#portals.clear();
  }
}
