/** The action for a Parse where server connections change between transactions. */
import { GatewayError } from '../errors.ts';
import { shown } from '../wire/text.ts';
import { PARSE_COMPLETE } from '../wire/to-client.ts';
import { planOfUnnamed } from './deallocate.ts';
import type { NamePlaces } from './deallocate.ts';
import type { Plan } from './decision.ts';
import { Kind, Op } from './entries.ts';
import type { Note } from './entries.ts';
import { joined } from './joined-note.ts';
import type { KeptStatements } from './kept-statements.ts';
import type { Ledger } from './ledger.ts';
import { isCutOff, nameIn, parseParts, renamedLongParse, renamedParse } from './named-messages.ts';
import type { ParseParts } from './named-messages.ts';
import type { Change, OwedChanges } from './owed-changes.ts';
import type { ServerLink } from './server-link.ts';
import type { ServerSource } from './server-source.ts';
import { FOREIGN } from './session-statements.ts';
import type { SessionStatements } from './session-statements.ts';
import { mayDiscard, settingsOf, statementOf, unlike } from './statement-key.ts';
import type { Statement } from './statement-key.ts';
import { isTelling, leavesSettings, mayChooseSchemas, pinningWord } from './telling-words.ts';
import { Status } from './transaction-boundary.ts';
import type { UnnamedStatement } from './unnamed-statement.ts';

/** An empty statement without parameters: prepared in any transaction, even in a failed one. */
const EMPTY = Buffer.from([0, 0, 0]);

/** The interface between a session's prepared statements and the relay. */
export interface SharedStatementsHost {
  readonly link: Pick<ServerLink, 'server' | 'checkOuts'>;
  readonly ledger: Ledger;
  readonly source: Pick<ServerSource, 'parameters' | 'known'>;
  /** The connection has to stay with the session. */
  pin(why: string): void;
  /** A statement is executed that may leave state which no tag shows. */
  leavesState(): void;
}

/** The session's statements, by their names and keys. */
export interface ParsesParts {
  readonly names: SessionStatements;
  readonly kept: KeptStatements;
  readonly unnamed: UnnamedStatement;
  /** By the client's names, the empty one included. */
  readonly owed: OwedChanges;
}

/** One per session. */
export class Parses {
  readonly #host: SharedStatementsHost;
  readonly #parts: ParsesParts;
  #choseSchemas = false;

  constructor(host: SharedStatementsHost, parts: ParsesParts) {
    this.#host = host;
    this.#parts = parts;
  }

  /** What a DEALLOCATE by name refers to. */
  get places(): NamePlaces {
    const { ledger, link } = this.#host;
    return { names: this.#parts.names, ledger, prepared: link.server?.prepared };
  }

  /** Reads from a text the effects on its connection that no tag shows. */
  read(text: string): void {
    if (!isTelling(text)) return;
    const why = pinningWord(text);
    if (why !== undefined) this.#host.pin(why);
    this.#choseSchemas ||= mayChooseSchemas(text);
  }

  /** The same for a Query, which is executed at once; the end of a long one is not known. */
  readQuery(text: string, isCut: boolean): void {
    const tells = isTelling(text);
    if (tells) this.read(text);
    this.#choseSchemas ||= isCut;
    if (isCut || (tells && leavesSettings(text))) this.#host.leavesState();
  }

  /** The session may have set search_path, and the server does not report it: its table names may mean other tables than in other sessions. */
  get hidesSchemas(): boolean {
    return this.#choseSchemas && !this.#host.source.parameters.has('search_path');
  }

  /** Prepared now, the statement may differ in meaning from its Parse: it is not shared with other sessions. */
  isApart({ settings, path }: Statement): boolean {
    const { settingsKnown } = this.#host.ledger;
    const now = this.#parameters;
    const doubtful = this.#choseSchemas && !settingsKnown;
    if (doubtful || this.hidesSchemas || path !== now.get('search_path')) return true;
    return settings !== '' && (!settingsKnown || settingsOf(now) !== settings);
  }

  /** True for a whole Parse of a statement that the connection has prepared already. */
  isKept(frame: Buffer): boolean {
    const parts = isCutOff(frame) ? undefined : parseParts(frame);
    return (
      parts !== undefined && this.#parts.kept.prepared.has(statementOf(parts.body, this.#parameters).key)
    );
  }

  /** The parameters in force on the connection, or on the next one. */
  get #parameters(): ReadonlyMap<string, string> {
    const { link, source } = this.#host;
    return link.server?.parameters ?? source.parameters;
  }

  /** A statement is executed: that may do more than its tag shows. */
  executed({ discards, leavesSettings }: Pick<Statement, 'discards' | 'leavesSettings'>): void {
    if (discards) this.#parts.kept.endangered = true;
    if (leavesSettings) this.#host.leavesState();
  }

