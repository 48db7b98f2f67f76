/** The plugins of a config as plain values, for operators. */
import type { PluginReading } from '../contract/overview.ts';
import type { AnyPlugin } from '../contract/plugin.ts';
import type { Check } from '../admin/admin-routes.ts';

const HOOKS = ['onStartup', 'onAuth', 'onQuery', 'onClose'] as const;

/** One plugin; `checks` are those of all plugins. */
export function pluginReading(plugin: AnyPlugin, checks: readonly Check[]): PluginReading {
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
