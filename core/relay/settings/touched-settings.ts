/** The settings that a session may have changed since its connection was checked out. */
import type { NamedSettings } from './setting-names.ts';

type TouchingNames = Pick<NamedSettings, 'set' | 'calls' | 'maybeReset' | 'reset' | 'resetsAll'>;

/** A client may write any names, also those of settings that do not exist. */
const MOST_NAMES = 1_000;

/** `set`: it may have any value. `reset`: it has the value that it had, or that of the login. `either`: it may have been reset. */
type Touch = 'set' | 'reset' | 'either';

/** Filled while statements run; names are in lower case. */
export class TouchedSettings {
  readonly names = new Map<string, Touch>();
  /** RESET ALL or DISCARD ALL: each setting that is not in {@link names} was reset. */
  resetsAll = false;
  /** A command may have failed, or a call: no tag says that what it sets has another value. */
  isUncertain = false;
  /** Values before the server's first report of another one. */
  readonly reported = new Map<string, string | undefined>();

  /** False if there are too many by now: the caller adds no more. */
  add({ set, calls, maybeReset, reset, resetsAll }: TouchingNames): boolean {
    for (const name of set) this.#touch(name, this.resetsAll ? 'either' : 'set');
    for (const name of maybeReset) this.#touch(name, 'either');
    for (const name of reset) this.#touch(name, 'reset');
    if (resetsAll) for (const [name, how] of this.names) if (how === 'set') this.names.set(name, 'either');
    this.resetsAll ||= resetsAll;
    this.isUncertain ||= calls;
    return this.names.size <= MOST_NAMES;
  }

  /** A savepoint that is rolled back to may undo the later of two: their order does not say which of them counts. */
  #touch(name: string, how: Touch): void {
    const before = this.names.get(name);
    this.names.set(name, before === undefined || before === how ? how : 'either');
  }

  /** The server reports a parameter; `before` has its value until now. */
  report(name: string, before: ReadonlyMap<string, string>): void {
    const key = name.toLowerCase();
    if (!this.reported.has(key)) this.reported.set(key, before.get(name));
  }
}
