/** The service `overview`: what operators see of a running gateway, as plain values of all its workers. */
import type {
  EntryReading,
  Overview,
  OverviewParts,
  PluginReading,
  SettingReading,
  Silent,
} from '../contract/overview.ts';
import type { PostAnswer } from '../contract/post.ts';
import type { Address } from '../net/listening.ts';
import { ownVersion } from '../own-version.ts';
import type { Coordination } from '../workers/coordination.ts';
import { configSettings } from './config-settings.ts';
import { joined, joinedEntries } from './joined-readings.ts';
import type { Said } from './joined-readings.ts';
import type { Overview as Live } from './overview.ts';
import { entryOf, isPart, partsOf } from './worker-overview.ts';
import type { Part } from './worker-overview.ts';

/** Questions to other workers: for parts, by their names, and for one entry, by its name. */
const PARTS = ':overview';
const ENTRY = ':overview of an entry';

function silentIn(answers: readonly PostAnswer[]): Silent {
  const silent = answers.filter(({ body }) => body === undefined).map(({ worker }) => worker);
  return silent.length === 0 ? {} : { silent };
}

/** One per gateway. */
export class GatewayOverview implements Overview {
  readonly #live: Live;
  readonly #coordination: Coordination;
  readonly #plugins: () => readonly PluginReading[];

  /** `plugins`: those of the config in force. */
  constructor(live: Live, coordination: Coordination, plugins: () => readonly PluginReading[]) {
    this.#live = live;
    this.#coordination = coordination;
    this.#plugins = plugins;
    const { post } = coordination;
    post.answer(PARTS, (parts) => partsOf(live, Array.isArray(parts) ? parts.filter(isPart) : []));
    post.answer(ENTRY, (name) => entryOf(live, String(name)));
  }

  get version(): string {
    return ownVersion();
  }

  get paused(): boolean {
    return this.#live.paused;
  }

  get suspended(): boolean {
    return this.#live.suspended;
  }

  addresses(): readonly Address[] {
    return this.#live.addresses();
  }

  async read<P extends Part>(...parts: readonly P[]): Promise<Pick<OverviewParts, P> & Silent> {
    const { worker, workers, post } = this.#coordination;
    if (workers === 1) return partsOf(this.#live, parts);
    const [own, answers] = await Promise.all([partsOf(this.#live, parts), post.ask('others', PARTS, parts)]);
    const others = answers.flatMap(({ worker: other, body }) =>
      body === undefined ? [] : [{ worker: other, value: body as typeof own }],
    );
    const all = [{ worker, value: own }, ...others].toSorted((one, other) => one.worker - other.worker);
    const read = parts.map((part) => [part, joined(part, all.map(only(part)))]);
    return { ...(Object.fromEntries(read) as Pick<OverviewParts, P>), ...silentIn(answers) };
  }

  async entry(name: string): Promise<EntryReading & Silent> {
    const { workers, post } = this.#coordination;
    if (workers === 1) return entryOf(this.#live, name);
    const [own, answers] = await Promise.all([entryOf(this.#live, name), post.ask('others', ENTRY, name)]);
    const others = answers.flatMap(({ body }) => (body === undefined ? [] : [body as EntryReading]));
    return { ...(joinedEntries([own, ...others])[0] ?? own), ...silentIn(answers) };
  }

  settings(): Promise<readonly SettingReading[]> {
    return configSettings(this.#live.config);
  }

  plugins(): readonly PluginReading[] {
    return this.#plugins();
  }
}

const only =
  <P extends Part>(part: P) =>
  ({ worker, value }: Said<Pick<OverviewParts, P>>): Said<OverviewParts[P]> => ({
    worker,
    value: value[part],
  });
