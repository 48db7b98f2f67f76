/** Gateways of one process that are the instances of a fleet: what they share is in memory, and a test cuts them off. */
import { tmpdir } from 'node:os';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { Fleet, FleetAway } from '../../core/index.ts';
import { Gateway } from '../../core/gateway.ts';
import { createLogger } from '../../core/telemetry/log.ts';
import { BoardCopy } from '../../core/workers/board-copy.ts';
import { boardOf } from '../../core/workers/board-view.ts';
import type { Coordination } from '../../core/workers/coordination.ts';
import type { BoardEntry } from '../../core/workers/messages.ts';
import { SingleProcess } from '../../core/workers/single-process.ts';
import type { LogLine, RunningGateway, TestConfig } from '../support/gateway.ts';

/** How long instances are waited for that do not answer, in milliseconds. */
const SILENT_MS = 300;

/** An instance, and its connection to the store. */
export interface FleetInstanceInTest extends RunningGateway {
  /** Nothing comes from the store, and nothing gets there. */
  readonly cut: () => void;
  /** As `cut`, and long enough for `fleet.stale`. */
  readonly goStale: () => void;
  /** What came meanwhile arrives; with `anew` as a copy of what is there now. */
  readonly heal: (how?: 'anew') => void;
  readonly stop: () => Promise<void>;
}

/** A fleet. */
export interface FleetInTest {
  readonly start: (instance: string, config: TestConfig) => Promise<FleetInstanceInTest>;
}

/** Boards as the store has them, and what each instance has not heard yet. */
class Store {
  readonly members = new Set<Member>();
  readonly #boards = new Map<string, Map<string, BoardEntry>>();

  board(name: string): Map<string, BoardEntry> {
    const board = this.#boards.get(name) ?? new Map<string, BoardEntry>();
    this.#boards.set(name, board);
    return board;
  }

  change(by: Member, name: string, entry: BoardEntry): void {
    if (entry.value === undefined) this.board(name).delete(entry.id);
    else this.board(name).set(entry.id, entry);
    for (const member of this.members) if (member !== by) member.hear(name, entry);
  }
}

class Member {
  readonly name: string;
  readonly single = new SingleProcess();
  readonly #store: Store;
  readonly #copies = new Map<string, BoardCopy>();
  /** What the store has and this one has not. Undefined: it hears at once. */
  #unheard: [name: string, entry: BoardEntry][] | undefined;
  /** The other way. */
  #untold: [name: string, entry: BoardEntry][] = [];
  #staleSince: number | undefined;
  #isStale = false;
  readonly #watching = new Set<() => void>();
  readonly #away: FleetAway['revocations'];

  constructor(name: string, store: Store, away: FleetAway['revocations']) {
    this.name = name;
    this.#store = store;
    this.#away = away;
    store.members.add(this);
  }

  get isCut(): boolean {
    return this.#unheard !== undefined;
  }

