/** The changes of a session to the state of its server connection since the check-out: by settings, commands and functions. */
import { larger } from '../left-state.ts';
import type { LeftState } from '../left-state.ts';
import { commandLeavesState, leavesState, mayBeUnknown, pins, setsByText } from './command-tags.ts';
import { WATCHED_STATEMENTS, messageLeavesState } from './session-state-detection.ts';
import type { Functions } from './session-state-detection.ts';
import type { NamedSettings } from './setting-names.ts';

/** A client may write any names, also those of settings that do not exist. */
const MOST_NAMES = 1_000;

/** The settings that a session may have changed; names are in lower case. `set`: it may have any value. `reset`: it has the value that it had, or that of the login. */
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

/** The link whose connection is changed. */
interface PinnableLink {
  /** Why the connection stays with the session until that ends. */
  readonly pinned: string | undefined;
  pin(why: string): void;
}

/** The source of connections in transaction mode, as far as it decides about settings. */
interface SettingsSource {
  /** Present: settings follow the session to its next connection. */
  readonly settle?: unknown;
  /** Settings that no text shows keep the connection with the session. */
  readonly pinsUnknown?: boolean;
}

/** One per session. */
export class ConnectionChanges {
  /** A command may have left state of the session that is not known: a reset removes it. */
  dirty: boolean;
  /** The state that functions may have left. */
  left: LeftState = 'nothing';
  readonly #link: PinnableLink;
  /** Absent in session mode. */
  readonly #source: SettingsSource | undefined;
  /** Made for the first setting. */
  #touched: TouchedSettings | undefined;
  /** How many commands with the tag SET or RESET may still end whose settings are known. */
  #expected = 0;
  /** Statements of a session in session mode while it is {@link watched}. */
  #statements = 0;

  /** `watched`: a session in session mode may leave nothing; else its connection is always reset. */
  constructor(link: PinnableLink, source: SettingsSource | undefined, watched: boolean) {
    this.#link = link;
    this.#source = source;
    this.dirty = source === undefined && !watched;
  }

  /** In session mode: the session may have left nothing on its connection so far. */
  get watched(): boolean {
    return this.#source === undefined && !this.dirty;
  }

  /** The session has changed settings. */
  get hasTouched(): boolean {
    return this.#touched !== undefined;
  }

  /** A statement is sent by a session that is {@link watched}; `functions` as for {@link messageLeavesState}. */
  sends(type: number, frame: Buffer, functions: Functions | undefined): void {
    this.#statements += 1;
    this.dirty = this.#statements > WATCHED_STATEMENTS || messageLeavesState(type, frame, functions);
  }

  /** A statement is executed whose functions may leave this. */
  calls(left: LeftState): void {
    this.left = larger(this.left, left);
  }

  /** The server reports a parameter; `before` has the values until now. */
  reports(name: string, before: ReadonlyMap<string, string>): void {
    // Not always by a SET: a function may have set it.
    if (this.watched) this.dirty = true;
    if (this.#source?.settle) (this.#touched ??= new TouchedSettings()).report(name, before);
  }

  /** A text is executed that may change these settings of the session. */
  touch(named: NamedSettings): void {
    if (!this.#source) return;
    this.#expected += named.commands;
    const changes = named.resetsAll || named.set.length + named.reset.length > 0;
    if (named.unknown || (changes && !this.#source.settle)) this.unknown();
    if (changes) this.#touch(named);
    // It sets the role, too.
    if (named.set.includes('session_authorization')) this.dirty = true;
  }

  #touch(named: NamedSettings): void {
    this.#touched ??= new TouchedSettings();
    // A session that keeps its connection is never asked for their values.
    if (this.#link.pinned === undefined && !this.#touched.add(named)) this.#link.pin('too many settings');
    if (this.#link.pinned !== undefined) this.dirty = true;
  }

  /** A command may have changed settings that are not known. */
  unknown(): void {
    this.dirty = true;
    if (this.#source?.pinsUnknown) this.#link.pin('settings that no text shows');
  }

  /** A command has ended. */
  completed(tag: string): void {
    if (!this.#source) this.dirty ||= commandLeavesState(tag);
    else if (setsByText(tag)) {
      if (this.#expected === 0) this.unknown();
      else this.#expected -= 1;
    } else if (leavesState(tag)) {
      this.dirty = true;
      if (pins(tag)) this.#link.pin(tag);
      else if (mayBeUnknown(tag)) this.unknown();
    }
  }

  /** The connection is checked in: begins anew. Returns the settings that the session has changed. */
  take(): TouchedSettings | undefined {
    const touched = this.#touched;
    this.#touched = undefined;
    this.dirty = false;
    this.left = 'nothing';
    this.#expected = 0;
    return touched;
  }
}
