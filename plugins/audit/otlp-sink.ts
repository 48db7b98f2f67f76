/** Audit lines as OpenTelemetry log records, sent to a collector by OTLP/HTTP in JSON (OTLP 1.x, "OTLP/HTTP"). */
import { Outbound, proxyFor } from '../../core/index.ts';
import { textsOf } from './chain.ts';
import type { SealedLines } from './chain.ts';
import type { OtlpOptions } from './options.ts';
import { BusySink, RejectedLines } from './sink.ts';
import type { Before, Sink } from './sink.ts';

/** How long a collector may take for an answer, in milliseconds. */
const ANSWER_MS = 8_000;
/** Longest wait that a collector may ask for, in milliseconds: what is not written meanwhile may fill the buffer. */
const LONGEST_PAUSE_MS = 30_000;
/** Longest answer that is read, in bytes: it says how many records were rejected, and why. */
const LONGEST_ANSWER = 1_048_576;
/** No use to send it again (OTLP 1.x, "Failures"): it cannot be read, or is too large. */
const REFUSALS: ReadonlySet<number> = new Set([400, 413]);
/** `Retry-After` may come with them (OTLP 1.x, "OTLP/HTTP Throttling"). */
const THROTTLES: ReadonlySet<number> = new Set([429, 503]);
/** `SEVERITY_NUMBER_INFO`. */
const INFO = 9;
const HEAD = /"time":"([^"]+)","type":"(\w+)"/;

/** A write that has not ended. */
interface Under {
  readonly lines: SealedLines;
  readonly texts: readonly string[];
  done: number;
  rejected: number;
  most: number;
}

/** Who writes the trail. */
export interface Writer {
  /** The number of this worker among several. */
  readonly worker?: number | undefined;
  /** The name of the instance in its fleet. */
  readonly instance?: string | undefined;
}

/** A chain begins with each start; a request whose answer is lost is sent again, so a record may come twice. */
export class OtlpSink implements Sink {
  readonly name: string;
  readonly most = 512;
  /** Escaped twice and in bytes that is some 2 MB; collectors take 4 MB and more. */
  readonly mostUnits = 500_000;
  readonly #options: OtlpOptions;
  readonly #url: URL;
  readonly #writer: Writer;
  readonly #outbound = new Outbound();
  /** What has become of the write under way: a call that is made again goes on behind it. */
  #under: Under | undefined;

  constructor(options: OtlpOptions, writer: Writer = {}) {
    this.#writer = writer;
    this.#options = options;
    this.#url = new URL(options.url);
    this.name = this.#url.origin;
  }

  async open(): Promise<Before> {
    // A proxy in the environment that is none.
    proxyFor(this.#url);
    return {};
  }

  /** A batch that is refused is sent in halves, down to the one record that is not taken by itself either. */
  async write(lines: SealedLines): Promise<void> {
    if (this.#under?.lines !== lines)
      this.#under = { lines, texts: textsOf(lines), done: 0, rejected: 0, most: lines.length };
    const under = this.#under;
    while (under.done < lines.length) {
      const some = under.texts.slice(under.done, under.done + under.most);
      const rejected = await this.#send(some);
      if (rejected === 'all' && some.length > 1) {
        under.most = Math.ceil(some.length / 2);
        continue;
      }
      under.rejected += rejected === 'all' ? 1 : rejected;
      under.done += some.length;
      under.most = some.length * 2;
    }
    this.#under = undefined;
    const { rejected } = under;
    // Not to be sent again (OTLP 1.x, "Partial Success"): those that were taken would come twice.
    if (rejected > 0) throw new RejectedLines(`the collector rejected ${rejected} records`, rejected);
  }

  /** How many were rejected for good. @throws Error, BusySink if they are to be sent again */
  async #send(lines: readonly string[]): Promise<number | 'all'> {
    const response = await this.#outbound.request(this.#url, {
      method: 'POST',
      headers: headersOf(this.#options.headers()),
      body: JSON.stringify(requestOf(lines, this.#writer)),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const text = Buffer.from((await response.bytes(LONGEST_ANSWER)) ?? []).toString();
    const { status, retryAfterMs } = response;
    if (REFUSALS.has(status)) return 'all';
    const problem = `the collector answered ${status}`;
    if (THROTTLES.has(status)) throw new BusySink(problem, Math.min(retryAfterMs, LONGEST_PAUSE_MS));
    if (status < 200 || status > 299) throw new Error(problem);
    return rejectedOf(text);
  }

  close(): Promise<void> {
    return this.#outbound.close();
  }
}

/** What is wrong with one is not said in the words of `Headers`, which have the secret in them. @throws Error */
function headersOf(given: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const headers = new Headers({ 'content-type': 'application/json' });
  for (const [name, value] of Object.entries(given)) {
    try {
      headers.set(name, value);
    } catch {
      throw new Error(`audit.sink.headers.${name}: no header can have this name or value`);
    }
  }
  return Object.fromEntries(headers);
}

const attribute = (key: string, stringValue: string): object => ({ key, value: { stringValue } });

/** ExportLogsServiceRequest; the line itself is the body, so that the chain can be verified where it is kept. */
function requestOf(lines: readonly string[], { worker, instance }: Writer): object {
  const attributes = [
    ...(worker === undefined ? [] : [{ key: 'postern.worker', value: { intValue: String(worker) } }]),
    ...(instance === undefined ? [] : [attribute('postern.instance', instance)]),
  ];
  const now = nanoseconds(Date.now());
  const logRecords = lines.map((line) => {
    const [, time = '', type = ''] = HEAD.exec(line) ?? [];
    return {
      timeUnixNano: nanoseconds(Date.parse(time)),
      observedTimeUnixNano: now,
      severityNumber: INFO,
      severityText: 'INFO',
      eventName: `postern.audit.${type}`,
      body: { stringValue: line },
      ...(attributes.length > 0 && { attributes }),
    };
  });
  return {
    resourceLogs: [
      {
        resource: { attributes: [attribute('service.name', 'postern')] },
        scopeLogs: [{ scope: { name: 'postern.audit', version: '1' }, logRecords }],
      },
    ],
  };
}

const nanoseconds = (ms: number): string => `${ms}000000`;

/** ExportLogsPartialSuccess; some collectors answer with nothing at all. */
function rejectedOf(text: string): number {
  try {
    const { partialSuccess } = JSON.parse(text) as { partialSuccess?: { rejectedLogRecords?: unknown } };
    return Number(partialSuccess?.rejectedLogRecords ?? 0);
  } catch {
    return 0;
  }
}
