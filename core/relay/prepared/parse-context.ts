/** What the texts of one session mean now, besides their objects: its statements are shared with sessions to which they are known to mean the same. */

import type { LeftState } from '../../sql/left-state.ts';
import { READING } from '../../upstream/connection.ts';
import type { ObjectChanges } from '../object-changes.ts';
import type { OutstandingRequests } from '../requests/outstanding-requests.ts';
import type { ServerLink } from '../server-link.ts';
import type { ServerSource } from '../server-source.ts';
import {
  TEMPORARY_OBJECTS,
  hasTemporarySchema,
  mayCreate,
  mayMakeLasting,
  mayLeaveState,
  mayMakeTable,
  pinReason,
} from '../session-state-detection.ts';
import type { Functions, KnownFunctions } from '../session-state-detection.ts';
import { ANY_SETTING, settingsIn } from '../settings/setting-names.ts';
import type { NamedSettings } from '../settings/setting-names.ts';
import { settingsOf } from './prepared-statement.ts';
import type { Effects, PreparedStatement, SearchPath } from './prepared-statement.ts';

/** The session, as far as the meaning of its texts depends on it. */
export interface ParseContextHost {
  readonly link: Pick<ServerLink, 'server' | 'checkOuts'>;
  readonly outstanding: Pick<OutstandingRequests, 'settingsKnown'>;
  readonly source: Pick<ServerSource, 'parameters' | 'settingOf' | 'defaults'>;
  /** The connection has to stay with the session. */
  pin(why: string): void;
  /** A statement is executed that may change settings of the session. Undefined: it changes none. */
  touches(named: NamedSettings | undefined): void;
  /** Absent: the state that functions leave is not looked for. */
  readonly functions?: KnownFunctions | undefined;
  /** A statement is executed whose functions may leave this. */
  calls(left: LeftState, text?: string, catalog?: Functions): void;
  readonly objectChanges: Pick<ObjectChanges, 'begin' | 'makesLasting'>;
}

/** One per session. */
export class ParseContext {
  readonly #host: ParseContextHost;
  /** It may have temporary objects: its table names may mean these. */
  #hasTemporary = false;
  /** The schema for them may be in its search_path. Undefined: that of its login has not been looked at. */
  #inTemporarySchema: boolean | undefined;
  /** Texts may mean something else to it than to other sessions with the same {@link path}. Undefined: its login has not been looked at for that. */
  #readsOtherwise: boolean | undefined;
  /** A statement may have chosen schemas for longer than its settings are known. */
  #hidesSchemas = false;
  /** The check-out in which a statement has changed settings among which search_path may be: they are known after it. */
  #schemasAt = 0;
  /** The check-out in which a statement may have changed any other part of the context: it is known after it. */
  #changedAt = 0;
  /** The parts of {@link path}, and itself: asked for with each statement, and nearly always the same. */
  #path: readonly [schemas: string, role: string, reading: string, path: string] | undefined;

  constructor(host: ParseContextHost) {
    this.#host = host;
  }

  /** The parameters in force on the connection, or on the next one. */
  get parameters(): ReadonlyMap<string, string> {
    const { link, source } = this.#host;
    return link.server?.parameters ?? source.parameters;
  }

  /**
   * Equal where names are looked up in the same schemas and literals are read in the same way, as far as settings say it. Where the
   * server does not report them, with which the transaction began.
   */
  get path(): SearchPath {
    const { source } = this.#host;
    if (!source.settingOf) return null;
    const schemas = this.parameters.get('search_path') ?? source.settingOf('search_path');
    const reading = source.defaults?.reading;
    if (schemas == null || reading === undefined) return undefined;
    // `"$user"` in it is the role in force.
    const role = source.settingOf('role') ?? '';
    const known = this.#path;
    if (known && known[0] === schemas && known[1] === role && known[2] === reading) return known[3];
    const path = `${schemas}\0${role}\0${reading}`;
    this.#path = [schemas, role, reading, path];
    return path;
  }

  /** Other sessions' statements with the same texts may mean something else, or to other sessions its own. */
  get isAlone(): boolean {
    const changed = this.#changedAt !== 0 && this.#changedAt === this.#host.link.checkOuts;
    return changed || this.#hasTemporary || this.#mayReadOtherwise();
  }

