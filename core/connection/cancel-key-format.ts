/**
 * How a cancel key says which worker of the gateway has issued it: in its secret with protocol 3.2, in its process id with 3.0.
 *
 * | client | process id (31 bits) | secret |
 * | --- | --- | --- |
 * | 3.0 | instance 10, worker 6, random 15 | random 32 bits |
 * | 3.2 | any | format 1 byte, instance 2, worker 1, random 28 |
 *
 * Gateways have no instance numbers yet: with 3.0 those bits are random from 2 on, with 3.2 they are 0. With 3.0 a session that shows
 * the process id of its server says nothing of its worker.
 */
import { randomInt } from 'node:crypto';

/** The process ids of servers end here: the largest of Linux. Ids of the gateway are above, so that `pg_terminate_backend` of them hits no process. */
export const LARGEST_SERVER_ID = 2 ** 22;
/** Process ids are positive 32-bit integers for every driver. */
export const LARGEST_ID = 0x7fffffff;
/** How many workers an id can tell apart. */
const MOST_WORKERS = 64;
const RANDOM_IDS = 2 ** 15;
const INSTANCES = { from: 2, to: 1_024 };
const FORMAT = 1;
/** The length of a secret of protocol 3.0: it has no room for a number. */
const SHORT_SECRET = 4;
const WORKER_AT = 3;

/** A random process id that leads to a worker. */
export function idOf(worker: number): number {
  const instance = randomInt(INSTANCES.from, INSTANCES.to);
  const id = (instance * MOST_WORKERS + (worker % MOST_WORKERS)) * RANDOM_IDS + randomInt(RANDOM_IDS);
  return id > LARGEST_SERVER_ID ? id : idOf(worker);
}

/** Writes a worker's number over the first bytes of a secret that is long enough. */
export function markSecret(secret: Buffer, worker: number): void {
  if (secret.length <= SHORT_SECRET) return;
  secret.writeUInt8(FORMAT, 0);
  secret.writeUInt16BE(0, 1);
  secret.writeUInt8(worker, WORKER_AT);
}

/** The worker that a key leads to; `others`: the key does not say; undefined: no worker has issued it. */
export function workerOf(processId: number, secret: Buffer): number | 'others' | undefined {
  if (secret.length > SHORT_SECRET)
    return secret.readUInt8(0) === FORMAT ? secret.readUInt8(WORKER_AT) : undefined;
  if (processId <= LARGEST_SERVER_ID) return processId > 0 ? 'others' : undefined;
  return Math.floor(processId / RANDOM_IDS) % MOST_WORKERS || MOST_WORKERS;
}
