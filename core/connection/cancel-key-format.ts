/**
 * How a cancel key says which instance of the fleet, and which worker of that, has issued it: in its secret with protocol 3.2, in its
 * process id with 3.0.
 *
 * | client | process id (31 bits) | secret |
 * | --- | --- | --- |
 * | 3.0 | instance 10, worker 6, random 15 | random 32 bits |
 * | 3.2 | any | format 1 byte, instance 2, worker 1, random 28 |
 *
 * A gateway in no fleet has no number: with 3.0 those bits are random from 2 on, with 3.2 they are 0. With 3.0 a session that shows the
 * process id of its server says neither.
 */
import { randomInt } from 'node:crypto';
import { INSTANCE_NUMBERS } from '../contract/instance-numbers.ts';

/** What has issued a key. */
export interface KeyIssuer {
  readonly worker: number;
  /** The number of its instance, or {@link UNNUMBERED}. Undefined, to make one: the gateway is in no fleet. */
  readonly instance: number | undefined;
}

/** The process ids of servers end here: the largest of Linux. Ids of the gateway are above, so that `pg_terminate_backend` of them hits no process. */
export const LARGEST_SERVER_ID = 2 ** 22;
/** Process ids are positive 32-bit integers for every driver. */
export const LARGEST_ID = 0x7fffffff;
/** Stands for the number of an instance that has none. */
export const UNNUMBERED = INSTANCE_NUMBERS.last + 1;
/** How many workers an id can tell apart. */
const MOST_WORKERS = 64;
const RANDOM_IDS = 2 ** 15;
const FORMAT = 1;
/** The length of a secret of protocol 3.0: it has no room for a number. */
const SHORT_SECRET = 4;
const INSTANCE_AT = 1;
const WORKER_AT = 3;

/** A random process id that leads to its issuer. */
export function idOf({ worker, instance }: KeyIssuer): number {
  const number = instance ?? randomInt(INSTANCE_NUMBERS.first, UNNUMBERED + 1);
  const id = (number * MOST_WORKERS + (worker % MOST_WORKERS)) * RANDOM_IDS + randomInt(RANDOM_IDS);
  return id > LARGEST_SERVER_ID ? id : idOf({ worker, instance });
}

/** Writes the issuer over the first bytes of a secret that is long enough. */
export function markSecret(secret: Buffer, { worker, instance = 0 }: KeyIssuer): void {
  if (secret.length <= SHORT_SECRET) return;
  secret.writeUInt8(FORMAT, 0);
  secret.writeUInt16BE(instance, INSTANCE_AT);
  secret.writeUInt8(worker, WORKER_AT);
}

/** Who has issued a key; `unsaid`: the key does not say; undefined: nobody has. */
export function issuerOf(processId: number, secret: Buffer): KeyIssuer | 'unsaid' | undefined {
  if (secret.length > SHORT_SECRET) return secret.readUInt8(0) === FORMAT ? markOf(secret) : undefined;
  if (processId <= 0 || processId > LARGEST_ID) return undefined;
  if (processId <= LARGEST_SERVER_ID) return 'unsaid';
  const bits = Math.floor(processId / RANDOM_IDS);
  return { worker: bits % MOST_WORKERS || MOST_WORKERS, instance: Math.floor(bits / MOST_WORKERS) };
}

function markOf(secret: Buffer): KeyIssuer {
  return { worker: secret.readUInt8(WORKER_AT), instance: secret.readUInt16BE(INSTANCE_AT) };
}
