/** `npm run bench -- observers`: what an audit line and a statement's span cost without a gateway, beside the least that they could. */
import { hash } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { Events, Logger, Session } from '../../core/index.ts';
import { FileSink } from '../../plugins/audit/file-sink.ts';
import { Recorder } from '../../plugins/audit/record.ts';
import { Trail } from '../../plugins/audit/trail.ts';
import { Texts } from '../../plugins/tracing/attributes.ts';
import { CollectorAgent } from '../../plugins/tracing/collector-agent.ts';
import { Outcome } from '../../plugins/tracing/outcome.ts';
import { SpanBatches } from '../../plugins/tracing/span-batches.ts';
import { StatementSpans } from '../../plugins/tracing/statement-spans.ts';
import type { Backdrop } from './backdrop.ts';
import type { Benchmark } from './command-line.ts';
import { inTurn, ROUNDS } from './rounds.ts';
import type { Figures, Row } from './table.ts';

type Statement = Events['statement'];

/** Takes an event, and ends. */
interface Way {
  readonly load: string;
  readonly name: string;
  take(event: Statement): void;
  end(): Promise<void>;
}

/** As many as a busy gateway has: they come in a few at a time. */
const AT_ONCE = 25;
/** Of an audit line of pgbench's select, and of its span. */
const LINE_BYTES = 560;
const SPAN_BYTES = 830;
const WRITE_MS = 10;

const log: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error: console.error,
  fatal() {},
} as never;

const session = {
  id: '0123456789abcdef',
  client: { address: '127.0.0.1', port: 50_000, listener: 'default' },
  startup: { user: '_', database: 'postgres', parameters: {}, options: {} },
  upstream: { entry: '*', database: 'postgres', role: 'bench', schemas: [] },
  facts: { identity: { issuer: 'https://id.example', subject: 'bench' } },
} as unknown as Session;

function eventOf(n: number): Statement {
  return {
    session,
    id: n,
    kind: 'execute',
    sql: 'SELECT abalance FROM pgbench_accounts WHERE aid = $1;',
    truncated: false,
    tags: ['SELECT 1'],
    rows: 1,
    bytesIn: 20,
    bytesOut: 60 + (n % 8),
    startedAt: Date.now(),
    durationMs: 0.1 + (n % 977) / 1_000,
    host: '127.0.0.1',
    port: 5432,
  };
}

async function auditLines(folder: string): Promise<Way> {
  const recorder = new Recorder('sanitised');
  const rotate = { size: 2 ** 40, ageMs: undefined, keep: undefined };
  const sink = new FileSink(join(folder, 'audit.jsonl'), { file: '', fsync: 1_000, rotate });
  const trail = new Trail({ sink, key: undefined, bufferUnits: 2 ** 28, marks: recorder, log });
  await trail.open();
  return {
    load: 'audit line',
    name: 'audit',
    take: (event) => trail.record(recorder.statement(event)),
    end: () => trail.close(),
  };
}

/** Lines that are there already: each has its hash, and a write has those of ten milliseconds. */
async function leastLines(folder: string): Promise<Way> {
  const file = await open(join(folder, 'least.jsonl'), 'a');
  const line = Buffer.alloc(LINE_BYTES, 'x');
  let waiting: Buffer[] = [];
  let under = Promise.resolve();
  const write = (): void => {
    const bytes = Buffer.concat(waiting);
    waiting = [];
    under = under.then(async () => void (await file.write(bytes)));
  };
  const timers = [setInterval(write, WRITE_MS), setInterval(() => void file.datasync(), 1_000)];
  return {
    load: 'audit line',
    name: 'SHA-256 and file',
    take() {
      hash('sha256', line, 'hex');
      waiting.push(line);
    },
    async end() {
      for (const timer of timers) clearInterval(timer);
      write();
      await under;
      await file.close();
    },
  };
}

function batchesTo(url: string): SpanBatches {
  const resource = resourceFromAttributes({ 'service.name': 'postern' });
  return new SpanBatches(
    { url, headers: {}, agent: new CollectorAgent(url), resource },
    new Outcome('spans', log),
  );
}

function spans(url: string): Way {
  const batches = batchesTo(url);
  const within = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 };
  const tools = { spans: batches, texts: new Texts(), parents: false };
  const statements = new StatementSpans(session, tools, within);
  return {
    load: 'span',
    name: 'tracing',
    take: (event) => statements.tell(event),
    end: () => batches.shutdown(),
  };
}

/** Spans that are there already: only their requests are made. */
function leastSpans(url: string): Way {
  const batches = batchesTo(url);
  const span = Buffer.from(`"${'x'.repeat(SPAN_BYTES - 2)}"`);
  return {
    load: 'span',
    name: 'copy and OTLP exporter',
    take() {
      batches.begin()?.part(span);
      batches.end();
    },
    end: () => batches.shutdown(),
  };
}

/** What only the loop around it costs. */
const nothing = (load: string): Way => ({ load, name: 'nothing', take() {}, end: () => Promise.resolve() });

async function measure(way: Way, seconds: number): Promise<Figures> {
  const before = process.cpuUsage();
  const end = performance.now() + seconds * 1_000;
  let count = 0;
  while (performance.now() < end) {
    for (let i = 0; i < AT_ONCE; i += 1) way.take(eventOf((count += 1)));
    await sleep(1);
  }
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / count, system: system / count };
}

async function waysOf(backdrop: Backdrop, folder: string): Promise<readonly Way[]> {
  const collector = await backdrop.module('collector.ts');
  const url = `http://127.0.0.1:${String(await collector.message())}/v1/traces`;
  return [
    nothing('audit line'),
    await leastLines(folder),
    await auditLines(folder),
    nothing('span'),
    leastSpans(url),
    spans(url),
  ];
}

/** What observing plugins do for a statement. */
export const observers: Benchmark = {
  summary: 'what an audit line and a span cost without a gateway, beside the least they could',
  options: { seconds: 9 },
  async run(backdrop, { seconds }) {
    const folder = await mkdtemp(join(tmpdir(), 'postern-bench-'));
    try {
      const ways = await waysOf(backdrop, folder);
      const lasting = seconds / ROUNDS;
      const figures = await inTurn(
        ways,
        (way) => measure(way, lasting),
        (way) => measure(way, lasting),
      );
      for (const way of ways) await way.end();
      const rows: readonly Row[] = ways.map(({ load, name }, i) => ({
        load,
        peer: name,
        figures: figures[i]!,
      }));
      return {
        note: `${ROUNDS} rounds in turn, ${lasting} s each, medians; ${AT_ONCE} statements each millisecond; CPU is that of this process, threads included`,
        columns: [
          { key: 'cpu', title: 'CPU µs each', digits: 2 },
          { key: 'system', title: 'of it system', digits: 2 },
        ],
        rows,
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
