/** `postern start`: runs the gateway of a config; its log goes to standard output as JSON lines. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import type { ResolvedConfig } from '../config/resolved.ts';
import { Gateway } from '../gateway.ts';
import { findConfig } from '../load.ts';
import { installedVersion, ownVersion } from '../own-version.ts';
import { ownEntrances } from '../workers/entrances.ts';
import type { FleetMember } from '../workers/fleet-member.ts';
import { SingleProcess } from '../workers/single-process.ts';
import { createLogger, flushed } from '../telemetry/log.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import { ConfigFile } from './config-file.ts';
import { joinFleet } from './fleet.ts';
import { logBindings } from './log-bindings.ts';
import { LoopLag } from './loop-lag.ts';
import { PackageManager } from './package-manager.ts';
import { inheritedSockets } from './inherited-sockets.ts';
import { parentOf } from './start-workers.ts';
import type { ParentStart, RunningParent } from './start-workers.ts';
import { drainOrStop, nextSignal } from './run-gateway.ts';
import { ServiceManager } from './service-manager.ts';
import { StrayErrors } from './stray-errors.ts';
import { leaveThreads } from './thread-pool.ts';

/** How long a reader of the log may take for what the workers have said last, in milliseconds. */
const FLUSH_MS = 500;

const NOT_REPLACED = 'the workers are not replaced';
/** Why one process is not replaced. */
const ALONE = {
  reason: 'there is one worker, and nobody would serve meanwhile: it needs workers: 2 or more',
};

/** What the command line said. */
export interface StartOptions {
  /** The config file. Default: gateway.config.ts in the working directory. */
  readonly config: string | undefined;
  /** Whether a change of the config's files reloads it. SIGHUP does so in any case. */
  readonly watch: boolean;
}

/** What tells the process to end from outside. */
interface Outside {
  readonly signal: Promise<void>;
  readonly packageManager: PackageManager;
  /** Aborted when the gateway is down. */
  readonly until: AbortSignal;
}

/**
 * Resolves with exit code 0 after SIGTERM, SIGINT, an operator's SHUTDOWN or the end of the package manager that started the process, and
 * the drain; with 1 if an error of the gateway's own was the reason. Where a thread cannot be ended the process ends before.
 * @throws ConfigError for a bad config; Error if an address cannot be listened on
 */
export async function start({ config: given, watch }: StartOptions): Promise<number> {
  const over = new AbortController();
  const until = over.signal;
  // Before all else: as the first process of a container it would not hear a signal that it does not listen for.
  const signal = nextSignal({ until });
  // Before there is anything to replace it must not end the process.
  onRoll(until, () => {});
  const packageManager = new PackageManager();
  try {
    const file = new ConfigFile(findConfig(process.cwd(), given));
    const config = await Promise.race([file.load(), signal]);
    const code = config ? await run(file, config, { watch, signal, packageManager, until }) : 0;
    await leaveThreads(code);
    return code;
  } finally {
    over.abort();
  }
}

async function run(
  file: ConfigFile,
  config: ResolvedConfig,
  { watch, ...outside }: Outside & Pick<StartOptions, 'watch'>,
): Promise<number> {
  const log = createLogger(config.logLevel, undefined, logBindings(config));
  tellStart(log, file, config, outside.packageManager);
  const descriptors = inheritedSockets(config.listeners);
  const joining = config.fleet && joinFleet(config.fleet, log);
  // A store or a secret that does not come holds up no end.
  const member = await Promise.race([joining, outside.signal.then(() => undefined)]);
  if (joining && !member) {
    void joining.then(
      (late) => late.close(),
      () => {},
    );
    return 0;
  }
  const parts = { log, member, watch, descriptors, ...outside };
  try {
    return await (config.workers > 1 ? runWorkers(file, config, parts) : runAlone(file, config, parts));
  } finally {
    await member?.close();
  }
}

/** What a gateway runs with, besides its config. */
interface RunParts extends Outside, Omit<ParentStart, 'path'> {
  readonly log: PinoLogger;
}

