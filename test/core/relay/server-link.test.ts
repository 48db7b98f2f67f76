import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { ServerLink } from '../../../core/relay/server-link.ts';
import type { ServerSource, ServerWaiter } from '../../../core/relay/server-source.ts';
import type { LinkState } from '../../../core/relay/transaction-boundary.ts';
import { knownStatements } from '../../support/server-source.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';

/** A promise that a test settles, and that tells at once. */
class Pending<T> {
  #settle: [ok: (value: T) => unknown, failed: (error: unknown) => unknown] | undefined;

  get promise(): Promise<T> {
    const then = (...settle: [(value: T) => unknown, (error: unknown) => unknown]): void => {
      this.#settle = settle;
    };
    // oxlint-disable-next-line unicorn/no-thenable -- a model run must not wait for microtasks
    return { then } as unknown as Promise<T>;
  }
  resolve(value: T): void {
    this.#settle?.[0](value);
  }
  reject(): void {
    this.#settle?.[1](new Error('lost'));
  }
}

const noChannel = { listen() {}, pause() {}, resume() {}, write: () => true };
const server = (): ServerConnection =>
  ({ channel: noChannel, parameters: new Map(), prepared: new Map() }) as unknown as ServerConnection;

/** A link between a source and a relay that a test plays, with everything that must stay true looked after. */
class Stage implements ServerSource {
  readonly parameters = new Map<string, string>();
  readonly known = knownStatements();
  readonly probe: ServerSource['probe'];
  readonly link: ServerLink;
  readonly out = new Set<ServerConnection>();
  waiter: ServerWaiter | undefined;
  free = true;
  probing: Pending<string | undefined> | undefined;
  refreshing: Pending<void> | undefined;
  /** How often the relay was told that its wait is over, how often it had to wait, and the last error. */
  resumed = 0;
  waits = 0;
  error: unknown;
  lost = 0;
  /** That of the last check-in. */
  fitness: string | undefined;

  constructor(probes: boolean, source = true) {
    if (probes) this.probe = () => (this.probing = new Pending()).promise;
    const first = server();
    this.out.add(first);
    this.link = new ServerLink({
      first,
      source: source ? this : undefined,
      refresh: () => (this.refreshing = new Pending()).promise,
      host: {
        linked: (linked) => expect(this.out).toContain(linked),
        resumed: (error) => {
          this.resumed += 1;
          this.error = error;
        },
        pinned() {},
        refreshed() {},
        serverLost: () => (this.lost += 1),
      },
    });
  }

  /** What is under way, which ends now. */
  take<Name extends 'probing' | 'refreshing'>(name: Name): this[Name] {
    const taken = this[name];
    this[name] = undefined as this[Name];
    return taken;
  }

  #give(): ServerConnection {
    const given = server();
    this.out.add(given);
    return given;
  }

  checkOut(waiter: ServerWaiter): ServerConnection | undefined {
    if (this.waiter) throw new Error('a session waits twice');
    if (this.free) return this.#give();
    this.waiter = waiter;
    return undefined;
  }
  cancel(): void {
    if (!this.waiter) throw new Error('nobody waits');
    this.waiter = undefined;
  }
  checkIn(given: ServerConnection, how?: string): void {
    if (!this.out.delete(given)) throw new Error('checked in twice');
    this.fitness = how;
  }
  grant(): void {
    const { waiter } = this;
    this.waiter = undefined;
    waiter?.granted(this.#give());
  }
  refuse(): void {
    const { waiter } = this;
    this.waiter = undefined;
    waiter?.refused(new Error('none'));
  }
}

/** What a link must do, in as few words as there are. */
class Model {
  state: LinkState = 'linked';
  /** A message waits. */
  held = false;
  outdated = false;
  readonly stage: Stage;

  constructor(stage: Stage) {
    this.stage = stage;
  }