  hear(name: string, entry: BoardEntry): void {
    if (this.#unheard) this.#unheard.push([name, entry]);
    else setImmediate(() => this.#copies.get(name)?.apply(JSON.parse(JSON.stringify(entry)) as BoardEntry));
  }

  cut(isStale: boolean): void {
    this.#unheard ??= [];
    this.#staleSince = Date.now();
    this.#isStale = isStale;
    for (const changed of this.#watching) changed();
  }

  heal(how?: 'anew'): void {
    const unheard = this.#unheard ?? [];
    this.#unheard = undefined;
    for (const [name, entry] of this.#untold.splice(0)) this.#store.change(this, name, entry);
    if (how === 'anew')
      for (const [name, copy] of this.#copies) copy.replace([...this.#store.board(name).values()]);
    else for (const [name, entry] of unheard) this.hear(name, entry);
    this.#staleSince = undefined;
    this.#isStale = false;
    for (const changed of this.#watching) changed();
  }

  get coordination(): Coordination {
    const { single } = this;
    return {
      worker: 1,
      workers: 1,
      parent: undefined,
      places: single.places,
      post: single.post,
      fleet: this.#fleet(),
      board: (name) => (name.startsWith('@') ? Promise.resolve(this.#board(name)) : single.board(name)),
      whenLead: (lead) => single.whenLead(lead),
      close: () => this.close(),
    };
  }

  close(): void {
    this.single.close();
    for (const copy of this.#copies.values()) copy.close();
    this.#store.members.delete(this);
  }

  #board(name: string): ReturnType<typeof boardOf> {
    const copy = this.#copies.get(name) ?? new BoardCopy();
    if (!this.#copies.has(name) && !this.isCut) copy.replace([...this.#store.board(name).values()]);
    this.#copies.set(name, copy);
    return boardOf(copy, (entry, expected) => {
      if (expected !== undefined) {
        if (this.isCut) return Promise.reject(new Error('the store is away'));
        const has = this.#store.board(name).get(entry.id)?.value;
        if (expected !== (has === undefined ? null : JSON.stringify(has))) return Promise.resolve(false);
      }
      copy.apply(entry);
      if (this.isCut) this.#untold.push([name, entry]);
      else this.#store.change(this, name, entry);
      return Promise.resolve(true);
    });
  }

  #fleet(): Fleet {
    const others = (): Member[] => [...this.#store.members].filter((member) => member !== this);
    const reading = {
      version: 'test',
      config: '',
      since: 0,
      sessions: 0,
      workers: 1,
      draining: false,
      lagMs: 0,
    };
    const watching = this.#watching;
    const staleSince = (): number | undefined => this.#staleSince;
    const isStale = (): boolean => this.#isStale;
    return {
      name: 'test',
      id: this.name,
      instance: this.name,
      away: { revocations: this.#away, limits: 'local' },
      store: undefined,
      get instances() {
        return others()
          .map(({ name }) => ({ ...reading, id: name, name }))
          .concat({ ...reading, id: 'own', name: 'own' });
      },
      get staleSince() {
        return staleSince();
      },
      get isStale() {
        return isStale();
      },
      watch(changed) {
        watching.add(changed);
        return () => void watching.delete(changed);
      },
      // A question is at its place before what has been put on a board, or behind it.
      async ask(_, to, name, body) {
        const answers = await Promise.all(
          others().map(async (other) => {
            if (other.isCut) return sleep(SILENT_MS).then(() => []);
            const said = await other.single.post.ask(to, name, body, { withinMs: 1_000 });
            return said.map((answer) => ({ ...answer, instance: other.name }));
          }),
        );
        return answers.flat();
      },
      proof: async () => {
        const missing = others().filter(({ isCut }) => isCut || this.isCut);
        await sleep(missing.length > 0 ? SILENT_MS : 20);
        return { live: this.#store.members.size, missing: missing.map(({ name }) => name) };
      },
    };
  }
}

/** None has started. They stop with the test. */
export function fleetOf(away: FleetAway['revocations'] = 'refuse'): FleetInTest {
  const store = new Store();
  return {
    async start(instance, config) {
      const member = new Member(instance, store, away);
      const lines: string[] = [];
      const sink = new Writable({
        write(chunk: Buffer, _, done) {
          lines.push(chunk.toString());
          done();
        },
      });
      const resolved = checkConfig({ listen: { port: 0 }, ...config }, tmpdir());
      const gateway = new Gateway(resolved, createLogger('debug', sink), member.coordination);
      const { listeners, admin } = await gateway.start();
      const stop = async (): Promise<void> => {
        await gateway.stop();
        member.close();
      };
      onTestFinished(stop);
      const log = (): LogLine[] => lines.map((line) => JSON.parse(line) as LogLine);
      return {
        gateway,
        port: listeners[0]?.port ?? 0,
        adminPort: admin?.port ?? 0,
        log,
        lines: (msg) => log().filter((line) => line['msg'] === msg),
        text: () => lines.join(''),
        cut: () => member.cut(false),
        goStale: () => member.cut(true),
        heal: (how) => member.heal(how),
        stop,
      };
    },
  };
}
