/** `postern start` with several workers: this process becomes their parent. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { ResolvedConfig } from '../config/resolved.ts';
import { smallPools } from '../config/small-pools.ts';
import { placeOf } from '../net/entrance.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import type { FleetMember } from '../workers/fleet-member.ts';
import { Parent } from '../workers/parent/parent.ts';
import type { Address } from '../net/listening.ts';
import { adminPlaceOf } from '../admin/admin-place.ts';
import { WorkersOutput } from './workers-output.ts';

/** How long a stop at once may take, in milliseconds. */
const HURRY_MS = 1_000;
/** What workers need beyond their drain timeout, in milliseconds. */
const EXIT_MS = 1_000;

/** A parent as the command line drives it: like a gateway. */
export interface RunningParent {
  /** Resolves with whether all workers ended in order. */
  readonly stopped: Promise<boolean>;
  start(): Promise<void>;
  drain(): Promise<void>;
  stop(): Promise<void>;
  reload(): Promise<void>;
  roll(): void;
}

const ENTRY = fileURLToPath(new URL('worker.js', import.meta.url));

/** Their output is the log; they hear of their parent's end by the channel. A file takes each line as a whole, and a terminal is not parsed. */
function forks(): () => ChildProcess {
  const { stdout } = process;
  if (!(stdout instanceof Socket) || stdout.isTTY)
    return () => fork(ENTRY, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const output = new WorkersOutput(stdout);
  return () => {
    // The last one is where they write without their parent.
    const child = fork(ENTRY, ['4'], { stdio: ['ignore', 'pipe', 'inherit', 'ipc', stdout.fd] });
    output.join(child, (run) => child.once('exit', run));
    return child;
  };
}

/** What a parent needs besides its config. */
export interface ParentStart {
  /** The config file, absolute. */
  readonly path: string;
  /** Whether a change of its files reloads it. */
  readonly watch: boolean;
  /** Of sockets that were bound for this process, by listener. */
  readonly descriptors: ReadonlyMap<string, number>;
  /** Of its fleet. Undefined: it is in none. */
  readonly member: FleetMember | undefined;
}

/** Makes the parent of a checked config; nothing of the config runs in it. */
export function parentOf(
  config: ResolvedConfig,
  { path, watch, descriptors, member }: ParentStart,
  log: PinoLogger,
): RunningParent {
  const { workers, listeners, admin } = config;
  const parent = new Parent({
    workers,
    config: path,
    watch,
    listeners: listeners.map((listener) => ({
      name: listener.name,
      place: { ...placeOf(listener), descriptor: descriptors.get(listener.name) },
    })),
    admin: admin && adminPlaceOf(admin),
    fork: forks(),
    member,
    log,
  });
  return {
    get stopped() {
      return parent.stopped;
    },
    async start() {
      for (const { path: at, text } of await smallPools(config)) log.warn({ path: at }, text);
      const started = await parent.start();
      if (started?.admin) log.info(adminLine(config, started.admin), 'admin listening');
      for (const { name, host, port } of started?.listeners ?? [])
        log.info({ name, host, port }, 'listening');
    },
    drain: () => {
      log.info({ workers }, 'draining');
      return parent.drain(EXIT_MS).then(() => {});
    },
    stop: () => parent.stop(HURRY_MS).then(() => {}),
    reload: () => parent.reload(),
    roll: () => parent.roll(),
  };
}

function adminLine({ admin }: ResolvedConfig, { host, port }: Address): object {
  return admin?.mode === undefined ? { host, port, tls: admin?.tls !== undefined } : { path: admin.host };
}
