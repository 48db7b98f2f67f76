/** The rules for startup parameters of a listener or an entry, checked and completed. */
import { ConfigError } from '../contract/errors.ts';
import type { StartupRules } from '../contract/startup-rules.ts';
import { parameterName } from '../wire/startup-parameters.ts';
import { configPath } from './sentences.ts';

/** The names of a list as PostgreSQL writes them. @throws ConfigError for one that comes twice */
function resolveNames(names: readonly string[], path: string): readonly string[] {
  const resolved = names.map((name) => parameterName(name) ?? name);
  const twin = resolved.findIndex((name, place) => resolved.indexOf(name) < place);
  if (twin >= 0) throw new ConfigError(`${path}[${twin}]: '${names[twin]}' comes twice`);
  return resolved;
}

/**
 * Parameters under the names that PostgreSQL gives them.
 * @throws ConfigError for one that comes twice, is ignored and refused, or has a default that no client could send
 */
export function resolveStartup(
  { ignore, refuse, ...rules }: StartupRules,
  path: string,
): Required<StartupRules> {
  const ignored = resolveNames(ignore ?? [], `${path}.ignore`);
  const refused = resolveNames(refuse ?? [], `${path}.refuse`);
  const both = refused.find((name) => ignored.includes(name));
  if (both !== undefined) throw new ConfigError(`${path}.refuse: '${both}' is in ignore as well`);
  const given: Readonly<Record<string, string>> = rules.default ?? {};
  const values = new Map<string, string>();
  for (const [written, text] of Object.entries(given)) {
    const name = parameterName(written);
    const place = `${path}.${configPath(['default', written])}`;
    if (name === undefined) throw new ConfigError(`${place}: no client may send this parameter`);
    if (values.has(name)) throw new ConfigError(`${place}: '${name}' has a value already`);
    values.set(name, text);
  }
  return { ignore: ignored, refuse: refused, default: Object.fromEntries(values) };
}
