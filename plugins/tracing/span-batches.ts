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
import { JsonBytes } from './json-bytes.ts';
import { attributesJson, spanJson } from './span-json.ts';
import type { SpanTarget } from './statement-spans.ts';

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
export interface Collector {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: CollectorAgent;
  readonly resource: Resource;
}

/** Bytes that a new buffer has room for. */
const FIRST_BYTES = 65_536;
/** No span is longer, in bytes: texts are cut, and all else comes from packets of a login. */
const SPAN_BYTES = 65_536;
const COMMA = Buffer.from(',');
const END = Buffer.from(']}]}]}');

/** Spans that are sent at once, as the body of their request: nothing of them is kept as text. */
class Batch {
  count = 0;
  readonly #json: JsonBytes;
  readonly #headBytes: number;
  /** Up to the last span that was put whole. */
  #end: number;

  constructor(json: JsonBytes, head: string) {
    this.#json = json;
    json.clear();
    json.text(head);
    this.#headBytes = this.#end = json.length;
  }

  /** Of the spans, in bytes. */
  get length(): number {
    return this.#end - this.#headBytes;
  }

  /** Where the next span is put. What an error has left of the last one goes. */
  begin(): JsonBytes {
    this.#json.clear(this.#end);
    if (this.count > 0) this.#json.part(COMMA);
    return this.#json;
  }

  end(): void {
    this.#end = this.#json.length;
    this.count += 1;
  }

  /** The whole body. */
  body(): Buffer {
    this.#json.clear(this.#end);
    this.#json.part(END);
    return this.#json.bytes;
  }

  /** For another batch, once this one was taken. */
  get buffer(): JsonBytes {
    return this.#json;
  }
}

function headOf({ resource }: Collector): string {
  return `{"resourceSpans":[{"resource":{"attributes":[${attributesJson(resource.attributes)}]},"scopeSpans":[{"scope":{"name":"postern"},"spans":[`;
}

function exporterTo({ url, headers, agent }: Collector): IOtlpExportDelegate<Batch> {
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
export class SpanBatches implements SpanProcessor, SpanTarget {
  readonly #exporter: IOtlpExportDelegate<Batch>;
  readonly #outcome: Outcome;
  readonly #head: string;
  /** The last one takes spans. */
  #waiting: Batch[] = [];
  #spans = 0;
  #bytes = 0;
  /** The buffer of a batch that the collector has taken: a new one for each would let V8 mark its whole heap every other second. */
  #spare: JsonBytes | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #closed = false;

  /** `outcome` counts what becomes of them. */
  constructor(target: Collector, outcome: Outcome) {
    this.#exporter = exporterTo(target);
    this.#head = headOf(target);
    this.#outcome = outcome;
  }

  /** Where the next span is put as the protocol's JSON. */
  begin(): JsonBytes | undefined {
    if (this.#closed) return undefined;
    this.#outcome.made += 1;
    if (this.#spans >= MOST_WAITING || this.#bytes > MOST_BYTES - SPAN_BYTES) return undefined;
    let batch = this.#waiting.at(-1);
    if (!batch || batch.count === MOST_BATCH || batch.length > LONGEST_BATCH - SPAN_BYTES) {
      batch = new Batch(this.#spare ?? new JsonBytes(FIRST_BYTES), this.#head);
      this.#spare = undefined;
      this.#waiting.push(batch);
    }
    return batch.begin();
  }

  end(): void {
    const batch = this.#waiting.at(-1);
    if (!batch) return;
    this.#bytes -= batch.length;
    batch.end();
    this.#bytes += batch.length;
    this.#spans += 1;
    if (this.#sending) return;
    if (this.#spans >= BATCH) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), GATHER_MS).unref();
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    const to = this.begin();
    if (!to) return;
    to.text(spanJson(span));
    this.end();
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
        // Else a request that was given up may still be written.
        if (code === 0 && batch.buffer.capacity <= LONGEST_BATCH) this.#spare = batch.buffer;
        this.#outcome.sent(batch.count, code > 0 ? (result.error ?? new Error('unknown')) : undefined);
        resolve();
      });
    });
  }
}
