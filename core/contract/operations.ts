/** What operators do to a running gateway: the service `operations`, which every way for operators uses. */
import type { Actor } from './events.ts';
import type { FleetProof } from './fleet.ts';
import type { WebSignal } from './web-types.ts';

/** Who gives an order, and on which way. The caller has checked that it is an operator (service `operators`). */
export interface Operator {
  readonly identity: Actor;
  /** The way, in a word of the plugin that has it, such as `'http'`: it stands in the log and in the event `operator`. */
  readonly via: string;
}

/** What a shutdown waits for before it drains: clients to leave, or server connections to be given back. */
export type ShutdownAfter = 'clients' | 'servers';

/** An order that holds in all instances of the fleet. */
export interface FleetOrder {
  /** Whose it is. */
  readonly by: Actor;
  /** When it was given, in milliseconds since the epoch. */
  readonly since: number;
  /** When it ends by itself, in milliseconds since the epoch. Absent: it does not. */
  readonly until?: number;
}

/** How long a PAUSE of the fleet holds, and who hears of it. */
export interface FleetPauseOptions {
  /** How long, in milliseconds. Default: one hour. */
  readonly forMs?: number;
  /** Hears the names of the instances that are still waited for, again and again. */
  readonly waitingFor?: (instances: readonly string[]) => void;
}

/**
 * The verbs that hold in all instances of the fleet, and in one that starts later. They are independent of those of one gateway: an entry that both have paused serves when both have
 * been taken back. Each resolves with how many instances live, and with those of which it is not known that they obey: they have left the fleet meanwhile, or are cut off.
 */
export interface FleetOperations {
  /**
   * As {@link Operations.pause}, in all instances; resolves when no live one has a connection left. An order that holds already goes on for the new time.
   * @throws GatewayError as `Operations.pause`; `connection_failure` if the store of the fleet does not answer, and then nothing is paused
   */
  pause(
    by: Operator,
    name: string | undefined,
    signal: WebSignal,
    options?: FleetPauseOptions,
  ): Promise<FleetProof>;
  /** Takes that back. While the store does not answer: here at once, elsewhere once it does. @throws GatewayError as {@link Operations.known} */
  resume(by: Operator, name: string | undefined): Promise<FleetProof>;
  /** As {@link Operations.disable}, in all instances. @throws GatewayError as {@link pause} */
  disable(by: Operator, name: string): Promise<FleetProof>;
  /** Takes that back, as {@link resume}. @throws GatewayError as {@link Operations.known} */
  enable(by: Operator, name: string): Promise<FleetProof>;
}

/**
 * The verbs. Each order is logged with its operator, and told as the event `operator`, before it is carried out. `name` is that of an
 * entry as clients have it; undefined: all of them. An order holds in all workers of the gateway, and in one that starts later. A verb with a name fails with `invalid_catalog_name` where there is no such entry.
 */
export interface Operations {
  /** Undefined: the gateway is in no fleet. */
  readonly fleet: FleetOperations | undefined;
  /**
   * Resolves where the config in force has an entry of this name, or finds one for it.
   * @throws GatewayError `invalid_catalog_name` where it has none; what the config's function throws
   */
  known(name: string): Promise<void>;
  /**
   * Lends no server connection of an entry, or of any, until a RESUME; those in use serve to the end of their transaction,
   * in session mode of their session, and are closed. Resolves when none is left.
   * @throws GatewayError as {@link known}; `query_canceled` if it was resumed before; the reason of `signal`, which ends
   * the wait and not the pause
   */
  pause(by: Operator, name: string | undefined, signal: WebSignal): Promise<void>;
  /**
   * Takes a PAUSE or a KILL back, and without a name a SUSPEND. What is not paused stays as it is.
   * @throws GatewayError as {@link known}; `object_not_in_prerequisite_state` where it stays paused by an order to the fleet
   */
  resume(by: Operator, name: string | undefined): Promise<void>;
  /** Lets no new session to an entry until {@link enable}: 55000. Those that are open go on. @throws GatewayError as {@link known} */
  disable(by: Operator, name: string): Promise<void>;
  /** Takes a DISABLE back. @throws GatewayError as {@link resume} */
  enable(by: Operator, name: string): Promise<void>;
  /** Has every server connection replaced once it is free. @throws GatewayError as {@link known} */
  reconnect(by: Operator, name: string | undefined): Promise<void>;
  /**
   * Resolves when no server connection of an entry, or of any, is left that has to be closed: after a RECONNECT, or a RELOAD
   * that has changed the entry. @throws GatewayError as {@link known}; the reason of `signal`
   */
  waitClose(by: Operator, name: string | undefined, signal: WebSignal): Promise<void>;
  /**
   * Reads nothing from clients and servers until a RESUME of all; who comes waits, for `loginTimeout` at most. Resolves when everything
   * is written that was to be. `left`: it goes on when the operator has left. Default: it does not end by itself.
   * @throws GatewayError `object_not_in_prerequisite_state` if it is suspended already; the reason of `signal`, and then it goes on
   */
  suspend(by: Operator, signal: WebSignal, left?: WebSignal): Promise<void>;
  /** Has the gateway drain and stop once this has been answered: at once, or when what is named has come to pass. */
  shutDown(by: Operator, after: ShutdownAfter | undefined): void;
  /**
   * Pauses an entry and ends all its sessions with 57P01, whatever they do. Resolves when its connections are gone, or after
   * 5 s. @throws GatewayError as {@link known}
   */
  kill(by: Operator, name: string): Promise<void>;
  /** Ends one session with 57P01. @throws GatewayError `invalid_parameter_value` where there is none with this id */
  endSession(by: Operator, id: string): Promise<void>;
  /**
   * Loads the config anew.
   * @throws GatewayError `config_file_error` with the reason, `feature_not_supported` where there is nothing to load it from; the
   * config in force stays then
   */
  reload(by: Operator): Promise<void>;
}
