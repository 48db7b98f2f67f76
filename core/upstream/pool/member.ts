/** One place of a pool: a connection with what is known of it, from the decision to open it until its socket is gone. */
import type { ServerConnection } from '../connection.ts';
import type { Setting } from '../settings.ts';
import type { PoolKey } from './key.ts';

/** What a place is used for; `closing` ends when the server has closed the connection. */
export type MemberState = 'opening' | 'idle' | 'resetting' | 'lent' | 'closing';

/** Whose state a connection carries. */
export interface Owner {
  readonly fingerprint: string;
  /** The session itself. */
  readonly holder: object | undefined;
}

/** Made when a connection is about to be opened. */
export class Member {
  readonly key: PoolKey;
  /** When it is too old to be handed out, by the pool's clock. */
  readonly expiresAt: number;
  state: MemberState = 'opening';
  connection: ServerConnection | undefined;
  /** Undefined: it is as after its login. */
  owner: Owner | undefined;
  /** What was set for its owner at the hand-over. */
  settings: readonly Setting[] = [];
  /** What was set in advance for whoever comes next, with the value it has for those who do not choose one. */
  preset: ReadonlyMap<string, string> = new Map();
  /** The gateway itself talks to the server: whoever does will say how it ended. */
  busy = false;
  /** It said what nobody asked for, or closed, while nobody used it. */
  spoilt = false;
  /** How often it has been handed out. */
  uses = 0;
  /** By the pool's clock. */
  idleSince = 0;
  /** Ends the watch over an idle connection; false: it must not be used. */
  unwatch: (() => boolean) | undefined;

  constructor(key: PoolKey, expiresAt: number) {
    this.key = key;
    this.expiresAt = expiresAt;
  }
}