  #mayReadOtherwise(): boolean {
    const { source } = this.#host;
    if (this.#readsOtherwise !== undefined || !source.settingOf) return this.#readsOtherwise === true;
    const values = READING.map((name) => source.settingOf?.(name));
    // Not known without a connection where policies set it.
    if (values.includes(undefined)) return true;
    const { defaults } = source;
    return (this.#readsOtherwise = READING.some(
      (name, index) => values[index] !== (defaults?.get(name) ?? null),
    ));
  }

  /** The session may have set search_path, and the server does not report it: its table names may mean other tables than in other sessions. */
  get hidesSchemas(): boolean {
    return this.#choseSchemas() && !this.#host.source.parameters.has('search_path');
  }

  #choseSchemas(): boolean {
    return this.#hidesSchemas || (this.#schemasAt !== 0 && this.#schemasAt === this.#host.link.checkOuts);
  }

  /** Prepared now, the statement may differ in meaning from its Parse: it is not shared with other sessions. */
  isApart({ settings, path }: Pick<PreparedStatement, 'settings' | 'path'>): boolean {
    const { settingsKnown } = this.#host.outstanding;
    if (this.isAlone) return true;
    const settingsUncertain = this.#choseSchemas() && !settingsKnown;
    if (settingsUncertain || this.hidesSchemas || path === undefined || path !== this.path) return true;
    return settings !== '' && (!settingsKnown || settingsOf(this.parameters) !== settings);
  }

  /** Reads from a text the effects on its connection that no tag shows. */
  read(text: string): void {
    if (!mayLeaveState(text)) return;
    const why = pinReason(text);
    if (why !== undefined) this.#host.pin(why);
    if (mayMakeLasting(text)) this.#host.objectChanges.makesLasting();
    this.#hasTemporary ||= why === TEMPORARY_OBJECTS;
    if (hasTemporarySchema(text)) this.#inTemporarySchema = true;
  }

  /** The same for a Query, which is executed at once. `cut`: its end is not known; `plain`: see `hasNoCommandWord`. */
  readQuery(text: string, kind: 'cut' | 'plain' | 'other'): void {
    if (kind !== 'plain') {
      this.read(text);
      if (mayCreate(text)) this.#host.objectChanges.begin();
    }
    this.#makes(text);
    if (kind === 'cut') this.touches(ANY_SETTING);
    const named = kind === 'other' ? settingsIn(text) : undefined;
    if (named) this.touches(named);
    const catalog = this.#host.functions?.catalog;
    if (!catalog) return;
    const left = kind === 'cut' ? 'state' : catalog.leaves(text);
    this.#calls(left, catalog.changesContext?.(text) === true, catalog, text);
  }

  /** A prepared statement is executed: that may do more than its tag shows. */
  executed({ named, calls, creates }: Effects): void {
    const catalog = this.#host.functions?.catalog;
    if (catalog) this.#calls(calls.leaves(catalog), calls.changesContext(catalog), catalog, calls.text);
    this.#makes(calls.text);
    if (named) this.touches(named);
    if (creates) this.#host.objectChanges.begin();
  }

  /** A statement is executed that may change these settings. */
  touches(named: NamedSettings): void {
    this.#host.touches(named);
    const { checkOuts } = this.#host.link;
    if (named.unknown) this.#hidesSchemas = true;
    if (named.unknown || named.opaque || named.resetsAll) this.#schemasAt = this.#changedAt = checkOuts;
    for (const name of [...named.set, ...named.reset, ...named.local]) {
      if (name === 'search_path') this.#schemasAt = checkOuts;
      else if (name === 'role' || name === 'session_authorization') this.#changedAt = checkOuts;
      else if (READING.includes(name)) this.#changedAt = checkOuts;
    }
    if (named.set.some((name) => READING.includes(name))) this.#readsOtherwise = true;
  }

  /** A text is executed: with the schema for temporary objects in its search_path it may make one of which it has no word. */
  #makes(text: string): void {
    const path = this.parameters.get('search_path');
    this.#inTemporarySchema ??= hasTemporarySchema(this.#host.source.settingOf?.('search_path') ?? '');
    const mayBeFirst = this.#inTemporarySchema || (path !== undefined && hasTemporarySchema(path));
    if (!mayBeFirst || !mayMakeTable(text)) return;
    this.#hasTemporary = true;
    this.#host.calls('state');
  }

  /** A statement is executed whose functions may leave this: search_path is a setting, too. */
  #calls(left: LeftState, changesContext: boolean, catalog: Functions, text: string): void {
    this.#host.calls(left, text, catalog);
    if (changesContext) this.#schemasAt = this.#changedAt = this.#host.link.checkOuts;
    // Where any text may leave state, nothing is known of this one.
    if (left === 'state' && catalog.leaves('') !== 'state') this.#hidesSchemas = true;
  }
}
