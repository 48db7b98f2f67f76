/** `DEALLOCATE name` in SQL: some drivers close in this way statements that they prepared by messages (manual, "DEALLOCATE"). */
import { randomBytes } from 'node:crypto';
import { Backend, HEADER_BYTES } from '../wire/frames.ts';
import { encodeParse, encodeQuery } from '../wire/to-server.ts';
import type { Plan } from './decision.ts';
import { Kind, Op } from './entries.ts';
import type { Note } from './entries.ts';
import { joined } from './joined-note.ts';
import { Status } from './transaction-boundary.ts';
import type { Ledger } from './ledger.ts';
import type { SessionStatements } from './session-statements.ts';

/** Longer texts are none: a name has at most 63 bytes (manual, 4.1.1). */
const LONGEST = 200;
const D = 'D'.charCodeAt(0);
const TO_UPPER = ~0x20;
const COMMAND =
  /^deallocate\s+(?:prepare\s+)?(?:"((?:[^"]|"")+)"|(?!all\s*(?:;\s*)?$)([a-z_][\w$]*))\s*(?:;\s*)?$/i;

/** The session's names, and the statements on its server connection. */
export interface NamePlaces {
  /** The session's own names. */
  readonly names: SessionStatements;
  readonly ledger: Ledger;
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
function giveUp(frame: Buffer, start: number, { names, ledger, prepared }: NamePlaces) {
  const name = deallocated(frame, start) ?? '';
  const statement = names.get(name);
  // In a failed transaction the server refuses the command whatever it is about.
  if (!statement || !prepared || ledger.status === Status.failed) return undefined;
  const own = `postern_${randomBytes(12).toString('hex')}`;
  names.remove(name);
  // Should the substitute survive, it is closed like every other statement when it is the oldest.
  prepared.set(own, own);
  ledger.sent(Op.parse, Kind.swallow, { showsError: true, dropped: () => void prepared.delete(own) });
  const restore = (): void => names.restore(name, statement);
  const gone = (): void => void prepared.delete(own);
  return { before: encodeParse(own, ''), sql: `DEALLOCATE ${own}`, restore, gone };
}

/** The action for a Query; `dropped` is its effect on the unnamed statement. */
export function planOfQuery(frame: Buffer, dropped: Note | undefined, places: NamePlaces): Plan {
  const given = giveUp(frame, HEADER_BYTES, places);
  if (!given) return { kind: 'send', bytes: frame, note: dropped };
  const { before, sql, restore, gone } = given;
  let failed = false;
  const note: Note = {
    answered: (type) => (failed ||= type === Backend.errorResponse),
    closed: () => (failed ? restore() : gone()),
    dropped: restore,
  };
  return { kind: 'send', bytes: Buffer.concat([before, encodeQuery(sql)]), note: joined(note, dropped) };
}

/** The action for a Parse of the unnamed statement, whose types are `types`; `noted` hears which Parse is sent. */
export function planOfUnnamed(
  frame: Buffer,
  types: Buffer,
  noted: (parse: Buffer) => Note | undefined,
  places: NamePlaces,
): Plan {
  const given = giveUp(frame, HEADER_BYTES + 1, places);
  if (!given) return { kind: 'send', bytes: frame, note: noted(frame) };
  // The gateway counts it as executed: drivers that use the extended protocol execute it in the same batch.
  const parse = encodeParse('', given.sql, types);
  const note = joined({ dropped: given.restore }, noted(parse));
  return { kind: 'send', bytes: Buffer.concat([given.before, parse]), note };
}
