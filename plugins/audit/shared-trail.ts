/** A trail that outlives reloads: who came under an earlier config writes into the same one. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { ConfigError } from '../../core/index.ts';
import type { GatewayHandle } from '../../core/index.ts';
import { fileOfWorker } from './file-names.ts';
import type { Worker } from './file-names.ts';
import { FileSink } from './file-sink.ts';
import type { Checked } from './options.ts';
import { OtlpSink } from './otlp-sink.ts';
import { Recorder } from './record.ts';
import type { Sink } from './sink.ts';
import { StdoutSink } from './stdout-sink.ts';
import { Trail } from './trail.ts';

interface Shared {
  readonly trail: Trail;
  /** What a change of needs a restart. */
  readonly made: string;
  users: number;
}

function sinkOf({ sink }: Checked, { directory, fleet }: GatewayHandle, worker: Worker | undefined): Sink {
  if (sink === 'stdout') return new StdoutSink({ shared: worker !== undefined });
  if ('url' in sink) return new OtlpSink(sink, { worker: worker?.number, instance: fleet?.instance });
  return new FileSink(fileOfWorker(path.resolve(directory, sink.file), worker), sink);
}

/** Lets go of a trail; `late` as {@link Trail.close} takes it. */
type Leave = (late?: AbortSignal) => Promise<void>;

/** Secrets are compared by their hash, and not kept twice. */
function madeOf(checked: Checked, key: string | undefined): string {
  const { sink, bufferBytes } = checked;
  const text = JSON.stringify([sink, bufferBytes, key]);
  return createHash('sha256').update(text).digest('hex');
}

/**
 * The trail of these options, opened by the first who asks and closed by the last who leaves.
 * @throws ConfigError for a sink that cannot be used, or that is in use with other options
 */
export async function shareTrail(
  checked: Checked,
  gateway: GatewayHandle,
): Promise<{ readonly trail: Trail; readonly leave: Leave }> {
  const trails = gateway.keep('trails', () => new Map<string, Shared>());
  const worker = gateway.worker.of > 1 ? gateway.worker : undefined;
  const sink = sinkOf(checked, gateway, worker);
  const key = checked.key?.();
  const made = madeOf(checked, key);
  const shared = trails.get(sink.name) ?? (await openShared());
  if (shared.made !== made) {
    throw new ConfigError(
      `audit: ${sink.name} is in use with other options, and a change of them needs a restart`,
    );
  }
  shared.users += 1;
  const leave: Leave = async (late) => {
    shared.users -= 1;
    if (shared.users > 0) return;
    trails.delete(sink.name);
    await shared.trail.close(late);
  };
  return { trail: shared.trail, leave };

  async function openShared(): Promise<Shared> {
    const { log } = gateway;
    const trail = new Trail({
      sink,
      key,
      worker,
      instance: gateway.fleet?.instance,
      bufferUnits: checked.bufferBytes,
      marks: new Recorder('none'),
      log,
    });
    await trail.open();
    const opened = { trail, made, users: 0 };
    trails.set(sink.name, opened);
    return opened;
  }
}
