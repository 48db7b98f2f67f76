/** The texts of an instance in the store: JSON, sealed. What cannot be read is of another secret or another release, and is passed over. */
import type { FleetInstance } from '../contract/fleet.ts';
import type { BoardEntry } from '../workers/messages.ts';
import type { FleetSecret } from './fleet-secret.ts';
import type { StoredChange, StoredEntry } from './store.ts';

/** What an instance tells of itself. */
export type InstanceText = Omit<FleetInstance, 'id'>;

/** A change with what settles which of two is later, where the store has lost changes. */
export interface DatedChange {
  /** Without a value it is a drop. */
  readonly entry: BoardEntry;
  /** By the clock of the instance that made it, in milliseconds since the epoch. */
  readonly at: number;
}

/** A change that was read, and its tag: equal for equal values of one id; undefined for a drop. */
export interface ReadChange extends DatedChange {
  readonly tag: string | undefined;
}

interface SealedChange {
  readonly board: string;
  readonly id: string;
  readonly value?: unknown;
  readonly until?: number;
  readonly at: number;
}

/** One per member. */
export class Texts {
  readonly #secret: FleetSecret;

  constructor(secret: FleetSecret) {
    this.#secret = secret;
  }

  /** The key of a place. */
  place(key: string): string {
    return this.#secret.hash(`place ${key}`);
  }

  /** The tag of a value as JSON. */
  tag(board: string, id: string, json: string): string {
    return this.#secret.hash(JSON.stringify([board, id, json]));
  }

  change(board: string, { entry, at }: DatedChange): StoredChange {
    const { id, value, until } = entry;
    const text = this.seal({ board, id, ...(value !== undefined && { value }), ...ending(until), at });
    const field = this.#secret.hash(JSON.stringify([board, id]));
    if (value === undefined) return { field, text };
    return { field, text, tag: this.tag(board, id, JSON.stringify(value)), ...ending(until) };
  }

  /** Undefined: it cannot be read. A text is of one board, so that the store cannot move it to another one. */
  readChange(board: string, { text, tag }: StoredChange | StoredEntry): ReadChange | undefined {
    const sealed = this.open(text) as SealedChange | undefined;
    if (sealed?.board !== board || typeof sealed.id !== 'string') return undefined;
    const { id, value, until, at } = sealed;
    const entry = { id, ...(value !== undefined && { value }), ...ending(until) };
    return { entry, at: typeof at === 'number' ? at : 0, tag };
  }

  seal(body: object): string {
    return this.#secret.seal(JSON.stringify(body));
  }

  /** Undefined: it cannot be read. */
  open(text: string): object | undefined {
    const opened = this.#secret.open(text);
    if (opened === undefined) return undefined;
    try {
      const body: unknown = JSON.parse(opened);
      return typeof body === 'object' && body !== null ? body : undefined;
    } catch {
      return undefined;
    }
  }
}

const ending = (until: number | undefined): { readonly until?: number } =>
  until === undefined ? {} : { until };
