/** An instance of a fleet as tests have it: a member, the copy of one board, and sessions that are counted. */
import { createFleetMember } from '../../core/fleet/member.ts';
import type { FleetMemberOptions } from '../../core/fleet/member.ts';
import type { FleetStore } from '../../core/fleet/store.ts';
import type { FleetBoardCopy, FleetBoardHome, FleetMember } from '../../core/workers/fleet-member.ts';
import type { BoardEntry } from '../../core/workers/messages.ts';
import type { Timers } from '../../core/workers/timers.ts';

/** The board that each opens. */
export const BOARD = '@test/revocations';

/** How one is made. */
export interface InstanceSetup<Store extends FleetStore> {
  readonly store: Store;
  readonly timers: Timers;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly options?: Partial<FleetMemberOptions>;
}

/** One process is one worker here: what is applied is in force. */
export class TestInstance<Store extends FleetStore> {
  readonly member: FleetMember;
  readonly store: Store;
  readonly name: string;
  readonly board = new Map<string, BoardEntry>();
  readonly warnings: string[] = [];
  /** By key. */
  readonly held = new Map<string, number>();
  /** Sessions that were let in, by key. */
  readonly sessions = new Map<string, number>();
  /** Questions that its workers were asked. */
  readonly asked: unknown[] = [];
  /** Hears of each value that comes into force. */
  hears: (id: string) => void = () => undefined;
  /** Its workers do not apply changes. */
  hangs = false;
  #home: FleetBoardHome | undefined;

  constructor(name: string, { store, timers, clock, options }: InstanceSetup<Store>) {
    this.name = name;
    this.store = store;
    const log = { info: () => undefined, warn: (_: object, text: string) => void this.warnings.push(text) };
    this.member = createFleetMember({
      store,
      timers,
      clock,
      log,
      id: `id-of-${name}`,
      options: {
        name: 'fleet',
        instance: name,
        secret: 'the secret of this fleet',
        staleMs: 10_000,
        timeoutMs: 200,
        away: { revocations: 'refuse', limits: 'local' },
        ...options,
      },
    });
    this.member.answersBy((to, question, body) => {
      this.asked.push([to, question, body]);
      return Promise.resolve([{ worker: 1, body: `${name} heard ${question}` }]);
    });
  }

  async start(): Promise<this> {
    await this.member.start();
    this.#home = await this.member.board(BOARD, this.#copy());
    return this;
  }

  put(id: string, value: unknown, expected?: string | null): Promise<boolean> {
    return this.#changes({ id, value }, expected);
  }

  drop(id: string): Promise<boolean> {
    return this.#changes({ id }, undefined);
  }

  get values(): Readonly<Record<string, unknown>> {
    const sorted = [...this.board.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
    return Object.fromEntries(sorted.map(({ id, value }) => [id, value]));
  }

  /** A session begins, if there is a place of the key. */
  async logsIn(key: string, limit: number | null): Promise<boolean> {
    const mine = add(this.held, key, 1);
    const full = await this.member.take([[key, mine, limit]]).catch(() => key);
    if (full === undefined) add(this.sessions, key, 1);
    else this.#tell(key);
    return full === undefined;
  }

  /** One of them ends. */
  ends(key: string): void {
    add(this.sessions, key, -1);
    this.#tell(key);
  }

  #tell(key: string): void {
    this.member.count([[key, add(this.held, key, -1)]]);
  }

  #changes(entry: BoardEntry, expected: string | null | undefined): Promise<boolean> {
    if (!this.#home) throw new Error('it has not started');
    return this.#home.change(entry, expected);
  }

  #copy(): FleetBoardCopy {
    const { board } = this;
    const apply = async (entry: BoardEntry): Promise<void> => {
      if (this.hangs) return new Promise(() => undefined);
      if (entry.value === undefined) board.delete(entry.id);
      else board.set(entry.id, entry);
      this.hears(entry.id);
    };
    return {
      get entries() {
        return [...board.values()];
      },
      apply,
      async replace(entries) {
        board.clear();
        await Promise.all(entries.map(apply));
      },
    };
  }
}

function add(counts: Map<string, number>, key: string, by: number): number {
  const now = (counts.get(key) ?? 0) + by;
  counts.set(key, now);
  return now;
}
