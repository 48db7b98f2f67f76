/** The action for a Parse where server connections change between transactions. */
import { GatewayError } from '../../errors.ts';
import type { LeftState } from '../../left-state.ts';
import { shown } from '../../wire/text.ts';
import { PARSE_COMPLETE } from '../../wire/to-client.ts';
import { encodeDescribe } from '../../wire/to-server.ts';
import type { Plan } from '../message-action.ts';
import { Op, ResponseAction, combined } from '../request-queue.ts';
import type { RequestObserver } from '../request-queue.ts';
import type { ServerStatements } from './server-statements.ts';
import type { OutstandingRequests } from '../outstanding-requests.ts';
import { EMPTY, isCutOff, nameIn, parseParts, renamedLongParse, renamedParse } from './statement-names.ts';
import type { ParseParts } from './statement-names.ts';
import type { Change, ClientStatements, PendingChanges, UnnamedStatement } from './client-statements.ts';
import type { ServerLink, ServerSource } from '../server-link.ts';
import { READING } from '../../upstream/session-defaults.ts';
import {
  NO_EFFECTS,
  UNSHARED,
  effectsOf,
  keyOf,
  originOf,
  settingsOf,
  statementOf,
} from './prepared-statement.ts';
import type { Effects, PreparedStatement, SearchPath } from './prepared-statement.ts';
import { DescribeObserver } from './description.ts';
import type { KnownStatement } from './known-statements.ts';
import { ANY_SETTING, settingsIn } from '../setting-names.ts';
import type { NamedSettings } from '../setting-names.ts';
import {
  TEMPORARY_OBJECTS,
  hasTemporarySchema,
  mayChangeReading,
  mayChangeRole,
  mayChooseSchemas,
  mayCreate,
  mayLeaveState,
  mayMakeTable,
  pinReason,
} from '../session-state-detection.ts';
import type { KnownFunctions } from '../session-state-detection.ts';
import type { ObjectChanges } from '../object-changes.ts';
import { Status } from '../transaction-boundary.ts';

/** The interface between a session's prepared statements and the relay. */
export interface PreparedStatementsHost {
  readonly link: Pick<ServerLink, 'server' | 'checkOuts'>;
  readonly outstanding: OutstandingRequests;
  readonly source: Pick<ServerSource, 'parameters' | 'known' | 'settingOf' | 'startupValue' | 'defaults'>;
  /** The connection has to stay with the session. */
  pin(why: string): void;
  /** A statement is executed that may change settings of the session. Undefined: it changes none. */
  touches(named: NamedSettings | undefined): void;
  /** Absent: the state that functions leave is not looked for. */
  readonly functions?: KnownFunctions | undefined;
  /** A statement is executed whose functions may leave this. */
  calls(left: LeftState): void;
  readonly objectChanges: ObjectChanges;
}

/** The session's statements, by their names and keys. */
export interface ParseHandlerParts {
  readonly names: ClientStatements;
  readonly onServer: ServerStatements;
  readonly unnamed: UnnamedStatement;
  /** By the client's names, the empty one included. */
  readonly pending: PendingChanges;
}

/** One per session. */
export class ParseHandler {
  readonly #host: PreparedStatementsHost;
  readonly #parts: ParseHandlerParts;
  /** It may have temporary objects: its table names may mean these. */
  #hasTemporary = false;
  /** The schema for them may be in its search_path. Undefined: that of its login has not been looked at. */
  #inTemporarySchema: boolean | undefined;
  /** Texts may mean something else to it than to other sessions. Undefined: its login has not been looked at for that. */
  #readsOtherwise: boolean | undefined;
  /** A statement may have chosen schemas for longer than its settings are known. */
  #hidesSchemas = false;
  /** The check-out in which a statement may have changed the role in force: it is known after it. */
  #roleChangedAt = 0;
  /** The check-out in which a statement has changed settings among which search_path may be: they are known after it. */
  #changedAt = 0;

  constructor(host: PreparedStatementsHost, parts: ParseHandlerParts) {
    this.#host = host;
    this.#parts = parts;
  }

