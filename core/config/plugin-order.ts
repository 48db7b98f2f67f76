/** Checks that the plugins of a list fit together, in every scope that a session can have. */
import { ConfigError } from '../errors.ts';
import type { FactName } from '../facts.ts';
import type { AnyPlugin } from '../plugin.ts';
import { pluginsOf, scopeCells } from '../scopes.ts';

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

/** Where to find the provider of a fact: further down, in another scope, in the box, or nowhere. */
function fixFor(fact: FactName, after: readonly AnyPlugin[], everywhere: readonly AnyPlugin[]): string {
  const later = provider(after, fact);
  if (later) return `'${later.name}' provides it further down: put '${later.name}' before it`;
  const elsewhere = provider(everywhere, fact);
  if (elsewhere)
    return `'${elsewhere.name}' provides it only within its own only(): widen that scope or narrow this one`;
  const known =
    fact === 'identity' || fact === 'rules' ? 'jwt()' : fact === 'tenant' ? 'tenant()' : 'a plugin that does';
  return `nothing above provides it: put ${known} before it`;
}

function unmetNeeds(plugins: readonly AnyPlugin[], everywhere: readonly AnyPlugin[]): readonly string[] {
  return plugins.flatMap(({ name, needs = [] }, place) =>
    needs
      .filter((fact) => !provider(plugins.slice(0, place), fact))
      .map((fact) => `'${name}' needs '${fact}', but ${fixFor(fact, plugins.slice(place), everywhere)}`),
  );
}

function duplicateKeys(plugins: readonly AnyPlugin[]): readonly string[] {
  return plugins.flatMap(({ name, inBand }, place) =>
    Object.keys(inBand ?? {}).flatMap((key) => {
      const first = plugins.slice(0, place).find((one) => Object.hasOwn(one.inBand ?? {}, key));
      return first ? [`'${name}' and '${first.name}' both answer SET ${key}: one of them has to go`] : [];
    }),
  );
}

/**
 * Checks names, needs, facts and in-band keys among the plugins that one session can meet, for every kind of session.
 * @throws ConfigError with one line per mistake
 */
export function checkOrder(plugins: readonly AnyPlugin[]): void {
  const wrong = scopeCells(plugins).flatMap((cell) => {
    const met = pluginsOf(cell, plugins);
    return [
      ...duplicateNames(met),
      ...unmetNeeds(met, plugins),
      ...duplicateProviders(met),
      ...idlePromises(met),
      ...duplicateKeys(met),
    ];
  });
  if (wrong.length > 0)
    throw new ConfigError([...new Set(wrong)].map((line) => `plugins: ${line}`).join('\n'));
}