/** This process is the gateway. */
async function runAlone(
  file: ConfigFile,
  config: ResolvedConfig,
  { log, member, watch, descriptors, ...outside }: RunParts,
): Promise<number> {
  const strays = new StrayErrors(log);
  const gateway = new Gateway(config, log, new SingleProcess(member), ownEntrances(descriptors));
  const lag = member && readingFor(member, { gateway, file });
  const told = Promise.race([outside.signal, strays.fatal, orphaned(outside, log)]);
  onRoll(outside.until, () => log.warn(ALONE, NOT_REPLACED));
  const started = gateway.start();
  gateway.reloadsFrom(() => file.load());
  file.feed(gateway, { watch });
  try {
    await untilStopped(gateway, { started, told }, log);
  } finally {
    file.close();
    strays.close();
    lag?.close();
  }
  return strays.any ? 1 : 0;
}

/** What the other instances read of it. */
function readingFor(
  member: FleetMember,
  { gateway, file }: { readonly gateway: Gateway; readonly file: ConfigFile },
): LoopLag {
  const lag = new LoopLag();
  member.readsFrom(() => ({
    config: file.digestOf(gateway.config),
    sessions: gateway.connections,
    workers: 1,
    draining: gateway.isLeaving,
    lagMs: lag.ms,
  }));
  return lag;
}

/** Calls at each SIGUSR2, which ends a process that does not listen for it. */
function onRoll(until: AbortSignal, roll: () => void): void {
  process.on('SIGUSR2', roll);
  until.addEventListener('abort', () => process.off('SIGUSR2', roll));
}

/** A process of another version might not understand its parent. */
function roll(parent: RunningParent, log: PinoLogger): void {
  const installed = installedVersion();
  if (installed === ownVersion()) return parent.roll();
  const reason = `version ${installed} of Postern is installed, and this is ${ownVersion()}: it needs a restart`;
  log.warn({ reason }, NOT_REPLACED);
}

/** Serves until it is told to end, and then until it has. `told`: resolves then. Rejects as `started` does. */
async function untilStopped(
  running: Gateway | RunningParent,
  { started, told }: { readonly started: Promise<unknown>; readonly told: Promise<unknown> },
  log: PinoLogger,
): Promise<void> {
  const manager = new ServiceManager(log);
  await Promise.race([started.then(() => manager.ready()), told]);
  const ended = told.then(() => {
    manager.stopping();
    return drainOrStop(running);
  });
  await Promise.race([ended, running.stopped]);
  // A process that has ended tells nothing more.
  await manager.told;
}

/** This process binds the sockets and holds what the workers share; each worker loads the config itself. */
async function runWorkers(
  file: ConfigFile,
  config: ResolvedConfig,
  { log, member, watch, descriptors, ...outside }: RunParts,
): Promise<number> {
  const parent = parentOf(config, { path: file.path, watch, descriptors, member }, log);
  const strays = new StrayErrors(log);
  const told = Promise.race([outside.signal, strays.fatal, orphaned(outside, log)]);
  // The log tells how it went.
  const reload = (): void => void parent.reload().catch(() => {});
  process.on('SIGHUP', reload);
  onRoll(outside.until, () => roll(parent, log));
  try {
    await untilStopped(parent, { started: parent.start(), told }, log);
  } finally {
    process.off('SIGHUP', reload);
    strays.close();
  }
  const isWell = await parent.stopped;
  await Promise.race([flushed(log), sleep(FLUSH_MS, undefined, { ref: false })]);
  return isWell && !strays.any ? 0 : 1;
}

function tellStart(
  log: PinoLogger,
  { path }: ConfigFile,
  { workers }: ResolvedConfig,
  packageManager: PackageManager,
): void {
  const { pid } = process;
  log.info({ version: ownVersion(), config: path, workers, pid }, 'starting');
  // On a terminal Ctrl-C reaches every process.
  if (!packageManager.swallowsSignals || isatty(0)) return;
  const instead = 'node_modules/.bin/postern start, or exec postern start in a script of package.json';
  log.warn({ instead }, 'started through a shell of npm: at SIGTERM npm will not wait for the drain');
}

async function orphaned({ packageManager, until }: Outside, log: PinoLogger): Promise<void> {
  await packageManager.gone(until);
  log.warn({}, 'npm, which started this process, has ended');
}
