/** What spans say, by OpenTelemetry's stable conventions for databases; what has no such name begins with `postern.`. */
import type { Attributes } from '@opentelemetry/api';
import {
  ATTR_CLIENT_ADDRESS,
  ATTR_CLIENT_PORT,
  ATTR_DB_NAMESPACE,
  ATTR_DB_OPERATION_BATCH_SIZE,
  ATTR_DB_QUERY_SUMMARY,
  ATTR_DB_QUERY_TEXT,
  ATTR_DB_RESPONSE_STATUS_CODE,
  ATTR_DB_SYSTEM_NAME,
  ATTR_ERROR_TYPE,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  DB_SYSTEM_NAME_VALUE_POSTGRESQL,
} from '@opentelemetry/semantic-conventions';
import { withoutLiterals } from '../../core/index.ts';
import type { Events, Session } from '../../core/index.ts';
import { summaryOf } from './query-summary.ts';
import { attributesJson } from './span-json.ts';

/** How much of a statement is told, in characters: what waits to be sent must have an end. */
const LONGEST_TEXT = 4_096;
/** Statements whose text is remembered without its literals. */
const MOST_TEXTS = 500;

/** A statement as it may be told: the name of its span, and its attributes, both as JSON in UTF-8. */
export interface Told {
  readonly name: Uint8Array;
  /** With a comma behind each. */
  readonly attributes: Uint8Array;
}

function toldOf(text: string, summary: string): Told {
  const attributes = attributesJson({
    ...(text !== '' && { [ATTR_DB_QUERY_TEXT]: text }),
    ...(summary !== '' && { [ATTR_DB_QUERY_SUMMARY]: summary }),
  });
  return {
    name: Buffer.from(JSON.stringify(summary || 'postgresql')),
    attributes: Buffer.from(attributes === '' ? '' : `${attributes},`),
  };
}

/** A call of a function by its protocol message, which has no text. */
export const FUNCTION_CALL = toldOf('', 'FUNCTION CALL');

/** The values of the last few hundred texts. Two maps take turns: to delete the oldest key of one takes longer the more have gone. */
class Recent {
  #young = new Map<string, Told>();
  #old = new Map<string, Told>();

  get(text: string): Told | undefined {
    const young = this.#young.get(text);
    if (young) return young;
    const old = this.#old.get(text);
    if (old) this.set(text, old);
    return old;
  }

  set(text: string, told: Told): void {
    if (this.#young.size >= MOST_TEXTS / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(text, told);
  }
}

/** Texts without their literals: the same statement comes again and again, be it with other values. */
export class Texts {
  readonly #whole = new Recent();
  readonly #shown = new Recent();

  of(sql: string): Told {
    const part = sql.slice(0, LONGEST_TEXT);
    const known = this.#whole.get(part);
    if (known) return known;
    const text = withoutLiterals(part);
    let told = this.#shown.get(text);
    if (!told) this.#shown.set(text, (told = toldOf(text, summaryOf(text))));
    this.#whole.set(part, told);
    return told;
  }
}

/** Nothing of an SQLSTATE that is no error: classes 00 and 01 (manual, Appendix A). */
export function failure(sqlstate: string | undefined): Attributes {
  if (sqlstate === undefined) return {};
  const error = sqlstate < '02' ? {} : { [ATTR_ERROR_TYPE]: sqlstate };
  return { [ATTR_DB_RESPONSE_STATUS_CODE]: sqlstate, ...error };
}

/** `{database}|{schema}`, the schema being the first that is pinned; the database alone where none is. */
function namespaceOf({ upstream, startup }: Session): string {
  const database = upstream?.database ?? startup.database;
  const [schema] = upstream?.schemas ?? [];
  return schema === undefined ? database : `${database}|${schema}`;
}

/** What is known of a session before anybody has said who it is. */
export function clientAttributes({ id, client, startup, credential }: Session): Attributes {
  return {
    [ATTR_DB_SYSTEM_NAME]: DB_SYSTEM_NAME_VALUE_POSTGRESQL,
    [ATTR_CLIENT_ADDRESS]: client.address,
    [ATTR_CLIENT_PORT]: client.port,
    'session.id': id,
    'postern.listener': client.listener,
    'postern.credential': credential,
    'postern.tls': client.tls !== undefined,
    'postern.database': startup.database,
  };
}

/** Who it is. Whether anybody may see it is the operator's choice. */
export function identityAttributes({ facts, upstream }: Session): Attributes {
  const { identity, tenant } = facts;
  return {
    ...(identity && { 'enduser.id': identity.subject, 'postern.issuer': identity.issuer }),
    ...(tenant !== undefined && { 'postern.tenant': tenant }),
    ...(upstream?.role !== undefined && { 'user.roles': [upstream.role] }),
  };
}

/** Where the server is. */
export function serverAttributes({
  host,
  port,
}: {
  readonly host?: string;
  readonly port?: number;
}): Attributes {
  return {
    ...(host !== undefined && { [ATTR_SERVER_ADDRESS]: host }),
    ...(port !== undefined && { [ATTR_SERVER_PORT]: port }),
  };
}

/** What a statement's span says of its session. */
export function placeAttributes(session: Session): Attributes {
  return {
    [ATTR_DB_SYSTEM_NAME]: DB_SYSTEM_NAME_VALUE_POSTGRESQL,
    [ATTR_DB_NAMESPACE]: namespaceOf(session),
    'session.id': session.id,
  };
}

/** What it says of its result, besides its rows. */
export function resultAttributes({ tags, sqlstate }: Events['statement']): Attributes {
  return { ...(tags.length > 1 && { [ATTR_DB_OPERATION_BATCH_SIZE]: tags.length }), ...failure(sqlstate) };
}

/** Its rows: the only attribute that each statement has of its own. */
export const ROWS = 'db.response.returned_rows';
