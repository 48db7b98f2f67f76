/** A worker process: a gateway of its own, which accepts from sockets of its parent process. */
import { Socket } from 'node:net';
import { ConfigError } from '../contract/errors.ts';
import type { BoundHandle } from '../net/bound-socket.ts';
import { Gateway } from '../gateway.ts';
import { createLogger, replaceOutput } from '../telemetry/log.ts';
import { isLifeTold } from '../workers/messages.ts';
import type { FromParent, FromWorker, LifeTold } from '../workers/messages.ts';
import { GivenEntrances } from '../workers/worker/given-entrances.ts';
import { LentListeners } from '../workers/worker/lent-listeners.ts';
import { ParentLink } from '../workers/worker/parent-link.ts';
import { ConfigFile } from './config-file.ts';
import { logBindings } from './log-bindings.ts';
import { OrphanWatch } from './orphan-watch.ts';
import { StrayErrors } from './stray-errors.ts';
import { leaveThreads } from './thread-pool.ts';
import { reloadableOf } from './worker-reload.ts';

type Start = Extract<LifeTold, { readonly t: 'start' }>;

const BEAT_MS = 250;
/** The digest of a config whose certificates changed while it was loaded: other workers have another. */
const CHANGED = 'changed';

function send(message: FromWorker, sent: () => void = () => {}): void {
  // A parent that is gone is noticed by its channel.
  if (process.connected) process.send?.(message, undefined, {}, sent);
  else sent();
}

/** Signals of a terminal reach every process: the parent decides what becomes of them. */
function leaveSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => {});
}

/** Its standard output is a pipe to its parent, where that has said by which descriptor it can do without. */
function writeWithoutParent(): void {
  const [, , fd] = process.argv;
  if (fd === undefined) return;
  const output = new Socket({ fd: Number(fd), readable: false, writable: true });
  replaceOutput(Object.assign(output, { fd: Number(fd) }));
}

/** Tells the parent 4 times a second that the event loop turns. */
function beat(connections: () => number, lent: LentListeners, orphan: OrphanWatch): () => void {
  let due = performance.now() + BEAT_MS;
  const timer = setInterval(() => {
    const now = performance.now();
    lent.look();
    orphan.turned();
    const lagMs = Math.max(0, Math.round(now - due));
    send({ t: 'beat', connections: connections() + lent.held, accepted: lent.accepted, lagMs });
    due = now + BEAT_MS;
  }, BEAT_MS);
  return () => clearInterval(timer);
}

/** Serves until the parent ends it, or is gone itself. Resolves with the exit code. */
async function serve(start: Start): Promise<number> {
  const { worker, workers, config: path, listeners, admin, fleet, watch } = start;
  const link = new ParentLink({ worker, workers, port: { send: (message) => send(message) }, fleet });
  const entrances: GivenEntrances = new GivenEntrances({
    listeners,
    admin,
    closed: (listener) => lent.close(listener),
  });
  const lent = new LentListeners({
    send,
    lets: (listener) => entrances.lets(listener),
    take: (handle, listener) => entrances.take(handle, listener),
    lost: (count, listener) =>
      log.warn({ listener, connections: count }, 'connections that waited are closed'),
  });
  let connections = (): number => 0;
  // Told to end before there is a gateway.
  let heard = (message: LifeTold): void => void (endsWorker(message) && process.exit(0));
  // So soon the channel may be lost as well.
  let lost = (): void => process.exit(1);
  process.once('disconnect', () => lost());
  process.on('message', (message: FromParent, handle?: BoundHandle) => {
    if (!isLifeTold(message)) return link.hear(message);
    if (message.t === 'lend') return handle && lent.lend(message, handle);
    if (message.t === 'reclaim') return lent.reclaim(message.n);
    if (message.t === 'has') return lent.has(message.n) ? undefined : send({ t: 'missed', n: message.n });
    return heard(message);
  });
  const orphan = new OrphanWatch();
  let unwatched: (error: Error) => void = () => {};
  orphan.start((error) => unwatched(error));
  const stopBeating = beat(() => connections(), lent, orphan);
  const file = new ConfigFile(path);
  const files = await file.loadFiles();
  const { config } = files;
  const log = createLogger(config.logLevel, undefined, { ...logBindings(config), worker });
  unwatched = ({ message: why }) => log.warn({ reason: why }, 'the watch over a parent that dies has ended');
  const strays = new StrayErrors(log);
  const gateway = new Gateway(config, log, link, entrances);
  connections = () => gateway.connections;
  let orphaned = false;
  lost = () => {
    orphaned = true;
    lent.leave();
    writeWithoutParent();
    log.error({}, 'the parent process is gone');
    // It accepts nothing any more: there is nothing to serve on for.
    void gateway.shutDown(undefined);
  };
  let told = false;
  heard = (message) => {
    if (endsWorker(message)) {
      told = true;
      const { drainsWithinMs, retiresWithinMs } = gateway;
      send({ t: 'ending', withinMs: message.t === 'retire' ? retiresWithinMs : drainsWithinMs });
    }
    obey(gateway, message);
  };
  if (watch) link.whenLead(() => file.watch({ reload: () => link.parent.reload('change') }));
  void strays.fatal.then(() => gateway.stop());
  try {
    const started = gateway.start().then(
      () => true,
      (error: unknown) => {
        if (!told && !orphaned) throw error;
        return false;
      },
    );
    // A plugin's setup does not hold up the end.
    const serves = await Promise.race([
      started,
      gateway.stopped.then(() => (told || orphaned ? false : started)),
    ]);
    const digest = files.isCurrent() ? files.digest : CHANGED;
    const inForce = (): Promise<void> =>
      link.loaded(digest, reloadableOf(file, gateway)).then(() => send({ t: 'ready' }));
    if (serves) await Promise.race([inForce(), gateway.stopped]);
    await gateway.stopped;
  } finally {
    stopBeating();
    file.close();
    strays.close();
  }
  return strays.any || orphaned ? 1 : 0;
}

const endsWorker = ({ t }: LifeTold): boolean => ['drain', 'retire', 'stop', 'shutDown'].includes(t);

function obey(gateway: Gateway, message: LifeTold): void {
  if (message.t === 'drain') void gateway.drain();
  if (message.t === 'retire') void gateway.retire();
  if (message.t === 'stop') void gateway.stop(message.withinMs);
  if (message.t === 'shutDown') void gateway.shutDown(message.after);
}

async function serveOrFail(start: Start): Promise<number> {
  try {
    return await serve(start);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const text = error instanceof ConfigError ? reason : `worker ${start.worker}: ${reason}`;
    await new Promise<void>((resolve) => send({ t: 'failed', reason: text }, resolve));
    return 1;
  }
}

/** In the same turn as the first message: the next one may be behind it, and is heard by what serves. */
function run(): Promise<number> {
  leaveSignals();
  return new Promise((resolve) => {
    process.once('message', (message: FromParent) => {
      if (message.t === 'start') resolve(serveOrFail(message));
    });
  });
}

const code = await run();
await leaveThreads(code);
process.exit(code);