  /** What a step makes of the link; undefined where the relay would not take it now. */
  step(name: Step): (() => void) | undefined {
    const { stage, held, state } = this;
    const { link } = stage;
    const open = state !== 'closed';
    const begins = open && !held;
    const whenProbed = (): void => {
      if (state !== 'probing') return;
      if (held) this.outdated = false;
      if (!held) this.state = 'unlinked';
      else if (stage.free) this.linked();
      else this.state = 'waiting';
    };
    const steps: Record<Step, (() => void) | false> = {
      need: begins && (() => (this.need(), this.expectNeed(link.need()))),
      busy: () => (stage.free = false),
      free: !stage.waiter && (() => (stage.free = true)),
      grant: stage.waiter !== undefined && (() => (this.linked(this.outdated), stage.grant())),
      refuse: stage.waiter !== undefined && (() => (this.over('unlinked'), stage.refuse())),
      cancel: () => {
        const waits = state === 'waiting' || (state === 'probing' && held);
        if (waits) this.over(state === 'waiting' ? 'unlinked' : state);
        expect(link.cancel(new Error('cancelled'))).toBe(waits);
      },
      checkIn: () => {
        if (state === 'linked' && !held) this.state = stage.probe ? 'probing' : 'unlinked';
        link.checkIn('clean');
      },
      close: () => ((this.state = 'closed'), (this.held = false), link.close('dirty')),
      leave: () => ((this.state = 'closed'), (this.held = false), link.leave()),
      outdate: () => ((this.outdated ||= open), link.outdateSettings()),
      refreshed: stage.refreshing !== undefined && (() => this.refreshed(true)),
      notRefreshed: stage.refreshing !== undefined && (() => this.refreshed(false)),
      nothing:
        stage.probing !== undefined && (() => (whenProbed(), stage.take('probing')?.resolve(undefined))),
      tied:
        stage.probing !== undefined &&
        (() => {
          if (state === 'probing') this.linked(this.outdated);
          stage.take('probing')?.resolve('LISTEN');
        }),
      lost: stage.probing !== undefined && (() => stage.take('probing')?.reject()),
    };
    return steps[name] || undefined;
  }

  need(): void {
    if (this.state === 'unlinked') {
      this.outdated = false;
      if (this.stage.free) this.linked();
      else Object.assign(this, { state: 'waiting', held: true });
    } else if (this.state === 'probing') this.held = true;
    else if (this.state === 'linked' && this.outdated)
      Object.assign(this, { state: 'applying', held: true, outdated: false });
  }
  expectNeed(answer: 'go' | 'wait'): void {
    expect(answer).toBe(this.held ? 'wait' : 'go');
    if (this.held) this.stage.waits += 1;
  }
  over(state: LinkState): void {
    this.state = state;
    this.held = false;
  }
  linked(outdated = false): void {
    this.over('linked');
    this.outdated = outdated;
  }
  refreshed(well: boolean): void {
    if (this.state === 'applying') this.linked(this.outdated || !well);
    const refreshing = this.stage.take('refreshing');
    if (well) refreshing?.resolve(undefined);
    else refreshing?.reject();
  }
}

const NAMES = [
  'need',
  'need',
  'need',
  'checkIn',
  'checkIn',
  'busy',
  'free',
  'grant',
  'refuse',
  'cancel',
  'close',
  'leave',
  'outdate',
  'refreshed',
  'notRefreshed',
  'nothing',
  'tied',
  'lost',
] as const;
type Step = (typeof NAMES)[number];

