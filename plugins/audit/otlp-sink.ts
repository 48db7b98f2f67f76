/** Audit lines as OpenTelemetry log records, sent to a collector by OTLP/HTTP in JSON (OTLP 1.x, "OTLP/HTTP"). */
import type { OtlpOptions } from './options.ts';
import { RejectedLines } from './sink.ts';
import type { Before, Sink } from './sink.ts';

/** How long a collector may take for an answer, in milliseconds. */
const ANSWER_MS = 8_000;
/** `SEVERITY_NUMBER_INFO`. */
const INFO = 9;
const HEAD = /"time":"([^"]+)","type":"(\w+)"/;

/** A chain begins with each start; a request whose answer is lost is sent again, so a record may come twice. */
export class OtlpSink implements Sink {
  readonly name: string;
  readonly most = 512;
  /** Escaped twice and in bytes that is some 2 MB; collectors take 4 MB and more. */
  readonly mostUnits = 500_000;
  readonly #options: OtlpOptions;

  constructor(options: OtlpOptions) {
    this.#options = options;
    this.name = new URL(options.url).origin;
  }

  open(): Promise<Before> {
    return Promise.resolve({});
  }

  async write(lines: readonly string[]): Promise<void> {
    const { url, headers } = this.#options;
    const response = await fetch(url, {
      method: 'POST',
      headers: headersOf(headers()),
      body: JSON.stringify(requestOf(lines)),
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`the collector answered ${response.status}`);
    const rejected = rejectedOf(text);
    // Not to be sent again (OTLP 1.x, "Partial Success"): those that were taken would come twice.
    if (rejected > 0) throw new RejectedLines(`the collector rejected ${rejected} records`, rejected);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** What is wrong with one is not said in the words of `Headers`, which have the secret in them. @throws Error */
function headersOf(given: Readonly<Record<string, string>>): Headers {
  const headers = new Headers({ 'content-type': 'application/json' });
  for (const [name, value] of Object.entries(given)) {
    try {
      headers.set(name, value);
    } catch {
      throw new Error(`audit.sink.headers.${name}: no header can have this name or value`);
    }
  }
  return headers;
}

const attribute = (key: string, stringValue: string): object => ({ key, value: { stringValue } });

/** ExportLogsServiceRequest; the line itself is the body, so that the chain can be verified where it is kept. */
function requestOf(lines: readonly string[]): object {
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
