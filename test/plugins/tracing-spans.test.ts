/** Spans as they are written down for a collector: JSON whatever is in them, with the values that were meant. */
import { TraceFlags } from '@opentelemetry/api';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseDatabase } from '../../core/index.ts';
import type { Events, Session } from '../../core/index.ts';
import { Texts } from '../../plugins/tracing/attributes.ts';
import { JsonBytes, nanoseconds } from '../../plugins/tracing/json-bytes.ts';
import { attributesJson } from '../../plugins/tracing/span-json.ts';
import { StatementSpans } from '../../plugins/tracing/statement-spans.ts';

/** Keeps spans as texts. */
class Spans {
  readonly list: string[] = [];
  readonly #json = new JsonBytes(1);

  begin(): JsonBytes {
    this.#json.clear();
    return this.#json;
  }
  end(): void {
    this.list.push(this.#json.bytes.toString());
  }
}

interface Value {
  readonly stringValue?: string;
  readonly intValue?: number;
  readonly doubleValue?: number;
  readonly boolValue?: boolean;
  readonly arrayValue?: { readonly values: readonly Value[] };
}

function valueOf({ arrayValue, ...value }: Value): unknown {
  return arrayValue ? arrayValue.values.map(valueOf) : Object.values(value)[0];
}

const attributesOf = (list: readonly { readonly key: string; readonly value: Value }[]): object =>
  Object.fromEntries(list.map(({ key, value }) => [key, valueOf(value)]));

test('attributes come back as they were, whatever is in names and values', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((one) => one + 0),
    fc.boolean(),
    fc.array(fc.string({ unit: 'binary' })),
  );
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: 'binary' }), value, { noNullPrototype: true }),
      (attributes) => {
        const list = JSON.parse(`[${attributesJson(attributes)}]`) as Parameters<typeof attributesOf>[0];
        expect(attributesOf(list)).toEqual(attributes);
      },
    ),
  );
});

test('times are nanoseconds, with the microseconds of a fraction', () => {
  expect(nanoseconds(1_764_000_000_000)).toBe('1764000000000000000');
  expect(nanoseconds(1_764_000_000_000.25)).toBe('1764000000000250000');
  fc.assert(
    fc.property(fc.double({ min: 1e12, max: 4e12, noNaN: true }), (ms) => {
      const exact = BigInt(Math.floor(ms)) * 1_000_000n;
      const off = BigInt(nanoseconds(ms)) - exact;
      expect(off >= 0n && off < 1_000_000n).toBe(true);
    }),
  );
});

test('numbers and ids as bytes are those of their texts', () => {
  const json = new JsonBytes(1);
  const put = (one: (to: JsonBytes) => void): string => {
    json.clear();
    one(json);
    return json.bytes.toString();
  };
  fc.assert(
    fc.property(
      fc.maxSafeNat(),
      fc.double({ min: 0, max: 2e13, noNaN: true }),
      fc.nat(12),
      (value, ms, shift) => {
        const rows = Math.floor(value / 10 ** shift);
        expect(put((to) => to.integer(rows))).toBe(String(rows));
        expect(put((to) => to.nanoseconds(ms))).toBe(nanoseconds(ms));
      },
    ),
    { numRuns: 2_000 },
  );
  for (const ms of [0, 1e12 - 0.5, 1e12, 1e13 - 0.001, 1e13])
    expect(put((to) => to.nanoseconds(ms))).toBe(nanoseconds(ms));
  const ids = Array.from({ length: 1_000 }, () => put((to) => to.spanId()));
  expect(new Set(ids).size).toBe(1_000);
  for (const id of ids) expect(id).toMatch(/^[\da-f]{16}$/);
});

test('the span of a statement is JSON with its text, its server and its outcome, for any text and session', () => {
  const spans = new Spans();
  const tools = { spans, texts: new Texts(), parents: true };
  const within = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: TraceFlags.SAMPLED };
  const text = fc.string({ unit: 'binary', maxLength: 60 });
  const event = fc.record({
    sql: text,
    host: text,
    database: text,
    rows: fc.nat(),
    tags: fc.array(fc.constantFrom('SELECT 1', 'INSERT 0 2'), { maxLength: 3 }),
    sqlstate: fc.option(fc.constantFrom('01000', '23505', '08006'), { nil: undefined }),
  });
  fc.assert(
    fc.property(event, ({ database, host, sqlstate, ...more }) => {
      const startup = { user: 'u', database, parameters: {} };
      const session = { id: 'id', startup, upstream: undefined } as unknown as Session;
      const outcome = sqlstate === undefined ? {} : { sqlstate };
      const statement = {
        session,
        host,
        port: 5432,
        kind: 'query',
        id: 1,
        truncated: false,
        bytesIn: 1,
        bytesOut: 2,
        startedAt: 1_764_000_000_000,
        durationMs: 1.5,
        ...more,
        ...outcome,
      } as Events['statement'];
      new StatementSpans(session, tools, within).tell(statement);
      const span = JSON.parse(spans.list.pop() ?? '') as Readonly<Record<string, never>>;
      expect(span).toMatchObject({
        traceId: within.traceId,
        parentSpanId: within.spanId,
        kind: 3,
        flags: 257,
        spanId: expect.stringMatching(/^[\da-f]{16}$/) as string,
        startTimeUnixNano: '1764000000000000000',
        endTimeUnixNano: '1764000000001500000',
        status: sqlstate !== undefined && sqlstate >= '02' ? { code: 2, message: sqlstate } : { code: 0 },
      });
      const told = attributesOf(span['attributes'] as unknown as Parameters<typeof attributesOf>[0]);
      expect(told).toMatchObject({
        'db.namespace': database,
        'server.address': host,
        'server.port': 5432,
        'db.response.returned_rows': more.rows,
        ...(sqlstate !== undefined && { 'db.response.status_code': sqlstate }),
        ...(more.tags.length > 1 && { 'db.operation.batch.size': more.tags.length }),
      });
    }),
  );
});

test('a session that has another server has its next statement there', () => {
  const spans = new Spans();
  const tools = { spans, texts: new Texts(), parents: false };
  const startup = { user: 'u', database: 'd', parameters: {} };
  const session = {
    id: 'id',
    startup,
    upstream: { database: parseDatabase('real'), schemas: [] },
  } as unknown as Session;
  const within = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: TraceFlags.SAMPLED };
  const trace = new StatementSpans(session, tools, within);
  const base = {
    session,
    kind: 'query',
    sql: 'select 1',
    tags: ['SELECT 1'],
    rows: 1,
    startedAt: 1,
    durationMs: 1,
  };
  trace.tell({ ...base, host: 'one', port: 1 } as unknown as Events['statement']);
  trace.tell({ ...base, host: 'two', port: 1 } as unknown as Events['statement']);
  trace.tell({ ...base, host: '/run' } as unknown as Events['statement']);
  const servers = spans.list.map((span) => {
    const { attributes } = JSON.parse(span) as { attributes: Parameters<typeof attributesOf>[0] };
    const { 'server.address': host, 'server.port': port } = attributesOf(attributes) as Readonly<
      Record<string, unknown>
    >;
    return [host, port];
  });
  expect(servers).toEqual([
    ['one', 1],
    ['two', 1],
    ['/run', undefined],
  ]);
});