function run(bytes: Uint8Array): void {
  const stage = new Stage((bytes[0] ?? 0) % 2 === 0);
  const model = new Model(stage);
  for (const byte of bytes) {
    const name = NAMES[byte % NAMES.length] ?? 'need';
    // An end is rare.
    if ((name === 'close' || name === 'leave') && byte < 200) continue;
    model.step(name)?.();
    const { link } = stage;
    if (link.state !== model.state) throw new Error(`${name}: ${link.state} instead of ${model.state}`);
    if (link.state !== 'closed' && link.settingsOutdated !== model.outdated)
      throw new Error(`${name}: outdated`);
    const holds = (link.server ? 1 : 0) + (stage.probing ? 1 : 0);
    if (stage.out.size !== holds) throw new Error(`${name}: ${stage.out.size} are out, ${holds} held`);
    if (link.state !== 'closed' && stage.waits - stage.resumed !== (model.held ? 1 : 0))
      throw new Error(`${name}: ${stage.waits} waits, ${stage.resumed} ends`);
    if ((stage.waiter !== undefined) !== (link.state === 'waiting')) throw new Error(`${name}: in the queue`);
  }
  stage.link.close('dirty');
  stage.take('refreshing')?.resolve(undefined);
  stage.take('probing')?.resolve(undefined);
  if (stage.out.size + (stage.waiter ? 1 : 0) > 0) throw new Error('something is left behind');
}

test('a link does as its model does, holds one connection at most, and leaves none behind', () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 20, maxLength: 60 }), run), { numRuns: 5_000 });
});

test('a refusal in the stack of the check-out is told when the message is held', async () => {
  const stage = new Stage(false);
  stage.link.checkIn('clean');
  stage.checkOut = (waiter) => {
    waiter.refused(new Error('closing'));
    return undefined;
  };
  expect(stage.link.need()).toBe('wait');
  expect(stage.resumed).toBe(0);
  await expect.poll(() => stage.resumed).toBe(1);
  expect(stage.error).toEqual(new Error('closing'));
  expect(stage.link.state).toBe('unlinked');
});

test('a session that ends while its connection is looked at cannot come back for what functions have left there', () => {
  const left = (['clean', 'sequences', 'suspect', 'dirty'] as const).map((how) => {
    const stage = new Stage(true);
    stage.link.checkIn(how);
    stage.link.close('dirty');
    stage.take('probing')?.resolve(undefined);
    return stage.fitness;
  });
  expect(left).toEqual(['clean', 'sequences', 'dirty', 'dirty']);
});

test('names of settings without end are not remembered: the connection stays with the session', () => {
  const { link } = new Stage(false);
  const touch = (count: number, from = 0): void => {
    const set = Array.from({ length: count }, (_, i) => `no.such_${from + i}`);
    link.changes.touch({
      set,
      calls: false,
      maybeReset: [],
      reset: [],
      resetsAll: false,
      commands: count,
      unknown: false,
      local: [],
      opaque: false,
    });
  };
  for (let i = 0; i < 10; i += 1) touch(1_000);
  expect([link.pinned, link.changes.dirty]).toEqual([undefined, true]);
  touch(1, 1_000);
  expect([link.pinned, link.changes.dirty]).toEqual(['too many settings', true]);
});

test('without a source the first connection stays, whatever is checked in', () => {
  const stage = new Stage(false, false);
  const { server } = stage.link;
  stage.link.checkIn('clean');
  stage.link.close('dirty');
  expect(stage.link.server).toBe(server);
  expect(stage.out.size).toBe(1);
});

test('tags pin and soil a connection only where it changes, and a RESET takes off what policies have set', () => {
  const [changing, staying] = [new Stage(false), new Stage(false, false)];
  for (const { link } of [changing, staying]) {
    link.completed('SELECT 1');
    // SET LOCAL, by its text.
    link.changes.touch({
      set: [],
      calls: false,
      maybeReset: [],
      reset: [],
      resetsAll: false,
      commands: 1,
      unknown: false,
      local: [],
      opaque: false,
    });
    link.completed('SET');
  }
  expect([changing.link.changes.dirty, staying.link.changes.dirty]).toEqual([false, true]);
  for (const { link } of [changing, staying])
    for (const tag of ['SET', 'RESET', 'LISTEN']) link.completed(tag);
  expect([changing.link.changes.dirty, changing.link.pinned, changing.link.settingsOutdated]).toEqual([
    true,
    'LISTEN',
    true,
  ]);
  expect([staying.link.pinned, staying.link.settingsOutdated]).toEqual([undefined, true]);
});
