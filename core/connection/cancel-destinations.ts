/** Where a cancel key that is not known here may have been issued, and how those are asked. */
import type { Fleet, InstanceRecipient } from '../contract/fleet.ts';
import { INSTANCE_NUMBERS } from '../contract/instance-numbers.ts';
import type { InstanceNumbers } from '../contract/instance-numbers.ts';
import type { Post, PostAnswer, Recipient } from '../contract/post.ts';
import { UNNUMBERED, issuerOf } from './cancel-key-format.ts';
import type { KeyIssuer } from './cancel-key-format.ts';
import type { CancelKey } from './cancel-keys.ts';

/** What it needs of what workers and instances share. */
export interface SharedWithOthers {
  /** The number of this worker. */
  readonly worker: number;
  readonly workers: number;
  readonly post: Post;
  /** Undefined: the gateway is in no fleet. */
  readonly fleet?: Pick<Fleet, 'ask' | 'instances'> | undefined;
  readonly instanceNumbers?: InstanceNumbers | undefined;
}

/** Workers that may have issued a key. */
export interface Destination {
  /** Undefined: this one. */
  readonly instance: InstanceRecipient | undefined;
  readonly worker: Recipient;
  /** How many messages it takes to ask them. */
  readonly messages: number;
}

/** An answer, and the instance that it came from; undefined: this one. */
export interface Answered extends PostAnswer {
  readonly instance?: string;
}

/** What keys of this worker carry. */
export function ownIssuer({ worker, fleet, instanceNumbers }: SharedWithOthers): KeyIssuer {
  return { worker, instance: fleet && (instanceNumbers?.number ?? UNNUMBERED) };
}

/**
 * One after the other until the key is found: first of this instance, as its keys come here most often, then of others. A key leads to one worker; only one that
 * does not say, of protocol 3.0 with the process id of its server, may have come from any. A number that this instance had before may meanwhile be another's.
 */
export function destinationsOf(
  { processId, secret }: CancelKey,
  shared: SharedWithOthers,
): readonly Destination[] {
  const issuer = issuerOf(processId, secret);
  if (!issuer) return [];
  if (issuer === 'unsaid') return [...otherWorkers(shared), ...otherInstances(shared)];
  return [...workerOf(issuer, shared), ...instanceOf(issuer, shared)];
}

function otherWorkers({ workers }: SharedWithOthers): readonly Destination[] {
  return workers > 1 ? [{ instance: undefined, worker: 'others', messages: 1 }] : [];
}

function otherInstances({ fleet }: SharedWithOthers): readonly Destination[] {
  const messages = (fleet?.instances.length ?? 1) - 1;
  return messages > 0 ? [{ instance: 'others', worker: 'all', messages }] : [];
}

function workerOf({ worker, instance }: KeyIssuer, shared: SharedWithOthers): readonly Destination[] {
  if (worker === shared.worker || shared.workers === 1 || !isOwn(instance, shared)) return [];
  return [{ instance: undefined, worker, messages: 1 }];
}

function instanceOf(
  { worker, instance = UNNUMBERED }: KeyIssuer,
  { fleet, instanceNumbers }: SharedWithOthers,
): readonly Destination[] {
  const id = fleet && instanceNumbers?.byNumber[instance];
  return id === undefined ? [] : [{ instance: { id }, worker, messages: 1 }];
}

/** Keys from before it had a number are its own as well. */
function isOwn(
  instance: number | undefined,
  { fleet, instanceNumbers }: Pick<SharedWithOthers, 'fleet' | 'instanceNumbers'>,
): boolean {
  if (!fleet || instance === undefined) return true;
  const isNumber = instance >= INSTANCE_NUMBERS.first && instance <= INSTANCE_NUMBERS.last;
  return !isNumber || instanceNumbers?.numbers.includes(instance) === true;
}

/** Asks workers of this instance, or of others. */
export function askAt(
  { instance, worker }: Omit<Destination, 'messages'>,
  { post, fleet }: SharedWithOthers,
  name: string,
  body: unknown,
  withinMs: number,
): Promise<readonly Answered[]> {
  if (instance === undefined || !fleet) return post.ask(worker, name, body, { withinMs });
  return fleet.ask(instance, worker, name, body, { withinMs });
}