  /** What to do with a Parse. @throws GatewayError `program_limit_exceeded` */
  plan(frame: Buffer): Plan {
    if (isCutOff(frame)) return this.#parseLong(frame);
    const parts = parseParts(frame);
    if (!parts) return { kind: 'send', bytes: frame };
    this.read(parts.body.toString('latin1'));
    if (parts.name === '') return this.#parseUnnamed(frame, parts.body);
    if (this.#parts.names.has(parts.name))
      return this.#parseTaken(frame, parts.name, (own) => renamedParse(own, parts.body));
    return this.#parseNamed(parts);
  }

  #parseNamed({ name, body }: ParseParts): Plan {
    const { link, ledger } = this.#host;
    const { server } = link;
    const read = statementOf(Buffer.from(body), this.#parameters);
    const statement = this.isApart(read) ? unlike(read) : read;
    this.#parts.names.add(name, statement);
    const change = this.#named(name, statement);
    const local = { kind: 'local', note: { answer: () => PARSE_COMPLETE, ...change } } as const;
    if (!server) return local;
    if (ledger.spoilt) return lost();
    const isKept = this.#parts.kept.find(statement.key) !== undefined;
    const certain =
      ledger.status !== Status.failed && !ledger.changing && !this.#parts.kept.owed.has(statement.key);
    if (isKept && certain) return local;
    if (isKept) return this.#try(body, change);
    const { own, before, note } = this.#parts.kept.add(statement.key);
    const bytes = Buffer.concat([before, renamedParse(own, body)]);
    return { kind: 'send', bytes, note: joined(note, change) };
  }

  #named(name: string, statement: Statement): Change & Note {
    const change = this.#parts.owed.add(
      name,
      () => {},
      () => this.#parts.names.remove(name, statement),
    );
    return { ...change, names: true };
  }

  /** The server decides whether the statement can be prepared now; only its answer is needed. */
  #try(body: Buffer, note: Note): Plan {
    const { own, before } = this.#parts.kept.trial();
    return { kind: 'send', bytes: Buffer.concat([before, renamedParse(own, body)]), note };
  }

  /** The server refuses it as it would without the gateway: after its other checks, for a name that is in use. */
  #parseTaken(frame: Buffer, name: string, renamed: (own: string) => Buffer): Plan {
    const { ledger } = this.#host;
    if (this.#parts.names.get(name) === FOREIGN) return { kind: 'send', bytes: frame };
    if (ledger.spoilt) return lost();
    const text = shown(Buffer.from(name, 'latin1').toString());
    const error = new GatewayError(
      'duplicate_prepared_statement',
      `prepared statement ${text} already exists`,
    );
    const { own, before } = this.#parts.kept.trial();
    ledger.sent(Op.parse, Kind.swallow, { showsError: true });
    const bytes = Buffer.concat([before, renamedParse(own, EMPTY), renamed(own)]);
    return { kind: 'send', bytes, note: { error, replaces: [error.sqlstate] } };
  }

  /** Too long to be stored and prepared again on another connection. */
  #parseLong(frame: Buffer): Plan {
    this.#host.pin('a long statement was prepared');
    const name = nameIn(frame, false);
    if (name === undefined) return { kind: 'send', bytes: frame };
    if (this.#parts.names.has(name))
      return this.#parseTaken(frame, name, (own) => renamedLongParse(frame, own));
    if (name === '') {
      const note = this.#parts.unnamed.prepare(
        { frame: undefined, discards: false, leavesSettings: true, plain: false },
        this.#host.link.checkOuts,
      );
      return { kind: 'send', bytes: frame, note };
    }
    this.#parts.names.add(name, FOREIGN);
    return { kind: 'send', bytes: frame, note: this.#named(name, FOREIGN) };
  }

  #parseUnnamed(frame: Buffer, body: Buffer): Plan {
    const { link, ledger } = this.#host;
    const types = Buffer.from(body.subarray(body.indexOf(0) + 1));
    const noted = (parse: Buffer): Note | undefined => {
      const text = body.toString('latin1', 0, body.indexOf(0));
      const left = { discards: mayDiscard(text), leavesSettings: leavesSettings(text) };
      const plain = parse === frame && !isTelling(text);
      const note = this.#parts.unnamed.prepare({ frame: Buffer.from(parse), ...left, plain }, link.checkOuts);
      // Where the order of answers is lost, the statement counts as prepared: else it would be prepared again.
      if (!ledger.spoilt) return note;
      note.closed?.();
      return undefined;
    };
    return planOfUnnamed(frame, types, noted, this.places);
  }
}

/** While it is not known which answers are outstanding, the gateway may send no messages of its own: the session ends. */
export const lost = (): Plan => ({
  kind: 'refuse',
  error: new GatewayError('protocol_violation', 'the order of answers was lost'),
});
