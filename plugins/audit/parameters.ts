/** The parameters of statements under way: seen in Bind, written down with the Execute that uses them. */
import { withoutTokens } from '../../core/index.ts';
import type { Row, Session, Statement } from '../../core/index.ts';

/** Longest value written down, in bytes. */
const LONGEST = 1_024;

const decoder = new TextDecoder('utf-8', { fatal: true });

/** Text as text, anything else as `\x…`; null is SQL NULL. */
function shown(value: Row[number]): string | null {
  if (value === null) return null;
  const start = value.length > LONGEST ? value.subarray(0, LONGEST) : value;
  const rest = value.length > LONGEST ? '…' : '';
  try {
    const text = decoder.decode(start);
    if (!text.includes('\0')) return `${withoutTokens(text)}${rest}`;
  } catch {
    // It is in binary form.
  }
  return `\\x${Buffer.from(start).toString('hex')}${rest}`;
}

/** Longest list written down, in bytes; what comes behind it is one `…`. */
const LONGEST_LIST = 65_536;

function listOf(row: Row): Values {
  let bytes = 0;
  const fits = row.findIndex((value) => (bytes += value?.length ?? 4) > LONGEST_LIST);
  return fits < 0 ? row.map(shown) : [...row.slice(0, fits).map(shown), '…'];
}

type Values = readonly (string | null)[];

class Portals {
  readonly #bound = new Map<string, Values>();
  readonly #executed = new Map<number, Values>();

  see(statement: Statement): void {
    if (statement.kind === 'bind') {
      this.#bound.delete(statement.portal);
      this.#bound.set(statement.portal, listOf(statement.parameters));
      keepNewest(this.#bound);
    }
    if (statement.kind !== 'execute') return;
    const values = this.#bound.get(statement.portal);
    if (values && values.length > 0) this.#executed.set(statement.id, values);
    keepNewest(this.#executed);
  }

  take(id: number): Values | undefined {
    const values = this.#executed.get(id);
    // Those of messages that the server has skipped are never asked for.
    for (const earlier of this.#executed.keys()) if (earlier <= id) this.#executed.delete(earlier);
    return values;
  }
}

/** Names that a client may use at once, and messages that may be under way. */
const MOST = 10_000;

function keepNewest(map: Map<unknown, unknown>): void {
  if (map.size <= MOST) return;
  const [oldest] = map.keys();
  map.delete(oldest);
}

/** One per plugin. */
export class Parameters {
  readonly #sessions = new WeakMap<Session, Portals>();

  /** Looks at a Bind or an Execute that is about to be sent. */
  see(session: Session, statement: Statement): void {
    const portals = this.#sessions.get(session) ?? new Portals();
    this.#sessions.set(session, portals);
    portals.see(statement);
  }

  /** Those of an Execute, once; undefined where there are none. */
  take(session: Session, id: number): Values | undefined {
    return this.#sessions.get(session)?.take(id);
  }
}
