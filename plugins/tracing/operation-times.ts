/** How long statements take, by OpenTelemetry's stable conventions for clients of databases: to the server the gateway is one. */
import type { Attributes, Meter } from '@opentelemetry/api';
import {
  ATTR_DB_NAMESPACE,
  ATTR_DB_OPERATION_NAME,
  ATTR_DB_RESPONSE_STATUS_CODE,
  ATTR_DB_SYSTEM_NAME,
  ATTR_ERROR_TYPE,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  DB_SYSTEM_NAME_VALUE_POSTGRESQL,
} from '@opentelemetry/semantic-conventions';
import type { Events, Observers } from '../../core/index.ts';

type Histogram = ReturnType<Meter['createHistogram']>;

/** Values of one label told apart: clients make up SQLSTATEs (RAISE … USING ERRCODE), and a series lives as long as the process. */
const MOST_VALUES = 100;
/** What the convention has for all others. */
const OTHER = '_OTHER';
/** Sets of labels that are kept; the SDK counts those beyond as one. */
const MOST_SETS = 2_000;

/** Tags whose labels are kept for each session: the number of rows is part of a tag. */
const MOST_TAGS = 32;

/** The first values that come, and one for all others. */
class Bounded {
  readonly #told = new Set<string>();

  of(value: string): string {
    if (value === '' || this.#told.has(value)) return value;
    if (this.#told.size >= MOST_VALUES) return OTHER;
    this.#told.add(value);
    return value;
  }
}

/** `INSERT` of `INSERT 0 5`: as the server names it, which no client makes up. `BATCH` for several that differ. */
function operationOf([first, ...more]: readonly string[]): string {
  const name = (tag: string): string => (/^\D*/.exec(tag)?.[0] ?? '').trimEnd();
  if (first === undefined) return '';
  if (more.length === 0) return name(first);
  return more.every((tag) => name(tag) === name(first)) ? `BATCH ${name(first)}` : 'BATCH';
}

/** Labels by the single tag of statements that went well, of one server of one upstream. */
interface Place {
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly labels: Map<string, Attributes>;
}

/** Remembers the labels of statements that went well: nothing has to be put together for those that come again. */
function remembering(
  labelsOf: (event: Events['statement']) => Attributes,
): (event: Events['statement']) => Attributes {
  const places = new WeakMap<object, Place>();
  return (event) => {
    const { session, host, port, tags, sqlstate } = event;
    const [tag, second] = tags;
    const { upstream } = session;
    if (!upstream || tag === undefined || second !== undefined || sqlstate !== undefined)
      return labelsOf(event);
    let place = places.get(upstream);
    if (!place || place.host !== host || place.port !== port || place.labels.size >= MOST_TAGS)
      places.set(upstream, (place = { host, port, labels: new Map() }));
    let labels = place.labels.get(tag);
    if (!labels) place.labels.set(tag, (labels = labelsOf(event)));
    return labels;
  };
}

/** Observes into a histogram; `database` is the name in the config, as of every other metric. */
export function statementTimes(times: Histogram): Observers {
  const [namespaces, servers, operations, errors] = Array.from({ length: 4 }, () => new Bounded());
  const known = new Map<string, Attributes>();
  const labelsOf = ({
    session,
    host = '',
    port = 0,
    tags,
    sqlstate = '',
  }: Events['statement']): Attributes => {
    const { entry = '', database = '' } = session.upstream ?? {};
    const [namespace = '', server = '', operation = '', error = ''] = [
      namespaces?.of(database),
      servers?.of(host === '' ? '' : `${host} ${port}`),
      operations?.of(operationOf(tags)),
      // 00 and 01 are no errors (manual, Appendix A).
      errors?.of(sqlstate >= '02' ? sqlstate : ''),
    ];
    const key = [entry, namespace, server, operation, error].join('\0');
    const made = known.get(key) ?? {
      database: entry,
      [ATTR_DB_SYSTEM_NAME]: DB_SYSTEM_NAME_VALUE_POSTGRESQL,
      ...(namespace !== '' && { [ATTR_DB_NAMESPACE]: namespace }),
      ...(server !== '' && { [ATTR_SERVER_ADDRESS]: server === OTHER ? OTHER : host }),
      ...(server !== '' && server !== OTHER && port > 0 && { [ATTR_SERVER_PORT]: port }),
      ...(operation !== '' && { [ATTR_DB_OPERATION_NAME]: operation }),
      ...(error !== '' && { [ATTR_DB_RESPONSE_STATUS_CODE]: error, [ATTR_ERROR_TYPE]: error }),
    };
    if (known.size < MOST_SETS) known.set(key, made);
    return made;
  };
  const labels = remembering(labelsOf);
  return { statement: (event) => times.record(event.durationMs / 1_000, labels(event)) };
}
