/** What a plugin shares with itself in other workers: boards, places and questions by the plugin's name. */
import { createHmac } from 'node:crypto';
import type { ResolvedConfig } from '../config/resolved.ts';
import type { Board, BoardOptions } from '../contract/board.ts';
import type { Fleet, FleetStoreAddress } from '../contract/fleet.ts';
import type { GatewayHandle } from '../contract/gateway-handle.ts';
import { fleetBoard } from '../workers/coordination.ts';
import type { CoordinatedFleet } from '../workers/coordination.ts';
import type { Shared } from './shared.ts';

/** Characters of a hash: 132 bits. */
const HASH = 22;

/** Makes a callback of the plugin one that never throws: those who watch the same thing hear of it as well. `what` names it. */
export type Guard = <A extends readonly unknown[]>(
  what: string,
  changed: (...args: A) => void,
) => (...args: A) => void;

/** The members of the handle for a plugin of this name. */
export function sharedWith(
  {
    coordination,
    config,
  }: Pick<Shared, 'coordination'> & { readonly config?: Pick<ResolvedConfig, 'fleet'> },
  plugin: string,
  guard: Guard = (_, changed) => changed,
): Pick<GatewayHandle, 'worker' | 'board' | 'places' | 'post' | 'fleet'> {
  const { worker, workers, places, post, fleet } = coordination;
  const own = (name: string): string => `${plugin}/${name}`;
  const withoutName = (key: string | undefined): string | undefined => key?.slice(own('').length);
  return {
    worker: { number: worker, of: workers },
    board: async <V>(name: string, { of = 'gateway' }: BoardOptions = {}) => {
      const board = of === 'fleet' ? fleetBoard(own(name)) : own(name);
      return guarded((await coordination.board(board)) as Board<V>, name, guard);
    },
    places: {
      take(wanted) {
        const full = places.take(wanted.map((place) => ({ ...place, key: own(place.key) })));
        return full instanceof Promise ? full.then(withoutName) : withoutName(full);
      },
      give: (keys) => places.give(keys.map(own)),
    },
    post: {
      answer: (name, answer) => post.answer(own(name), answer),
      ask: (to, name, body, options) => post.ask(to, own(name), body, options),
    },
    fleet: fleet && fleetOf(fleet, () => addressOf(config?.fleet), own, guard),
  };
}

function guarded<V>(board: Board<V>, name: string, guard: Guard): Board<V> {
  return { ...board, watch: (changed) => board.watch(guard(`board ${name}`, changed)) };
}

/** With the questions and boards of one plugin. */
function fleetOf(
  fleet: CoordinatedFleet,
  store: Fleet['store'],
  own: (name: string) => string,
  guard: Guard,
): Fleet {
  return {
    name: fleet.name,
    id: fleet.id,
    instance: fleet.instance,
    away: fleet.away,
    store,
    hash: (text) => createHmac('sha256', fleet.hashKey).update(own(text)).digest('base64url').slice(0, HASH),
    get instances() {
      return fleet.instances;
    },
    get staleSince() {
      return fleet.staleSince;
    },
    get isStale() {
      return fleet.isStale;
    },
    get limitsAwaySince() {
      return fleet.limitsAwaySince;
    },
    get limitsAwayTimes() {
      return fleet.limitsAwayTimes;
    },
    watch: (changed) => fleet.watch(guard('fleet', changed)),
    ask: (instances, to, name, body, options) => fleet.ask(instances, to, own(name), body, options),
    proof: (board, options) => fleet.proof(fleetBoard(own(board)), options),
  };
}

/** A store that Sentinels know has no address of its own. */
function addressOf(fleet: ResolvedConfig['fleet']): FleetStoreAddress | undefined {
  if (!fleet || fleet.store.sentinels.length > 0) return undefined;
  const { kind, url, password, ca, timeoutMs } = fleet.store;
  return { kind, url, password, ca, timeoutMs };
}
