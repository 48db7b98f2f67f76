/** What a gateway under test has told: lines of its log, and events. */
import type { EventName, Events } from '../contract/events.ts';
import type { AnyPlugin, Observers } from '../contract/plugin.ts';

/** An event with its name. */
export type TestEvent = { [E in EventName]: { readonly name: E; readonly event: Events[E] } }[EventName];

/** All there are; the record makes the compiler say which one is missing. */
const NAMES: Readonly<Record<EventName, true>> = {
  access: true,
  close: true,
  connect: true,
  discovery: true,
  hook: true,
  login: true,
  operator: true,
  queue: true,
  refused: true,
  renewal: true,
  revocation: true,
  statement: true,
};

/** One per gateway: a stream for its log, and a plugin that observes everything. */
export class Recorded {
  readonly lines: Readonly<Record<string, unknown>>[] = [];
  readonly events: TestEvent[] = [];
  readonly #waiting = new Set<(told: TestEvent) => void>();

  /** Takes a line of the log. */
  write(line: string): void {
    this.lines.push(JSON.parse(line) as Readonly<Record<string, unknown>>);
  }

  /** Observes the sessions of all plugins. */
  get plugin(): AnyPlugin {
    const names = Object.keys(NAMES) as EventName[];
    const on: Observers = Object.fromEntries(
      names.map((name) => [name, (event: object) => this.#tell(name, event)]),
    );
    return { name: 'postern-testing', on };
  }

  /** The first event of a name, past or to come. */
  first<E extends EventName>(name: E): Promise<Events[E]> {
    const past = this.events.find((one) => one.name === name);
    if (past) return Promise.resolve(past.event as Events[E]);
    return new Promise((resolve) => {
      const hear = (told: TestEvent): void => {
        if (told.name !== name) return;
        this.#waiting.delete(hear);
        resolve(told.event as Events[E]);
      };
      this.#waiting.add(hear);
    });
  }

  /** A statement's event is filled anew for the next one: a copy is kept. */
  #tell(name: EventName, event: object): void {
    const told = { name, event: { ...event } } as TestEvent;
    this.events.push(told);
    for (const hear of this.#waiting) hear(told);
  }
}
