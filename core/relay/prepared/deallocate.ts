/** `DEALLOCATE name` in SQL: some drivers close in this way statements that they prepared by messages (manual, "DEALLOCATE"). */
import { randomBytes } from 'node:crypto';
import { Backend, HEADER_BYTES } from '../../wire/frames.ts';
import { encodeParse, encodeQuery } from '../../wire/to-server.ts';
import type { Plan } from '../message-action.ts';
import { Op, ResponseAction, combined } from '../request-queue.ts';
import type { RequestObserver } from '../request-queue.ts';
import { Status } from '../transaction-boundary.ts';
import type { OutstandingRequests } from '../outstanding-requests.ts';
import type { ClientStatements } from './client-statements.ts';

/** Longer texts are none: a name has at most 63 bytes (manual, 4.1.1). */
const LONGEST = 200;
const D = 'D'.charCodeAt(0);
const TO_UPPER = ~0x20;
const COMMAND =
  /^deallocate\s+(?:prepare\s+)?(?:"((?:[^"]|"")+)"|(?!all\s*(?:;\s*)?$)([a-z_][\w$]*))\s*(?:;\s*)?$/i;

/** The session's names, and the statements on its server connection. */
export interface KnownNames {
  /** The session's own names. */
  readonly names: ClientStatements;
  readonly outstanding: OutstandingRequests;
  /** The gateway's names on the present server connection, by the statements behind them. */
  readonly prepared: Map<string, string> | undefined;
}

/** The name that the text at `start` of a message deallocates; undefined for any other text, and for `ALL`. */
export function deallocated(frame: Buffer, start: number): string | undefined {
  // The only check that every statement costs.
  if (((frame[start] ?? 0) & TO_UPPER) !== D) return undefined;
  const end = frame.indexOf(0, start);
  if (end < 0 || end - start > LONGEST) return undefined;
  const [, quoted, plain] = COMMAND.exec(frame.toString('latin1', start, end)) ?? [];
  return quoted?.replaceAll('""', '"') ?? plain?.toLowerCase();
}

/**
 * The session drops the name, and the server answers the command for a substitute: an empty statement that is prepared in
 * front of it under a name of the gateway. Undefined for any other text, and for a name that the session does not have.
 */
function rewriteDeallocate(frame: Buffer, start: number, { names, outstanding, prepared }: KnownNames) {
  const name = deallocated(frame, start) ?? '';
  const statement = names.get(name);
  // In a failed transaction the server refuses the command whatever it is about.
  if (!statement || !prepared || outstanding.status === Status.failed) return undefined;
  const serverName = `postern_${randomBytes(12).toString('hex')}`;
  names.remove(name);
  // Should the substitute survive, it is closed like every other statement when it is the oldest.
  prepared.set(serverName, serverName);
  outstanding.sent(Op.parse, ResponseAction.skip, {
    showsError: true,
    dropped: () => void prepared.delete(serverName),
  });
  const restore = (): void => names.restore(name, statement);
  const gone = (): void => void prepared.delete(serverName);
  return { before: encodeParse(serverName, ''), sql: `DEALLOCATE ${serverName}`, restore, gone };
}

/** The action for a Query; `dropped` is its effect on the unnamed statement. */
export function planOfQuery(frame: Buffer, dropped: RequestObserver | undefined, known: KnownNames): Plan {
  const rewritten = rewriteDeallocate(frame, HEADER_BYTES, known);
  if (!rewritten) return { kind: 'send', bytes: frame, observer: dropped };
  const { before, sql, restore, gone } = rewritten;
  let failed = false;
  const observer: RequestObserver = {
    answered: (type) => (failed ||= type === Backend.errorResponse),
    closed: () => (failed ? restore() : gone()),
    dropped: restore,
  };
  return {
    kind: 'send',
    bytes: Buffer.concat([before, encodeQuery(sql)]),
    observer: combined(observer, dropped),
  };
}

/** The action for a Parse of the unnamed statement, whose types are `types`; `observed` hears which Parse is sent. */
export function planOfUnnamed(
  frame: Buffer,
  types: Buffer,
  observed: (parse: Buffer) => RequestObserver | undefined,
  known: KnownNames,
): Plan {
  const rewritten = rewriteDeallocate(frame, HEADER_BYTES + 1, known);
  if (!rewritten) return { kind: 'send', bytes: frame, observer: observed(frame) };
  // The gateway counts it as executed: drivers that use the extended protocol execute it in the same batch.
  const parse = encodeParse('', rewritten.sql, types);
  const observer = combined({ dropped: rewritten.restore }, observed(parse));
  return { kind: 'send', bytes: Buffer.concat([rewritten.before, parse]), observer };
}
