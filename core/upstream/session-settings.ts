/** The run-time settings of a session as one immutable value: equal ones are the same object, so that `===` compares them. */
import type { SetByFunction } from '../contract/session.ts';
import { areEqual } from './parameter-map.ts';
import type { SessionDefault } from './session-defaults.ts';
import { WeakValues } from './weak-values.ts';
import type { Parameters } from './parameter-map.ts';

/** One setting of a session. */
export interface Setting {
  readonly name: string;
  /** Null: the server's own value. */
  readonly value: string | SetByFunction | null;
  /** Set by the client, or by a policy. */
  readonly from: 'client' | 'policy';
}

/** Parameters that the server reports and a client may set: they follow it from connection to connection. */
export const FOLLOWING = [
  'application_name',
  'client_encoding',
  'DateStyle',
  'IntervalStyle',
  'search_path',
  'standard_conforming_strings',
  'TimeZone',
];

/** Equal ones as one object, for as long as a session or a connection has it. */
const known = new WeakValues<SessionSettings>();

const byNameAsWritten = (a: Setting, b: Setting): number => (a.name < b.name ? -1 : 1);

/** The last ones, in this order: with another role in force, policies' functions would run as that; names and values are sent in UTF-8. */
const LAST = ['session_authorization', 'role', 'client_encoding'];

/** So many are looked through faster than a map is made. */
const FEW = 8;

/** Each name once, in any case: the client's, then those of policies, then {@link LAST}. */
export class SessionSettings {
  /** No settings at all. */
  static readonly none = SessionSettings.of([]);

  readonly all: readonly Setting[];
  /** Equal where the settings of policies are equal; empty where there are none. */
  readonly policies: string;
  /** Made for the first {@link get}, where there are more than a few. */
  #byName: ReadonlyMap<string, Setting> | undefined;

  private constructor(all: readonly Setting[]) {
    this.all = all;
    const policies = all.filter(({ from }) => from === 'policy');
    this.policies = policies.length === 0 ? '' : JSON.stringify(policies);
  }

  /** Of several settings of one name the last counts. */
  static of(settings: readonly Setting[]): SessionSettings {
    const byName = new Map<string, Setting>();
    for (const setting of settings) {
      const name = setting.name.toLowerCase();
      byName.delete(name);
      byName.set(name, setting);
    }
    const last = LAST.flatMap((name) => byName.get(name) ?? []);
    for (const name of LAST) byName.delete(name);
    const each = [...byName.values()];
    const chosen = each.filter(({ from }) => from === 'client').toSorted(byNameAsWritten);
    const all = [...chosen, ...each.filter(({ from }) => from === 'policy'), ...last];
    const text = JSON.stringify(all);
    const make = (): SessionSettings => new SessionSettings(all);
    // Settings of policies may be personal, and are other ones each time.
    return all.some(({ from }) => from === 'policy') ? make() : known.of(text, make);
  }

  /** The client's settings. */
  get chosen(): readonly Setting[] {
    return this.all.filter(({ from }) => from === 'client');
  }

  /** Adds these; the same object if nothing changes. */
  with(changes: readonly Setting[]): SessionSettings {
    return changes.length === 0 ? this : SessionSettings.of([...this.all, ...changes]);
  }

  /** The setting with this name, in any case. */
  get(name: string): Setting | undefined {
    const key = name.toLowerCase();
    if (this.all.length <= FEW) return this.all.find((one) => one.name.toLowerCase() === key);
    this.#byName ??= new Map(this.all.map((one) => [one.name.toLowerCase(), one]));
    return this.#byName.get(key);
  }

  /** Without those of the client with these names, in lower case; the same object if nothing changes. */
  without(names: readonly string[]): SessionSettings {
    if (names.length === 0) return this;
    const gone = new Set(names);
    const left = this.all.filter(({ name, from }) => from === 'policy' || !gone.has(name.toLowerCase()));
    return left.length === this.all.length ? this : SessionSettings.of(left);
  }

  /**
   * Adds the values that the client believes in force where a connection reports others, or has them set already, and no plugin
   * pins them; and the defaults of its login where those of the connection differ. `applied` is in force on the connection.
   */
  withFollowing(
    believed: Parameters,
    reported: Parameters,
    pinned: ReadonlySet<string>,
    applied: SessionSettings,
  ): SessionSettings {
    if (areEqual(believed, reported) && applied.all.every(({ name }) => this.get(name))) return this;
    const changes = this.#defaults(believed, reported, pinned, applied);
    for (const name of FOLLOWING) {
      const value = believed.defaults?.get(name) === undefined ? believed.get(name) : undefined;
      if (value === undefined || this.get(name) || pinned.has(name.toLowerCase())) continue;
      if (reported.get(name) === value && applied.get(name)?.from !== 'client') continue;
      changes.push({ name, value, from: 'client' });
    }
    return this.with(changes);
  }

  /** The defaults of the session's login that the connection does not have by itself. */
  #defaults(
    believed: Parameters,
    reported: Parameters,
    pinned: ReadonlySet<string>,
    applied: SessionSettings,
  ): Setting[] {
    const [own, there] = [believed.defaults, reported.defaults];
    if (!own || !there) return [];
    const inForce = ({ name, value }: SessionDefault): boolean =>
      there.get(name) === value &&
      (applied.get(name) !== undefined || (reported.get(name) ?? value) === value);
    return own
      .on(there)
      .all.filter((one) => !this.get(one.name) && !pinned.has(one.name) && !inForce(one))
      .map(({ name, value }) => ({ name, value, from: 'client' }));
  }
}

/** Whether all settings that follow a session are in force on a connection. */
export function agrees(reported: Parameters, believed: Parameters): boolean {
  if (areEqual(reported, believed)) return true;
  for (const name of FOLLOWING) if (reported.get(name) !== believed.get(name)) return false;
  return true;
}
