/** The action for a Parse where server connections change between transactions. */
import { GatewayError } from '../../contract/errors.ts';
import { shown } from '../../wire/text.ts';
import { PARSE_COMPLETE } from '../../wire/to-client.ts';
import { encodeDescribe } from '../../wire/to-server.ts';
import type { Plan } from '../message-action.ts';
import { Op, ResponseAction, combined } from '../requests/request-queue.ts';
import type { RequestObserver } from '../requests/request-queue.ts';
import type { ServerStatements } from './server-statements.ts';
import type { OutstandingRequests } from '../requests/outstanding-requests.ts';
import { EMPTY, isCutOff, nameIn, parseParts, renamedLongParse, renamedParse } from './statement-names.ts';
import type { ParseParts } from './statement-names.ts';
import type { Change, ClientStatements, PendingChanges, UnnamedStatement } from './client-statements.ts';
import type { ServerSource } from '../server-source.ts';
import { NO_EFFECTS, UNSHARED, effectsOf, keyOf, originOf, statementOf } from './prepared-statement.ts';
import type { Effects, PreparedStatement } from './prepared-statement.ts';
import { ParseContext } from './parse-context.ts';
import type { ParseContextHost } from './parse-context.ts';
import type { MessageMask } from '../statements/message-mask.ts';
import { DescribeObserver } from './description.ts';
import type { KnownStatement } from './known-statements.ts';
import { ANY_SETTING } from '../settings/setting-names.ts';
import { mayLeaveState } from '../session-state-detection.ts';
import type { ObjectChanges } from '../object-changes.ts';
import { Status } from '../transaction-boundary.ts';

/** The interface between a session's prepared statements and the relay. */
export interface PreparedStatementsHost extends ParseContextHost {
  readonly outstanding: OutstandingRequests;
  readonly source: ParseContextHost['source'] & Pick<ServerSource, 'known'>;
  readonly objectChanges: ObjectChanges;
  readonly queryHook: { readonly messageMask: Pick<MessageMask, 'inspectPortals'> };
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
  /** See {@link ParseContext}. */
  readonly context: ParseContext;

  constructor(host: PreparedStatementsHost, parts: ParseHandlerParts) {
    this.#host = host;
    this.#parts = parts;
    this.context = new ParseContext(host);
  }

  /** What is known of a Parse with this body, so that it needs no server. */
  knownFor(body: Buffer): KnownStatement | undefined {
    const { known, parameters } = this.#host.source;
    const { path, hidesSchemas, isAlone } = this.context;
    if (path === undefined || hidesSchemas || isAlone) return undefined;
    return known.get(originOf(body, parameters, path).parsed);
  }

  /** The statement's key on the present connection, and its name where it is prepared there. */
  onConnection(statement: PreparedStatement): {
    readonly key: string;
    readonly serverName: string | undefined;
  } {
    const { onServer } = this.#parts;
    const { alone, since } = statement;
    const key = this.context.hidesSchemas ? alone : statement.key;
    const serverName = onServer.find(key, since);
    if (serverName !== undefined || key === alone || !this.context.isApart(statement))
      return { key, serverName };
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

  /** A statement is executed: that may do more than its tag shows. */
  executed(effects: Effects): void {
    if (effects.discards) this.#parts.onServer.mayFail = true;
    this.context.executed(effects);
  }

  /** What to do with a Parse. @throws GatewayError `program_limit_exceeded` */
  plan(frame: Buffer): Plan {
    if (isCutOff(frame)) return this.#parseLong(frame);
    const parts = parseParts(frame);
    if (!parts) return { kind: 'send', bytes: frame };
    this.context.read(parts.body.toString('latin1'));
    if (parts.name === '') return this.#parseUnnamed(frame, parts.body);
    if (this.#parts.names.has(parts.name))
      return this.#parseTaken(frame, parts.name, (serverName) => renamedParse(serverName, parts.body));
    return this.#parseNamed(parts);
  }

  #parseNamed({ name, body }: ParseParts): Plan {
    const { link, outstanding, source } = this.#host;
    const { onServer, names } = this.#parts;
    const origin = originOf(Buffer.from(body), this.context.parameters, this.context.path);
    const shared = !this.context.isApart(origin);
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
    const change = this.#parts.pending.add(
      name,
      () => {},
      () => {},
    );
    return { kind: 'send', bytes, observer: { ...change, error, replaces: [error.sqlstate] } };
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
