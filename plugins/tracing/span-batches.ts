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
/** How long they may be together, in UTF-16 code units. */
const MOST_UNITS = 8 * 1_024 * 1_024;
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

type Batch = readonly string[];

function exporterTo({ url, headers, agent, resource }: SpanTarget): IOtlpExportDelegate<Batch> {
  const json = { 'Content-Type': 'application/json' };
  const options = {
    ...agent.options,
    url,
    headers: { ...headers },
    timeoutMillis: PATIENCE_MS,
    concurrencyLimit: 4,
  };
  const head = `{"resourceSpans":[{"resource":{"attributes":[${attributesJson(resource.attributes)}]},"scopeSpans":[{"scope":{"name":"postern"},"spans":[`;
  const serializer = {
    serializeRequest: (batch: Batch) => Buffer.from(`${head}${batch.join()}]}]}]}`),
    // Partial success: what was rejected is not to be sent again (OTLP 1.x, "Partial Success").
    deserializeResponse: () => ({}),
  };
  return createOtlpHttpExportDelegate(
    convertLegacyHttpOptions(options, 'TRACES', 'v1/traces', json),
    serializer,
    'otlp_http_json_span_exporter',
    { name: 'span', countItems: (batch: Batch) => batch.length },
    undefined,
  );
}

/** One per set of options. */
export class SpanBatches implements SpanProcessor {
  readonly #exporter: IOtlpExportDelegate<Batch>;
  readonly #outcome: Outcome;
  #waiting: string[] = [];
  #units = 0;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #closed = false;

  /** `outcome` counts what becomes of them. */
  constructor(target: SpanTarget, outcome: Outcome) {
    this.#exporter = exporterTo(target);
    this.#outcome = outcome;
  }

  /** Takes a span as the protocol's JSON. */
  add(span: string): void {
    if (this.#closed) return;
    this.#outcome.made += 1;
    if (this.#waiting.length >= MOST_WAITING || this.#units + span.length > MOST_UNITS) return;
    this.#units += span.length;
    this.#waiting.push(span);
    if (this.#sending) return;
    if (this.#waiting.length >= BATCH) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), GATHER_MS).unref();
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    this.add(spanJson(span));
  }

  /** Resolves when nothing waits, whatever has become of it. */
  async forceFlush(): Promise<void> {
    while (this.#sending || this.#waiting.length > 0) {
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
    this.#sending = this.#export(this.#next()).then(() => {
      this.#sending = undefined;
      if (this.#waiting.length >= BATCH) this.#send();
      else if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.#send(), GATHER_MS).unref();
    });
  }

  #next(): Batch {
    let [count, units] = [0, 0];
    for (const span of this.#waiting) {
      if (count === MOST_BATCH || (count > 0 && units + span.length > LONGEST_BATCH)) break;
      count += 1;
      units += span.length;
    }
    this.#units -= units;
    return this.#waiting.splice(0, count);
  }

  /** Never rejects. */
  #export(batch: Batch): Promise<void> {
    return new Promise((resolve) => {
      this.#exporter.export(batch, (result) => {
        // 0 is ExportResultCode.SUCCESS.
        const code: number = result.code;
        this.#outcome.sent(batch.length, code > 0 ? (result.error ?? new Error('unknown')) : undefined);
        resolve();
      });
    });
  }
}
