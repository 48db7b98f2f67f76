/** The run-time settings of a session as one immutable value: equal ones are the same object, so that `===` compares them. */
import type { SetByFunction } from '../session.ts';
import { areEqual } from './parameter-map.ts';
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
const FOLLOWING = [
  'application_name',
  'client_encoding',
  'DateStyle',
  'IntervalStyle',
  'standard_conforming_strings',
  'TimeZone',
];

/** Most interned values; for a dropped one, texts are compared. */
const MOST_KNOWN = 1_000;
/** In characters: clients choose names and values. */
const LONGEST_KNOWN = 2_000;
const known = new Map<string, SessionSettings>();

const byNameAsWritten = (a: Setting, b: Setting): number => (a.name < b.name ? -1 : 1);

/** Each name once, in any case: the client's, then those of policies; client_encoding is the last, because names and values are sent in UTF-8. */
export class SessionSettings {
  /** No settings at all. */
  static readonly none = SessionSettings.of([]);

  readonly all: readonly Setting[];
  /** Equal where the settings of policies are equal; empty where there are none. */
  readonly policies: string;
  readonly #text: string;

  private constructor(all: readonly Setting[], text: string) {
    this.all = all;
    this.#text = text;
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
    const encoding = byName.get('client_encoding');
    byName.delete('client_encoding');
    const each = [...byName.values()];
    const chosen = each.filter(({ from }) => from === 'client').toSorted(byNameAsWritten);
    const all = [...chosen, ...each.filter(({ from }) => from === 'policy'), ...(encoding ? [encoding] : [])];
    const text = JSON.stringify(all);
    return known.get(text) ?? remembered(new SessionSettings(all, text), text);
  }

  /** The client's settings. */
  get chosen(): readonly Setting[] {
    return this.all.filter(({ from }) => from === 'client');
  }

  /** Adds these; the same object if nothing changes. */
  with(changes: readonly Setting[]): SessionSettings {
    return changes.length === 0 ? this : SessionSettings.of([...this.all, ...changes]);
  }

  /** Adds the values that the client believes in force where a connection reports others, and no plugin pins them. */
  withFollowing(
    believed: Parameters,
    reported: Parameters,
    pinned: Readonly<Record<string, string>>,
  ): SessionSettings {
    if (areEqual(believed, reported)) return this;
    const changes: Setting[] = [];
    for (const name of FOLLOWING) {
      const value = believed.get(name);
      if (value === undefined || reported.get(name) === value || this.#has(name)) continue;
      if (nameIn(Object.keys(pinned), name) !== undefined) continue;
      changes.push({ name, value, from: 'client' });
    }
    return this.with(changes);
  }

  /**
   * Whether these settings, applied on top of `other`, replace all of them. Those of policies must be equal, because the state that
   * the last session left may depend on them.
   */
  replaces(last: SessionSettings): boolean {
    if (this === last || this.#text === last.#text) return true;
    return this.policies === last.policies && last.all.every(({ name }) => this.#has(name));
  }

  #has(name: string): boolean {
    const key = name.toLowerCase();
    return this.all.some((one) => one.name.toLowerCase() === key);
  }
}

/** Settings of policies may be personal, and are not interned. */
function remembered(settings: SessionSettings, text: string): SessionSettings {
  if (settings.policies !== '' || text.length > LONGEST_KNOWN) return settings;
  known.set(text, settings);
  const [oldest] = known.keys();
  if (known.size > MOST_KNOWN && oldest !== undefined) known.delete(oldest);
  return settings;
}

/** The name as the map has it, in any case; undefined if it is absent. */
function nameIn(names: readonly string[], name: string): string | undefined {
  return names.find((one) => one.toLowerCase() === name.toLowerCase());
}

/** The parameters of a client's login with their present values; the same object if none has changed. */
export function chosenNow(
  chosen: Readonly<Record<string, string>>,
  believed: ReadonlyMap<string, string>,
): Readonly<Record<string, string>> {
  let now = chosen;
  for (const name of FOLLOWING) {
    const value = believed.get(name);
    const key = nameIn(Object.keys(now), name);
    if (key !== undefined && value !== undefined && now[key] !== value) now = { ...now, [key]: value };
  }
  return now;
}

/** Whether all settings that follow a session are in force on a connection. */
export function agrees(reported: Parameters, believed: Parameters): boolean {
  if (areEqual(reported, believed)) return true;
  for (const name of FOLLOWING) if (reported.get(name) !== believed.get(name)) return false;
  return true;
}
