/** Tells events to those who observe them, and keeps their failures to themselves. */
import type { EventName, Events } from '../contract/events.ts';
import type { AnyPlugin } from '../contract/plugin.ts';

/** Hears once of each observer that fails; must not throw. */
export type ObserverFailed = (plugin: string, event: EventName | 'observe', error: unknown) => void;

/** One function per observed event; the key of an event without observers is absent. */
export type Observed = { readonly [E in EventName]?: (event: Events[E]) => void };

/** A plugin, or what one observes of a session. */
type Observing = Pick<AnyPlugin, 'name' | 'on'>;

type Observer<E extends EventName> = (event: Events[E]) => void;

/** An observer that throws on every statement is reported once, not once per statement. */
function guarded<E extends EventName>(
  plugin: Observing,
  name: E,
  observe: Observer<E>,
  failed: ObserverFailed,
): Observer<E> {
  let reported = false;
  const report = (error: unknown): void => {
    if (reported) return;
    reported = true;
    failed(plugin.name, name, error);
  };
  return (event) => {
    try {
      const result: unknown = observe.call(plugin.on, event);
      // An async function is a valid observer to the compiler; its rejection must not end the process.
      if (result instanceof Promise) result.catch(report);
    } catch (error) {
      report(error);
    }
  };
}

/** Collects the observers of all plugins by event, in the order of the list. */
export function compileObservers(plugins: readonly Observing[], failed: ObserverFailed): Observed {
  const observed: Partial<Record<EventName, Observer<EventName>>> = {};
  const names = new Set(plugins.flatMap((plugin) => Object.keys(plugin.on ?? {}) as EventName[]));
  for (const name of names) {
    const observers = plugins.flatMap((plugin) => {
      const observe = plugin.on?.[name] as Observer<typeof name> | undefined;
      return typeof observe === 'function' ? [guarded(plugin, name, observe, failed)] : [];
    });
    if (observers.length === 0) continue;
    observed[name] = (event) => {
      for (const observe of observers) observe(event);
    };
  }
  return observed;
}
