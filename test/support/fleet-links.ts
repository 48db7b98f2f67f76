/** Instances of a fleet in one process, without a store: questions between them are JSON that arrives later, and may be lost. */
import type { FleetAnswer, FleetInstance } from '../../core/contract/fleet.ts';
import type { InstanceNumbers } from '../../core/contract/instance-numbers.ts';
import type { PostAnswer } from '../../core/contract/post.ts';
import type { CoordinatedFleet, Coordination } from '../../core/workers/coordination.ts';
import { SingleProcess } from '../../core/workers/single-process.ts';
import { linkWorkers } from './worker-links.ts';

/** One instance, as its workers see it. */
export interface LinkedInstance {
  readonly id: string;
  /** By number from 1. */
  readonly workers: readonly Coordination[];
  /** It claims a number anew, or has none any more. The one before may be another's from then on. */
  readonly renumber: (number: number | undefined) => void;
  /** Whether it reads its post. Default true. */
  reads: boolean;
}

/** Instances that know each other, in order. */
export interface LinkedFleet {
  readonly instances: readonly LinkedInstance[];
  /** How many questions have gone from one instance to another. */
  readonly sent: () => number;
  readonly close: () => void;
}

interface Member extends LinkedInstance {
  numbers: InstanceNumbers['numbers'];
  number: number | undefined;
}

const SILENCE: PostAnswer = { worker: 0, error: 'it did not answer in time' };
const FIRST_NUMBER = 2;

/** Each of `instances` has `workers`. */
export function linkFleet(instances: number, workers: number): LinkedFleet {
  const members: Member[] = [];
  const closing: (() => void)[] = [];
  let sent = 0;

  async function askOne(
    member: Member,
    ...[to, name, body, options]: Parameters<Coordination['post']['ask']>
  ): Promise<readonly FleetAnswer[]> {
    sent += 1;
    const text = JSON.stringify(body) as string | undefined;
    await new Promise((resolve) => setImmediate(resolve));
    const [first] = member.workers;
    const answers = member.reads
      ? await first?.post.ask(to, name, text === undefined ? text : JSON.parse(text), options)
      : [SILENCE];
    return (answers ?? []).map((answer) => ({ ...answer, instance: member.id }));
  }

  function fleetOf(id: string): CoordinatedFleet {
    return {
      name: 'test',
      id,
      instance: id,
      get instances() {
        return [...members].sort((a) => (a.id === id ? -1 : 0)).map(readingOf);
      },
      staleSince: undefined,
      isStale: false,
      limitsAwaySince: undefined,
      limitsAwayTimes: 0,
      away: { revocations: 'refuse', limits: 'local' },
      hashKey: 'a key',
      watch: () => () => {},
      async ask(to, ...question) {
        const asked = members.filter(
          (member) => to === 'all' || (to === 'others' ? member.id !== id : member.id === to.id),
        );
        return (await Promise.all(asked.map((member) => askOne(member, ...question)))).flat();
      },
      proof: () => Promise.resolve({ live: members.length, missing: [] }),
    };
  }

  function numbersOf(id: string): InstanceNumbers {
    const others = members.filter((member) => member.id !== id);
    const { number, numbers } = members.find((member) => member.id === id) ?? {
      number: undefined,
      numbers: [],
    };
    const byNumber = Object.fromEntries(
      others.flatMap((member) => (member.number === undefined ? [] : [[member.number, member.id]])),
    ) as Record<number, string>;
    return { number, numbers, byNumber };
  }

  for (let index = 0; index < instances; index += 1) {
    const id = `instance-${index + 1}`;
    const linked = workers > 1 ? linkWorkers(workers) : undefined;
    const links: readonly Coordination[] = linked?.links ?? [new SingleProcess()];
    closing.push(() => (linked ? linked.close() : links[0]?.close()));
    const number = FIRST_NUMBER + index;
    const member: Member = {
      id,
      reads: true,
      number,
      numbers: [number],
      workers: links.map((link) => inFleet(link, fleetOf(id), () => numbersOf(id))),
      renumber(next) {
        member.number = next;
        if (next !== undefined) member.numbers = [...member.numbers, next];
      },
    };
    members.push(member);
  }
  return { instances: members, sent: () => sent, close: () => closing.forEach((close) => close()) };
}

function inFleet(link: Coordination, fleet: CoordinatedFleet, numbers: () => InstanceNumbers): Coordination {
  return {
    worker: link.worker,
    workers: link.workers,
    places: link.places,
    post: link.post,
    parent: link.parent,
    slots: link.slots,
    fleet,
    get instanceNumbers() {
      return numbers();
    },
    board: (name) => link.board(name),
    whenLead: (lead) => link.whenLead(lead),
    whenAlone: (task, run) => link.whenAlone(task, run),
    get generation() {
      return link.generation;
    },
    close: () => link.close(),
  };
}

function readingOf({ id, workers }: Member): FleetInstance {
  return {
    id,
    name: id,
    version: '0.0.0',
    config: 'test',
    since: 0,
    sessions: 0,
    workers: workers.length,
    draining: false,
    lagMs: 0,
  };
}
