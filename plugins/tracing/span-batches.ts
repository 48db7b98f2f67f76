/** Spans on their way to the collector, as the JSON they are sent in: in batches, one after the other, with an end to what may wait. */
import {
  convertLegacyHttpOptions,
  createOtlpHttpExportDelegate,
} from '@opentelemetry/otlp-exporter-base/node-http';
import type { IOtlpExportDelegate } from '@opentelemetry/otlp-exporter-base';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace';
import type { CollectorAgent } from './collector-agent.ts';
import type { Outcome } from './outcome.ts';
import { attributesJson, spanJson } from './span-json.ts';

/** Spans that may wait to be sent; later ones are dropped. */
const MOST_WAITING = 4_096;
/** How long they may be together, in bytes. */
const MOST_BYTES = 8 * 1_024 * 1_024;
/** So many are sent at once, and a request is not much longer than this: collectors take 4 MiB and more. */
const BATCH = 512;
const MOST_BATCH = 2_048;
const LONGEST_BATCH = 2 * 1_024 * 1_024;
/** How long spans are gathered, in milliseconds. */
const GATHER_MS = 1_000;
/** How long a collector may take for a batch, in milliseconds. */
const PATIENCE_MS = 5_000;

/** Where spans go. */
export interface SpanTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: CollectorAgent;
  readonly resource: Resource;
}

/** Bytes of a new batch, before it is known how long batches are. */
const FIRST_BYTES = 65_536;
/** In UTF-8, for each UTF-16 code unit at most. */
const UNIT_BYTES = 3;
const COMMA = 0x2c;
const END = ']}]}]}';

/** Spans that are sent at once, as the body of their request: nothing of them is kept as text. */
class Batch {
  count = 0;
  readonly #headBytes: number;
  #bytes: Buffer;
  #length: number;

  /** `head` is the beginning of the body, `bytes` an estimate of its length. */
  constructor(head: string, bytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(bytes, UNIT_BYTES * head.length));
    this.#headBytes = this.#length = this.#bytes.write(head, 'utf8');
  }

  /** Of the spans, in bytes. */
  get length(): number {
    return this.#length - this.#headBytes;
  }

  add(span: string): void {
    const most = this.#length + UNIT_BYTES * span.length + END.length + 1;
    if (most > this.#bytes.length) this.#grow(most);
    if (this.count > 0) this.#bytes[this.#length++] = COMMA;
    this.#length += this.#bytes.write(span, this.#length, 'utf8');
    this.count += 1;
  }

  /** The whole body. */
  body(): Buffer {
    const end = this.#length + this.#bytes.write(END, this.#length, 'latin1');
    return this.#bytes.subarray(0, end);
  }

  #grow(most: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(most, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

function headOf({ resource }: SpanTarget): string {
  return `{"resourceSpans":[{"resource":{"attributes":[${attributesJson(resource.attributes)}]},"scopeSpans":[{"scope":{"name":"postern"},"spans":[`;
}

function exporterTo({ url, headers, agent }: SpanTarget): IOtlpExportDelegate<Batch> {
  const json = { 'Content-Type': 'application/json' };
  const options = {
    ...agent.options,
    url,
    headers: { ...headers },
    timeoutMillis: PATIENCE_MS,
    concurrencyLimit: 4,
  };
  const serializer = {
    serializeRequest: (batch: Batch) => batch.body(),
    // Partial success: what was rejected is not to be sent again (OTLP 1.x, "Partial Success").
    deserializeResponse: () => ({}),
  };
  return createOtlpHttpExportDelegate(
    convertLegacyHttpOptions(options, 'TRACES', 'v1/traces', json),
    serializer,
    'otlp_http_json_span_exporter',
    { name: 'span', countItems: (batch: Batch) => batch.count },
    undefined,
  );
}

/** One per set of options. */
export class SpanBatches implements SpanProcessor {
  readonly #exporter: IOtlpExportDelegate<Batch>;
  readonly #outcome: Outcome;
  readonly #head: string;
  /** The last one takes spans. */
  #waiting: Batch[] = [];
  #spans = 0;
  #bytes = 0;
  /** Of the batch before. */
  #lastBytes = FIRST_BYTES;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #closed = false;

  /** `outcome` counts what becomes of them. */
  constructor(target: SpanTarget, outcome: Outcome) {
    this.#exporter = exporterTo(target);
    this.#head = headOf(target);
    this.#outcome = outcome;
  }

  /** Takes a span as the protocol's JSON. */
  add(span: string): void {
    if (this.#closed) return;
    this.#outcome.made += 1;
    if (this.#spans >= MOST_WAITING || this.#bytes + span.length > MOST_BYTES) return;
    let batch = this.#waiting.at(-1);
    if (!batch || batch.count === MOST_BATCH || batch.length + span.length > LONGEST_BATCH) {
      batch = new Batch(this.#head, this.#lastBytes);
      this.#waiting.push(batch);
    }
    const before = batch.length;
    batch.add(span);
    this.#spans += 1;
    this.#bytes += batch.length - before;
    if (this.#sending) return;
    if (this.#spans >= BATCH) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), GATHER_MS).unref();
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    this.add(spanJson(span));
  }

  /** Resolves when nothing waits, whatever has become of it. */
  async forceFlush(): Promise<void> {
    while (this.#sending || this.#spans > 0) {
      if (!this.#sending) this.#send();
      await this.#sending;
    }
  }

  /** Sends what waits; takes nothing more. */
  async shutdown(): Promise<void> {
    this.#closed = true;
    await this.forceFlush();
    await this.#exporter.shutdown();
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#waiting.shift();
    if (!batch) return;
    this.#spans -= batch.count;
    // Another one is about as long.
    this.#lastBytes = Math.min(batch.length + FIRST_BYTES, LONGEST_BATCH);
    this.#bytes -= batch.length;
    this.#sending = this.#export(batch).then(() => {
      this.#sending = undefined;
      if (this.#spans >= BATCH) this.#send();
      else if (this.#spans > 0) this.#timer = setTimeout(() => this.#send(), GATHER_MS).unref();
    });
  }

  /** Never rejects. */
  #export(batch: Batch): Promise<void> {
    return new Promise((resolve) => {
      this.#exporter.export(batch, (result) => {
        // 0 is ExportResultCode.SUCCESS.
        const code: number = result.code;
        this.#outcome.sent(batch.count, code > 0 ? (result.error ?? new Error('unknown')) : undefined);
        resolve();
      });
    });
  }
}
