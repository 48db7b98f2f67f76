/** The changes of a session to the state of its server connection since the check-out: by settings, commands and functions. */
import { larger } from '../sql/left-state.ts';
import type { LeftState } from '../sql/left-state.ts';
import { commandLeavesState, leavesState, mayBeUnknown, pins, setsByText } from './command-tags.ts';
import { WATCHED_STATEMENTS, messageLeavesState } from './session-state-detection.ts';
import type { Functions, KnownFunctions } from './session-state-detection.ts';
import type { NamedSettings } from './settings/setting-names.ts';
import { TouchedSettings } from './settings/touched-settings.ts';

/** Why a connection stays, for the log. */
const UNSEEN = 'settings that no text shows';
/** More texts of one transaction, or longer ones, are not kept: such a session keeps its connection. */
const [MOST_SUSPECTS, LONGEST_SUSPECT] = [200, 65_536];

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
  readonly #link: PinnableLink;
  /** Absent in session mode. */
  readonly #source: SettingsSource | undefined;
  /** Made for the first setting. */
  #touched: TouchedSettings | undefined;
  /** Texts whose functions may have left any state, where settings that no text shows keep the connection. */
  #suspects: Set<string> | undefined;
  /** How many commands with the tag SET or RESET may still end whose settings are known. */
  #expected = 0;
  #left: LeftState = 'nothing';
  /** The functions of the database, and those as they were known when the first statement was sent. */
  #functions: KnownFunctions | undefined;
  #catalog: Functions | undefined;
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

  /** The state that functions may have left: any, if others have been defined since the statements were sent. */
  get left(): LeftState {
    return this.#functions && this.#functions.catalog !== this.#catalog ? 'state' : this.#left;
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

  /** A statement is executed whose functions may leave this. Default text: it has none that could be read later. Default `catalog`: as known now. */
  calls(left: LeftState, text?: string, functions?: KnownFunctions, catalog = functions?.catalog): void {
    this.#left = larger(this.#left, left);
    if (functions && !this.#functions) {
      this.#functions = functions;
      this.#catalog = catalog;
    }
    if (left !== 'state' || text === undefined || !this.#source?.pinsUnknown) return;
    this.#suspects ??= new Set();
    if (this.#suspects.size < MOST_SUSPECTS && text.length <= LONGEST_SUSPECT) this.#suspects.add(text);
    else this.#link.pin(UNSEEN);
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
    if (this.#source?.pinsUnknown) this.#link.pin(UNSEEN);
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

  /** Takes the texts whose functions may have left any state, where it matters whether they leave settings. */
  takeSuspects(): ReadonlySet<string> | undefined {
    const texts = this.#suspects;
    this.#suspects = undefined;
    return texts;
  }

  /** The connection is checked in: begins anew. Returns the settings that the session has changed. */
  take(): TouchedSettings | undefined {
    const touched = this.#touched;
    if (touched && this.#expected > 0) touched.isUncertain = true;
    this.#touched = undefined;
    this.dirty = false;
    this.#left = 'nothing';
    this.#functions = this.#catalog = undefined;
    this.#expected = 0;
    return touched;
  }
}
