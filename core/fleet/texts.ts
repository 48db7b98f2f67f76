/** The texts of an instance in the store: JSON, sealed for one use, so that the store cannot move them. What cannot be read is of another secret or another release, and is passed over. */
import type { FleetInstance } from '../contract/fleet.ts';
import type { BoardEntry } from '../workers/messages.ts';
import type { Sealing } from './sealing.ts';
import type { StoredChange, StoredEntry } from './store.ts';

/** What an instance tells of itself. */
export type InstanceText = Omit<FleetInstance, 'id'>;

/** A change with what settles which of two is later, where the store has lost changes. */
export interface DatedChange {
  /** Without a value it is a drop. */
  readonly entry: BoardEntry;
  /** By the clock of the instance that made it, in milliseconds since the epoch. */
  readonly at: number;
  /** It had been made before, and the store had lost it: whoever knows a later one says so. Default false. */
  readonly again?: boolean;
}

/** A change that was read, and its tag: equal for equal values of one id; undefined for a drop. */
export interface ReadChange extends DatedChange {
  readonly tag: string | undefined;
}

interface SealedChange {
  readonly id: string;
  readonly value?: unknown;
  readonly until?: number;
  readonly at: number;
  readonly again?: true;
}

/** One per member. */
export class Texts {
  readonly #sealing: Sealing;

  constructor(sealing: Sealing) {
    this.#sealing = sealing;
  }

  /** The key of a place. */
  place(key: string): string {
    return this.#sealing.hash(key, 'place');
  }

  /** The tag of a value as JSON. */
  tag(board: string, id: string, json: string): string {
    return this.#sealing.hash(JSON.stringify([id, json]), `value ${board}`);
  }

  change(board: string, { entry, at, again = false }: DatedChange): StoredChange {
    const { id, value, until } = entry;
    const sealed: SealedChange = {
      id,
      ...(value !== undefined && { value }),
      ...ending(until),
      at,
      ...(again && { again }),
    };
    const text = this.#seal(sealed, `board ${board}`);
    const field = this.#sealing.hash(id, `board ${board}`);
    if (value === undefined) return { field, text };
    return { field, text, tag: this.tag(board, id, JSON.stringify(value)), ...ending(until) };
  }

  /** Undefined: it cannot be read. */
  readChange(board: string, { text, tag }: StoredChange | StoredEntry): ReadChange | undefined {
    const sealed: Partial<SealedChange> | undefined = this.#open(text, `board ${board}`);
    if (!sealed || typeof sealed.id !== 'string') return undefined;
    const { id, value, until, at = 0, again = false } = sealed;
    const entry = { id, ...(value !== undefined && { value }), ...ending(until) };
    return { entry, at, again, tag };
  }

  /** What the instance of this id tells of itself. */
  instance(id: string, told: InstanceText): string {
    return this.#seal(told, `instance ${id}`);
  }

  /** Undefined: it cannot be read. */
  readInstance(id: string, text: string): InstanceText | undefined {
    return this.#open(text, `instance ${id}`) as InstanceText | undefined;
  }

  /** A message to the instance of this id. */
  message(to: string, body: object): string {
    return this.#seal(body, `post ${to}`);
  }

  /** Undefined: it cannot be read. */
  readMessage(to: string, text: string): object | undefined {
    return this.#open(text, `post ${to}`);
  }

  #seal(body: object, context: string): string {
    return this.#sealing.seal(JSON.stringify(body), context);
  }

  /** What is sealed was made by an instance with the secret: it has the form that it says, or that of a later release. */
  #open(text: string, context: string): object | undefined {
    const opened = this.#sealing.open(text, context);
    if (opened === undefined) return undefined;
    const body: unknown = JSON.parse(opened);
    return typeof body === 'object' && body !== null ? body : undefined;
  }
}

const ending = (until: number | undefined): { readonly until?: number } =>
  until === undefined ? {} : { until };
