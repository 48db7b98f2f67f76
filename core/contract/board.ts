/** Small named state of which every worker of the gateway has a copy. */
/** What has happened to a board. `missed`: changes may be missing, read {@link Board.all} anew. */
export type BoardChange<V> =
  | { readonly kind: 'put'; readonly id: string; readonly value: V }
  | { readonly kind: 'dropped'; readonly id: string }
  | { readonly kind: 'missed' };

/** How a value is put on a board. */
export interface PutOptions<V> {
  /** When it leaves the board by itself, in milliseconds since the epoch. Default: never. */
  readonly until?: number;
  /** Puts it only where this value is on the board now, compared as JSON; `undefined` stands for none. Default: in any case. */
  readonly expected?: V | undefined;
}

/** Which workers share a board. */
export interface BoardOptions {
  /** Those of this gateway, or those of all instances of its fleet. Default `'gateway'`. Without `fleet` in the config both are the same. */
  readonly of?: 'gateway' | 'fleet';
}

/**
 * Values by id, the same for all workers: whatever one puts there, the others have. All see the changes of one board in one order. Values are JSON, and small.
 * Made by {@link GatewayHandle.board}.
 */
export interface Board<V = unknown> {
  /** The value that this worker knows. */
  get(id: string): V | undefined;
  /** All values that this worker knows, by id. */
  all(): ReadonlyMap<string, V>;
  /**
   * Resolves when every worker has it: with true, or with false where `expected` is not what was there.
   *
   * @throws Error where the gateway stops meanwhile
   */
  put(id: string, value: V, options?: PutOptions<V>): Promise<boolean>;
  /** Takes a value off. Resolves when no worker has it any more. @throws as {@link put} */
  drop(id: string): Promise<void>;
  /** Hears of each change, own ones as well, once it is in {@link all}. One that throws is logged. The function that it returns ends that. */
  watch(changed: (change: BoardChange<V>) => void): () => void;
}
