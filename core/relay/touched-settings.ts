/** The settings that a session may have changed since its connection was checked out. */
import type { NamedSettings } from './setting-names.ts';

/** A client may write any names, also those of settings that do not exist. */
const MOST_NAMES = 1_000;

/** Filled while statements run; names are in lower case. `set`: it may have any value. `reset`: it has the value that it had, or that of the login. */
export class TouchedSettings {
  readonly names = new Map<string, 'set' | 'reset'>();
  /** RESET ALL or DISCARD ALL: each setting that is not in {@link names} was reset. */
  resetsAll = false;
  /** Values before the server's first report of another one. */
  readonly reported = new Map<string, string | undefined>();

  /** False if there are too many by now: the caller adds no more. */
  add({ set, reset, resetsAll }: Pick<NamedSettings, 'set' | 'reset' | 'resetsAll'>): boolean {
    for (const name of set) this.names.set(name, 'set');
    for (const name of reset) if (!this.names.has(name)) this.names.set(name, 'reset');
    this.resetsAll ||= resetsAll;
    return this.names.size <= MOST_NAMES;
  }

  /** The server reports a parameter; `before` has its value until now. */
  report(name: string, before: ReadonlyMap<string, string>): void {
    const key = name.toLowerCase();
    if (!this.reported.has(key)) this.reported.set(key, before.get(name));
  }
}
