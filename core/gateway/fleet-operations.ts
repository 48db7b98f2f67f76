/** What operators do to all instances of the fleet at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '../contract/errors.ts';
import type { FleetAnswer, FleetProof } from '../contract/fleet.ts';
import type { FleetOperations, FleetPauseOptions, Operator } from '../contract/operations.ts';
import { abortable } from '../upstream/deadline.ts';
import { fleetBoard } from '../workers/coordination.ts';
import type { CoordinatedFleet, Coordination } from '../workers/coordination.ts';
import { LATE } from '../workers/post-answers.ts';
import type { FleetOrders } from './fleet-orders.ts';
import type { GivenOrders } from './given-orders.ts';
import { OPERATORS_BOARD } from './operator-state.ts';
import type { OperatorState } from './operator-state.ts';
import { Pausing } from './pausing.ts';

/** What they are done with. */
export interface FleetOperationsParts {
  readonly fleet: CoordinatedFleet;
  readonly coordination: Pick<Coordination, 'post'>;
  readonly state: OperatorState;
  readonly orders: GivenOrders;
}

/** What a worker is asked: whether it has this pause, and no connection left. JSON has no undefined: the entry is absent for all of them. */
interface Asked {
  readonly id: string;
  readonly entry?: string;
}

/** How long a PAUSE holds where its operator does not say it: one that nobody remembers ends. In milliseconds. */
const PAUSE_MS = 3_600_000;
/** Nobody remembers a longer one. */
const LONGEST_PAUSE_MS = 30 * 86_400_000;
/** How long an instance waits before it says that it has connections left, and how long after that it is asked again, in milliseconds. */
const [WAIT_MS, ROUND_MS] = [400, 50];
/** How long a RESUME, a DISABLE or an ENABLE waits for all instances, in milliseconds. */
const PROOF_MS = 3_000;
/** The same for a PAUSE, once those that live have paused. */
const LAST_MS = 1_000;
const PAUSED = ':paused by the fleet';

/** One per gateway that is in a fleet. */
export class OperationsOfFleet implements FleetOperations {
  readonly #parts: FleetOperationsParts;
  readonly #pausing: Pausing;

  constructor(parts: FleetOperationsParts) {
    this.#parts = parts;
    this.#pausing = new Pausing(parts.state, 'fleet');
    parts.coordination.post.answer(PAUSED, (asked) => this.#isPaused(asked as Asked));
  }

  async pause(
    by: Operator,
    name: string | undefined,
    signal: AbortSignal,
    { forMs = PAUSE_MS, waitingFor }: FleetPauseOptions = {},
  ): Promise<FleetProof> {
    if (forMs > LONGEST_PAUSE_MS)
      throw new GatewayError('invalid_parameter_value', 'a pause of the whole fleet lasts 30 days at most');
    const until = Date.now() + forMs;
    await this.#begin('PAUSE', by, name, { until: new Date(until).toISOString() });
    return this.#pausing.until(name, signal, async (either) => {
      const given = this.#orders.give('paused', name, { by: actorOf(by), until });
      const asked = { id: await abortable(given, either), ...(name !== undefined && { entry: name }) };
      return this.#allPaused(asked, either, waitingFor);
    });
  }

  async resume(by: Operator, name: string | undefined): Promise<FleetProof> {
    await this.#begin('RESUME', by, name);
    await this.#orders.takeBack('paused', name);
    return this.#proof();
  }

  async disable(by: Operator, name: string): Promise<FleetProof> {
    await this.#begin('DISABLE', by, name);
    await this.#orders.give('disabled', name, { by: actorOf(by) });
    return this.#proof();
  }

  async enable(by: Operator, name: string): Promise<FleetProof> {
    await this.#begin('ENABLE', by, name);
    await this.#orders.takeBack('disabled', name);
    return this.#proof();
  }

  get #orders(): FleetOrders {
    const { fleetOrders } = this.#parts.state;
    if (!fleetOrders) throw new Error('the gateway has not started');
    return fleetOrders;
  }

  #begin(verb: string, by: Operator, name: string | undefined, more = {}): Promise<void> {
    return this.#parts.orders.begin(verb, by, name, { scope: 'fleet', ...more });
  }

  #proof(withinMs = PROOF_MS): Promise<FleetProof> {
    return this.#parts.fleet.proof(fleetBoard(OPERATORS_BOARD), { withinMs });
  }

  /** Resolves when no live instance has a connection left; in `missing` are those that were there meanwhile, and have not said so before they left. */
  async #allPaused(
    asked: Asked,
    signal: AbortSignal,
    waitingFor: FleetPauseOptions['waitingFor'],
  ): Promise<FleetProof> {
    const { fleet } = this.#parts;
    const names = new Map<string, string>();
    const paused = new Set<string>();
    for (;;) {
      for (const { id, name } of fleet.instances) names.set(id, name);
      const answers = await abortable(fleet.ask('all', 'all', PAUSED, asked), signal);
      for (const id of saidByAll(answers)) paused.add(id);
      const waiting = fleet.instances.filter(({ id }) => !paused.has(id));
      if (waiting.length === 0) {
        const left = [...names].filter(([id]) => !paused.has(id)).map(([, name]) => name);
        // Those that vanished before may serve on: the fleet knows them for a while.
        const { live, missing } = await this.#proof(LAST_MS);
        return { live, missing: [...new Set([...left, ...missing])] };
      }
      waitingFor?.(waiting.map(({ name }) => name));
      await abortable(sleep(ROUND_MS), signal);
    }
  }

  async #isPaused({ id, entry }: Asked): Promise<boolean> {
    const { state } = this.#parts;
    if (state.fleetOrders?.of('paused', entry)?.id !== id) return false;
    const late = sleep(WAIT_MS, false, { ref: false });
    return Promise.race([state.emptied(entry).then(() => true), late]);
  }
}

/** The ids of instances of which one worker has said so, and none that is there has not. One that has ended, or has not begun, has no connections. */
function saidByAll(answers: readonly FleetAnswer[]): readonly string[] {
  const isSo = new Set<string>();
  const isNot = new Set<string>();
  for (const { instance, body, error } of answers) {
    if (body === true) isSo.add(instance);
    else if (error === undefined || error === LATE) isNot.add(instance);
  }
  return [...isSo].filter((id) => !isNot.has(id));
}

const actorOf = ({ identity: { issuer, subject } }: Operator) => ({ issuer, subject });

/** The order to the whole fleet that keeps an entry as it is: what is taken back in one instance does not end it. @throws GatewayError */
export function refuseHeldByFleet(
  { fleetOrders }: OperatorState,
  kind: 'paused' | 'disabled',
  name: string | undefined,
): void {
  const own = fleetOrders?.of(kind, name);
  // A pause of every database holds each of them.
  const order = own ?? (kind === 'paused' ? fleetOrders?.of(kind, undefined) : undefined);
  if (!order) return;
  const held = own ? name : undefined;
  const verb = kind === 'paused' ? 'RESUME' : 'ENABLE';
  const what = held ?? 'every database';
  throw new GatewayError(
    'object_not_in_prerequisite_state',
    `${what} stays ${kind} by an order to the whole fleet, of ${order.by.subject} at ${new Date(order.since).toISOString()}`,
    { hint: `${verb} ${held ?? 'ALL'} FLEET takes it back.` },
  );
}
