/** What operators see of the plugins of a config. */
import type { AnyPlugin } from '../plugin.ts';
import type { Check } from './admin-routes.ts';

const HOOKS = ['onStartup', 'onAuth', 'onQuery', 'onClose'] as const;

/** One plugin as JSON; `checks` are those of all plugins. */
export function pluginView(plugin: AnyPlugin, checks: readonly Check[]): object {
  const { name, provides = [], needs = [], enforces = [], credentials, scope } = plugin;
  const problems = checks.flatMap((one) => (one.name === name && one.problem ? [one.problem] : []));
  return {
    name,
    provides,
    needs,
    enforces,
    hooks: HOOKS.filter((hook) => plugin[hook]),
    ...(credentials && { credentials }),
    ...(scope && { scope }),
    problems,
  };
}
