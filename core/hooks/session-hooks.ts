/** The hooks of one session: those of its scope, with what plugins observe of this session alone. */
import { compileHooks } from '../hooks.ts';
import type { Hooks } from '../hooks.ts';
import type { AnyPlugin, SessionObservers } from '../contract/plugin.ts';
import type { Session } from '../contract/session.ts';
import { compileObservers } from './observers.ts';
import type { ObserverFailed } from './observers.ts';
import { timed } from './timed.ts';
import type { HookTold } from './timed.ts';

type Own = Pick<AnyPlugin, 'name' | 'on'> & { readonly on: SessionObservers };

/** Who hears of the hooks of a session. */
const listeners = new WeakMap<Session, HookTold>();
const timedHooks = new WeakMap<Hooks, Hooks>();
/** Observers that have failed, so that a thousand sessions do not say so a thousand times. */
const reported = new WeakMap<Hooks, Set<string>>();

function failedOnce(hooks: Hooks, failed: ObserverFailed): ObserverFailed {
  const known = reported.get(hooks) ?? new Set<string>();
  reported.set(hooks, known);
  return (plugin, event, error) => {
    const key = `${plugin} ${event}`;
    if (known.has(key)) return;
    known.add(key);
    failed(plugin, event, error);
  };
}

function askPlugin(plugin: AnyPlugin, session: Session, failed: ObserverFailed): readonly Own[] {
  try {
    const on = plugin.observe?.(session);
    return typeof on === 'object' ? [{ name: plugin.name, on }] : [];
  } catch (error) {
    failed(plugin.name, 'observe', error);
    return [];
  }
}

type Heard = Pick<Hooks, 'observed' | 'statementsFrom'>;

function observedBy(hooks: Hooks, own: readonly Own[], failed: ObserverFailed): Heard {
  const observed = compileObservers([...hooks.plugins, ...own], failed);
  const [first, ...others] = own.filter(({ on }) => on.statement);
  const all = hooks.observed.statement !== undefined || others.length > 0;
  return { observed, statementsFrom: all ? undefined : first?.on.statementsFrom };
}

/** Compiled once for all sessions of a scope: only who hears of it differs. */
function timedOnce(hooks: Hooks): Hooks {
  const known = timedHooks.get(hooks);
  if (known) return known;
  const made = compileHooks(
    hooks.plugins.map((plugin) => timed(plugin, (event) => listeners.get(event.session)?.(event))),
  );
  timedHooks.set(hooks, made);
  return made;
}

/** The same object where no plugin observes this session in particular. `failed` hears of observers that throw. */
export function hooksFor(session: Session, hooks: Hooks, failed: ObserverFailed): Hooks {
  if (!hooks.observed.hook && hooks.plugins.every((plugin) => !plugin.observe)) return hooks;
  const once = failedOnce(hooks, failed);
  const own = hooks.plugins.flatMap((plugin) => askPlugin(plugin, session, once));
  const heard = own.length === 0 ? hooks : observedBy(hooks, own, once);
  const { observed, statementsFrom } = heard;
  if (!observed.hook) return heard === hooks ? hooks : { ...hooks, observed, statementsFrom };
  listeners.set(session, observed.hook);
  return { ...timedOnce(hooks), observed, statementsFrom };
}
