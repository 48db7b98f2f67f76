/** Workers of one process: links to a hub through channels that carry JSON, in order and later, as those of processes do. */
import type { ParentOrders } from '../../core/workers/coordination.ts';
import type { SharedRequest, SharedTold } from '../../core/workers/messages.ts';
import { Hub } from '../../core/workers/parent/hub.ts';
import type { FleetMember } from '../../core/workers/fleet-member.ts';
import type { ReloadsParts } from '../../core/workers/decisions/reloads.ts';
import { ParentLink } from '../../core/workers/worker/parent-link.ts';

/** A hub with its links, by number from 1. */
export interface LinkedWorkers {
  readonly hub: Hub;
  readonly links: readonly ParentLink[];
  /** The worker of this number dies: its messages under way are lost. */
  readonly kill: (worker: number) => void;
  /** The worker of this number reads nothing until the function that this gives is called. */
  readonly hang: (worker: number) => () => void;
  /** A worker that has died begins anew. It is not ready yet. */
  readonly successor: (worker: number) => ParentLink;
  /** How many messages of each kind have been sent, either way. */
  readonly sent: ReadonlyMap<string, number>;
  readonly close: () => void;
}

/** What the parent does where a test does not say it. */
const NO_ORDERS: ParentOrders = {
  reload: () => Promise.reject(new Error('there is nothing to load it from')),
  shutDown() {},
};

/** A log that is not looked at. */
const SILENT: ReloadsParts['log'] = { info() {}, error() {} };

/** What a test chooses. */
export interface LinkOptions {
  /** All of them are ready. Default true; else say so with {@link Workers.ready}. */
  readonly ready?: boolean;
  /** That of the parent. */
  readonly log?: ReloadsParts['log'];
  /** Of the instance in its fleet. Default: it is in none. */
  readonly member?: FleetMember;
}

/** Workers of one instance. */
export function linkWorkers(
  count: number,
  orders: ParentOrders = NO_ORDERS,
  { ready = true, log = SILENT, member }: LinkOptions = {},
): LinkedWorkers {
  const hub = new Hub(orders, log, member && { member, workers: count });
  /** By number; false where it has died. What it does not read waits. */
  const alive = new Map<number, { is: boolean; unread?: (() => void)[] | undefined }>();
  const all = new Set<ParentLink>();
  const sent = new Map<string, number>();
  const join = (worker: number): ParentLink => {
    const life: { is: boolean; unread?: (() => void)[] | undefined } = { is: true };
    alive.set(worker, life);
    const later = <M extends { readonly t: string }>(message: M, deliver: (message: M) => void): void => {
      const text = JSON.stringify(message);
      sent.set(message.t, (sent.get(message.t) ?? 0) + 1);
      setImmediate(() => {
        const arrive = (): void => void (life.is && deliver(JSON.parse(text) as M));
        if (life.unread) life.unread.push(arrive);
        else arrive();
      });
    };
    const port = {
      send: (message: SharedRequest) => later(message, (arrived) => hub.hear(worker, arrived)),
    };
    const link = new ParentLink({ worker, workers: count, port, fleet: member });
    all.add(link);
    hub.workers.joined(worker, {
      send: (message: SharedTold) => later(message, (arrived) => link.hear(arrived)),
    });
    return link;
  };
  const links = Array.from({ length: count }, (_, index) => join(index + 1));
  if (ready) for (const { worker } of links) hub.workers.ready(worker);
  const kill = (worker: number): void => {
    const life = alive.get(worker);
    if (life) life.is = false;
    hub.workers.left(worker);
  };
  const hang = (worker: number): (() => void) => {
    const life = alive.get(worker);
    if (life) life.unread = [];
    return () => {
      const unread = life?.unread ?? [];
      if (life) life.unread = undefined;
      for (const arrive of unread) arrive();
    };
  };
  const close = (): void => {
    for (const link of all) link.close();
    hub.close();
  };
  return { hub, links, kill, hang, successor: join, sent, close };
}