  /** Reads from a text the effects on its connection that no tag shows. */
  read(text: string): void {
    if (!mayLeaveState(text)) return;
    const why = pinReason(text);
    if (why !== undefined) this.#host.pin(why);
    this.#hasTemporary ||= why === TEMPORARY_OBJECTS;
    if (hasTemporarySchema(text)) this.#inTemporarySchema = true;
    if (mayChangeReading(text)) this.#readsOtherwise = true;
  }

  /** A text is executed: with the schema for temporary objects in its search_path it may make one of which it has no word. */
  #makes(text: string): void {
    const path = this.#parameters.get('search_path');
    this.#inTemporarySchema ??= hasTemporarySchema(this.#host.source.startupValue?.('search_path') ?? '');
    const mayBeFirst = this.#inTemporarySchema || (path !== undefined && hasTemporarySchema(path));
    if (!mayBeFirst || !mayMakeTable(text)) return;
    this.#hasTemporary = true;
    this.#host.calls('state');
  }

  /** Other sessions' statements with the same texts may mean something else. */
  get #isAlone(): boolean {
    const { source } = this.#host;
    this.#readsOtherwise ??= READING.some((name) => source.startupValue?.(name) !== undefined);
    const roleChanged = this.#roleChangedAt !== 0 && this.#roleChangedAt === this.#host.link.checkOuts;
    return this.#readsOtherwise || this.#hasTemporary || roleChanged;
  }

  /** The same for a Query, which is executed at once; the end of a long one is not known. */
  readQuery(text: string, isCut: boolean): void {
    const tells = mayLeaveState(text);
    if (tells) {
      this.read(text);
      if (mayCreate(text)) this.#host.objectChanges.begin();
    }
    this.#makes(text);
    const named = isCut ? ANY_SETTING : settingsIn(text);
    const chooses = isCut || (tells && mayChooseSchemas(text));
    if ((tells || named) && mayChangeRole(text)) this.#roleChangedAt = this.#host.link.checkOuts;
    this.touches(named, chooses);
    const { functions } = this.#host;
    if (functions) this.#calls(isCut ? 'state' : functions.catalog.leaves(text), functions);
  }

  /** A statement is executed that may change these settings; `chooses`: search_path among them. */
  touches(named: NamedSettings | undefined, chooses: boolean): void {
    if (named) this.#host.touches(named);
    if (named?.unknown || (chooses && !named)) this.#hidesSchemas = true;
    else if (chooses || named?.resetsAll) this.#changedAt = this.#host.link.checkOuts;
  }

  /** A statement is executed whose functions may leave this: search_path is a setting, too. */
  #calls(left: LeftState, { catalog }: KnownFunctions): void {
    this.#host.calls(left);
    // Where any text may leave state, nothing is known of this one.
    if (left === 'state' && catalog.leaves('') !== 'state') this.#hidesSchemas = true;
  }

  get #choseSchemas(): boolean {
    return this.#hidesSchemas || (this.#changedAt !== 0 && this.#changedAt === this.#host.link.checkOuts);
  }

  /** The session may have set search_path, and the server does not report it: its table names may mean other tables than in other sessions. */
  get hidesSchemas(): boolean {
    return this.#choseSchemas && !this.#host.source.parameters.has('search_path');
  }

  /** Where the server does not report it, that with which the transaction began; with a role that the session has chosen. */
  get #path(): SearchPath {
    const { source } = this.#host;
    const reported = this.#parameters.get('search_path');
    const path = reported === undefined && source.settingOf ? source.settingOf('search_path') : reported;
    if (!source.settingOf) return null;
    const reading = source.defaults?.reading;
    if (path === undefined || reading === undefined) return undefined;
    // `"$user"` in it is the role in force.
    return `${path ?? ''}\0${source.settingOf('role') ?? ''}\0${reading}`;
  }

  /** Prepared now, the statement may differ in meaning from its Parse: it is not shared with other sessions. */
  isApart({ settings, path }: Pick<PreparedStatement, 'settings' | 'path'>): boolean {
    const { settingsKnown } = this.#host.outstanding;
    const now = this.#parameters;
    if (this.#isAlone) return true;
    const settingsUncertain = this.#choseSchemas && !settingsKnown;
    if (settingsUncertain || this.hidesSchemas || path === undefined || path !== this.#path) return true;
    return settings !== '' && (!settingsKnown || settingsOf(now) !== settings);
  }

  /** What is known of a Parse with this body, so that it needs no server. */
  knownFor(body: Buffer): KnownStatement | undefined {
    const { known, parameters } = this.#host.source;
    const path = this.#path;
    if (this.hidesSchemas || this.#isAlone || path === undefined) return undefined;
    return known.get(originOf(body, parameters, path).parsed);
  }

  /** The statement's key on the present connection, and its name where it is prepared there. */
  onConnection(statement: PreparedStatement): {
    readonly key: string;
    readonly serverName: string | undefined;
  } {
    const { onServer } = this.#parts;
    const { alone, since } = statement;
    const key = this.hidesSchemas ? alone : statement.key;
    const serverName = onServer.find(key, since);
    if (serverName !== undefined || key === alone || !this.isApart(statement)) return { key, serverName };
    return { key: alone, serverName: onServer.find(alone, since) };
  }

  /** The observer of a Describe by which the server says for the first time what a statement is; its Parse was sent at `at`. */
  learns(statement: PreparedStatement, at: number): RequestObserver {
    const { known } = this.#host.source;
    return new DescribeObserver((said) => {
      if (!said) return;
      const { parsed, shared, alone } = statement;
      const before = shared ? known.get(parsed)?.description : undefined;
      // Equal ones are one object: each client's statement has one.
      const description = before?.fingerprint === said.fingerprint ? before : said;
      statement.describedAs(description);
      if (!shared) return;
      // Others do not see yet what this transaction has changed.
      if (!this.#host.objectChanges.pending) known.set(parsed, { description, at });
      this.#parts.onServer.rename(alone, statement.key);
    });
  }

  /** The parameters in force on the connection, or on the next one. */
  get #parameters(): ReadonlyMap<string, string> {
    const { link, source } = this.#host;
    return link.server?.parameters ?? source.parameters;
  }

  /** A statement is executed: that may do more than its tag shows. */
  executed({ discards, named, calls, creates, chooses, changesRole }: Effects): void {
    const { functions } = this.#host;
    if (functions) this.#calls(calls.leaves(functions), functions);
    this.#makes(calls.text);
    if (discards) this.#parts.onServer.mayFail = true;
    if (changesRole) this.#roleChangedAt = this.#host.link.checkOuts;
    if (named || chooses) this.touches(named, chooses);
    if (creates) this.#host.objectChanges.begin();
  }

  /** What to do with a Parse. @throws GatewayError `program_limit_exceeded` */
  plan(frame: Buffer): Plan {
    if (isCutOff(frame)) return this.#parseLong(frame);
    const parts = parseParts(frame);
    if (!parts) return { kind: 'send', bytes: frame };
    this.read(parts.body.toString('latin1'));
    if (parts.name === '') return this.#parseUnnamed(frame, parts.body);
    if (this.#parts.names.has(parts.name))
      return this.#parseTaken(frame, parts.name, (serverName) => renamedParse(serverName, parts.body));
    return this.#parseNamed(parts);
  }

  #parseNamed({ name, body }: ParseParts): Plan {
    const { link, outstanding, source } = this.#host;
    const { onServer, names } = this.#parts;
    const origin = originOf(Buffer.from(body), this.#parameters, this.#path);
    const shared = !this.isApart(origin);
    const statement = statementOf(origin, source.known.oldest(), shared);
    const known = shared ? source.known.get(origin.parsed) : undefined;
    names.add(name, statement);
    const change = this.#named(name, statement);
    const synthesized = { kind: 'answer', observer: { answer: () => PARSE_COMPLETE, ...change } } as const;
    if (!link.server) {
      if (known) statement.describedAs(known.description);
      return synthesized;
    }
    if (outstanding.outOfSync) return orderLost();
    const key = known && keyOf(origin.parsed, known.description);
    if (known && key !== undefined && onServer.find(key, statement.since) !== undefined) {
      statement.describedAs(known.description);
      const certain =
        outstanding.status !== Status.failed && !outstanding.changing && !onServer.pending.has(key);
      return certain ? synthesized : this.#try(body, change);
    }
    return this.#prepare(statement, change);
  }

  /** Behind the Parse the server is asked what the statement is, unless a COPY may read that message. */
  #prepare(statement: PreparedStatement, change: RequestObserver): Plan {
    const { serverName, at, before, observer } = this.#parts.onServer.add(statement.key);
    const parse = Buffer.concat([before, renamedParse(serverName, statement.body)]);
    const sent = { kind: 'send', bytes: parse, observer: combined(observer, change) } as const;
    if (this.#host.outstanding.changing) return sent;
    const bytes = Buffer.concat([parse, encodeDescribe('S', serverName)]);
    return { ...sent, bytes, described: this.learns(statement, at) };
  }

  #named(name: string, statement: PreparedStatement): Change & RequestObserver {
    const change = this.#parts.pending.add(
      name,
      () => {},
      () => this.#parts.names.remove(name, statement),
    );
    return { ...change, names: true };
  }

  /** The server decides whether the statement can be prepared now; only its answer is needed. */
  #try(body: Buffer, observer: RequestObserver): Plan {
    const { serverName, before } = this.#parts.onServer.trial();
    return { kind: 'send', bytes: Buffer.concat([before, renamedParse(serverName, body)]), observer };
  }

  /** The server refuses it as it would without the gateway: after its other checks, for a name that is in use. */
  #parseTaken(frame: Buffer, name: string, renamed: (serverName: string) => Buffer): Plan {
    const { outstanding } = this.#host;
    if (this.#parts.names.get(name) === UNSHARED) return { kind: 'send', bytes: frame };
    if (outstanding.outOfSync) return orderLost();
    const text = shown(Buffer.from(name, 'latin1').toString());
    const error = new GatewayError(
      'duplicate_prepared_statement',
      `prepared statement ${text} already exists`,
    );
    const { serverName, before } = this.#parts.onServer.trial();
    outstanding.sent(Op.parse, ResponseAction.skip, { showsError: true });
    const bytes = Buffer.concat([before, renamedParse(serverName, EMPTY), renamed(serverName)]);
    return { kind: 'send', bytes, observer: { error, replaces: [error.sqlstate] } };
  }

  /** Too long to be stored and prepared again on another connection. */
  #parseLong(frame: Buffer): Plan {
    this.#host.pin('a long statement was prepared');
    const name = nameIn(frame, false);
    if (name === undefined) return { kind: 'send', bytes: frame };
    if (this.#parts.names.has(name))
      return this.#parseTaken(frame, name, (serverName) => renamedLongParse(frame, serverName));
    if (name === '') {
      const observer = this.#parts.unnamed.prepare(
        { ...NO_EFFECTS, frame: undefined, named: ANY_SETTING, plain: false },
        this.#host.link.checkOuts,
      );
      return { kind: 'send', bytes: frame, observer };
    }
    this.#parts.names.add(name, UNSHARED);
    return { kind: 'send', bytes: frame, observer: this.#named(name, UNSHARED) };
  }

  #parseUnnamed(frame: Buffer, body: Buffer): Plan {
    const { link, outstanding } = this.#host;
    const text = body.toString('latin1', 0, body.indexOf(0));
    const parse = { ...effectsOf(text), frame: Buffer.from(frame), plain: !mayLeaveState(text) };
    const observer = this.#parts.unnamed.prepare(parse, link.checkOuts);
    if (!outstanding.outOfSync) return { kind: 'send', bytes: frame, observer };
    // Where the order of answers is lost, the statement counts as prepared: else it would be prepared again.
    observer.closed?.();
    return { kind: 'send', bytes: frame };
  }
}

/** While it is not known which answers are outstanding, the gateway may send no messages of its own: the session ends. */
export const orderLost = (): Plan => ({
  kind: 'refuse',
  error: new GatewayError('protocol_violation', 'the order of answers was lost'),
});
