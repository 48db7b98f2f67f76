/** The service `overview`: what operators see of a running gateway, as plain values of all its workers. */
import { randomUUID } from 'node:crypto';
import type {
  EntryReading,
  FleetReading,
  Overview,
  OverviewParts,
  PluginReading,
  SettingReading,
  Silent,
} from '../contract/overview.ts';
import type { Counted } from '../contract/lasting-counts.ts';
import type { PostAnswer } from '../contract/post.ts';
import type { Address } from '../net/listening.ts';
import { ownVersion } from '../own-version.ts';
import type { Coordination } from '../workers/coordination.ts';
import { configSettings } from './config-settings.ts';
import { fleetReading } from './fleet-reading.ts';
import { joined, joinedEntries } from './joined-readings.ts';
import { lastingTotals } from './lasting-totals.ts';
import type { Totals } from './lasting-totals.ts';
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

/** What a worker answers. */
interface ToldParts<P extends Part> {
  /** Of its process. */
  readonly id: string;
  readonly parts: Pick<OverviewParts, P>;
}

/** One per gateway. */
export class GatewayOverview implements Overview {
  readonly #live: Live;
  readonly #coordination: Coordination;
  readonly #plugins: () => readonly PluginReading[];
  readonly #id = randomUUID();

  /** `plugins`: those of the config in force. */
  constructor(live: Live, coordination: Coordination, plugins: () => readonly PluginReading[]) {
    this.#live = live;
    this.#coordination = coordination;
    this.#plugins = plugins;
    const { post } = coordination;
    post.answer(PARTS, (parts) => this.#own(Array.isArray(parts) ? parts.filter(isPart) : []));
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

  get fleet(): FleetReading | undefined {
    return fleetReading(this.#coordination);
  }

  addresses(): readonly Address[] {
    return this.#live.addresses();
  }

  async read<P extends Part>(...parts: readonly P[]): Promise<Pick<OverviewParts, P> & Silent> {
    const { worker, workers, post } = this.#coordination;
    if (workers === 1) return partsOf(this.#live, parts);
    const [own, answers] = await Promise.all([this.#own(parts), post.ask('others', PARTS, parts)]);
    const told = new Map([[worker, own]]);
    for (const { worker: other, body } of answers)
      if (body !== undefined) told.set(other, body as ToldParts<P>);
    const all = [...told].toSorted(([one], [other]) => one - other);
    const read = parts.map((part) => [
      part,
      joined(
        part,
        all.map(([other, said]) => ({ worker: other, value: said.parts[part] })),
      ),
    ]);
    const merged = Object.fromEntries(read) as Pick<OverviewParts, P>;
    return { ...(await this.#withTotals(merged, told)), ...silentIn(answers) };
  }

  async #own<P extends Part>(parts: readonly P[]): Promise<ToldParts<P>> {
    return { id: this.#id, parts: await partsOf(this.#live, parts) };
  }

  /** With what the dead and the silent have used, if it was asked for. */
  async #withTotals<R extends Partial<OverviewParts>>(
    read: R,
    told: ReadonlyMap<number, { readonly id: string; readonly parts: Partial<OverviewParts> }>,
  ): Promise<R> {
    const counted = new Map<number, Counted<Totals>>();
    for (const [worker, { id, parts }] of told)
      if (parts.totals) counted.set(worker, { id, counts: parts.totals });
    return counted.size === 0 ? read : { ...read, totals: await lastingTotals(this.#coordination, counted) };
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
