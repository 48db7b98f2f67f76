/** Checks that the plugins of a list fit together, in every scope that a session can have. */
import { ConfigError } from '../contract/errors.ts';
import type { FactName } from '../contract/facts.ts';
import type { AnyPlugin } from '../contract/plugin.ts';
import { pluginsOf, scopeCells } from '../scopes.ts';
import type { CellListener, ScopeCell } from '../scopes.ts';
import { providerOf } from './known-plugins.ts';
import type { KnownPlugin } from './known-plugins.ts';
import { alternatives } from './sentences.ts';

function duplicateNames(plugins: readonly AnyPlugin[]): readonly string[] {
  const twins = plugins.filter(({ name }, place) => plugins.findIndex((one) => one.name === name) < place);
  return twins.map(({ name }) => `two plugins are named '${name}': remove one, or give it another name`);
}

function provider(plugins: readonly AnyPlugin[], fact: FactName): AnyPlugin | undefined {
  return plugins.find(({ provides }) => provides?.includes(fact));
}

function duplicateProviders(plugins: readonly AnyPlugin[]): readonly string[] {
  return plugins.flatMap(({ name, provides = [] }, place) =>
    provides.flatMap((fact) => {
      const first = provider(plugins.slice(0, place), fact);
      return first
        ? [`'${name}' provides '${fact}', which '${first.name}' provides already: one of them is enough`]
        : [];
    }),
  );
}

function idlePromises(plugins: readonly AnyPlugin[]): readonly string[] {
  const idle = plugins.filter((plugin) => plugin.provides?.length && !plugin.onAuth && !plugin.onStartup);
  return idle.map(
    ({ name, provides }) => `'${name}' provides '${provides?.[0]}' but has no onAuth to establish it`,
  );
}

/** The plugins below one that lacks a fact, those of the whole config, and those that it could list. */
interface Others {
  readonly below: readonly AnyPlugin[];
  readonly everywhere: readonly AnyPlugin[];
  readonly known: readonly KnownPlugin[];
}

/** Where to find the provider of a fact: further down, for other credentials, in another scope, among those it could list, or nowhere. */
function fixFor(fact: FactName, { credential }: ScopeCell, { below, everywhere, known }: Others): string {
  const later = provider(below, fact);
  if (later) return `'${later.name}' provides it further down: put '${later.name}' before it`;
  const wanted = providerOf(fact, credential ?? 'password', known) ?? 'a plugin that does';
  const fitting = everywhere.filter(
    ({ credentials }) => !credentials || (credential !== undefined && credentials.includes(credential)),
  );
  const elsewhere = provider(fitting, fact);
  if (elsewhere)
    return `'${elsewhere.name}' provides it only within its own only(): widen that scope or narrow this one`;
  const other = provider(everywhere, fact);
  if (other && credential !== undefined)
    return `'${other.name}' provides it for ${alternatives(other.credentials ?? [])} only, not for '${credential}': put ${wanted} before it`;
  return `nothing above provides it: put ${wanted} before it`;
}

function unmetNeeds(
  plugins: readonly AnyPlugin[],
  cell: ScopeCell,
  { everywhere, known }: Omit<Others, 'below'>,
): readonly string[] {
  return plugins.flatMap(({ name, needs = [] }, place) => {
    const others = { below: plugins.slice(place), everywhere, known };
    return needs
      .filter((fact) => !provider(plugins.slice(0, place), fact))
      .map((fact) => `'${name}' needs '${fact}', but ${fixFor(fact, cell, others)}`);
  });
}

function duplicateKeys(plugins: readonly AnyPlugin[]): readonly string[] {
  return plugins.flatMap(({ name, inBand }, place) =>
    Object.keys(inBand ?? {}).flatMap((key) => {
      const first = plugins.slice(0, place).find((one) => Object.hasOwn(one.inBand ?? {}, key));
      return first ? [`'${name}' and '${first.name}' both answer SET ${key}: one of them has to go`] : [];
    }),
  );
}

function duplicateDatabases(plugins: readonly AnyPlugin[]): readonly string[] {
  return plugins.flatMap(({ name, databases = {} }, place) =>
    Object.keys(databases).flatMap((database) => {
      const first = plugins.slice(0, place).find((one) => Object.hasOwn(one.databases ?? {}, database));
      return first
        ? [`'${name}' and '${first.name}' both answer the database '${database}': give one another name`]
        : [];
    }),
  );
}

/**
 * Checks names, needs, facts, in-band keys and databases among the plugins that one session can meet, for every kind of session.
 * @param listeners as in {@link scopeCells}
 * @param known what messages may advise to list
 * @throws ConfigError with one line per mistake
 */
export function checkOrder(
  plugins: readonly AnyPlugin[],
  listeners?: readonly CellListener[],
  known: readonly KnownPlugin[] = [],
): void {
  const wrong = scopeCells(plugins, listeners).flatMap((cell) => {
    const met = pluginsOf(cell, plugins);
    return [
      ...duplicateNames(met),
      ...unmetNeeds(met, cell, { everywhere: plugins, known }),
      ...duplicateProviders(met),
      ...idlePromises(met),
      ...duplicateKeys(met),
      ...duplicateDatabases(met),
    ];
  });
  if (wrong.length > 0)
    throw new ConfigError([...new Set(wrong)].map((line) => `plugins: ${line}`).join('\n'));
}
