/** Where the connections of a gateway come from. */
import type { Entrance } from '../net/entrance.ts';
import { ownEntrance, placeOf } from '../net/entrance.ts';

/** A listener of the config, as far as its entrance needs it. */
export type ListenerPlace = Parameters<typeof placeOf>[0];

/** One entrance per listener. */
export interface Entrances {
  of(listener: ListenerPlace): Entrance;
  /** Where HTTP connections of `admin` come from, as sockets. Undefined: `admin` listens itself. */
  readonly admin?: AdminEntrance | undefined;
}

/** Connections to `admin` that another process has accepted. */
export interface AdminEntrance {
  readonly address: { readonly host: string; readonly port: number };
  /** Lets connections in: each handle is that of an accepted connection. */
  open(accepted: (handle: object) => void): void;
  close(): void;
}

/** Sockets of this process. `descriptors`: of those that were bound for it, by listener. Default: it binds all itself. */
export const ownEntrances = (descriptors: ReadonlyMap<string, number> = new Map()): Entrances => ({
  of: (listener) => ownEntrance({ ...placeOf(listener), descriptor: descriptors.get(listener.name) }),
});
