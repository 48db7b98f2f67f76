/** Tells operators which plugin kept everybody waiting: once in a while, since it may do so with every statement. */
import type { Blocked } from '../hooks/plugin-calls.ts';
import type { PluginFunction } from '../hooks/plugin-calls.ts';
import type { Logger } from '../contract/session.ts';

/** One line per function of a plugin in this time, in milliseconds. */
const SPAN_MS = 10_000;

/** Logs what blocked the event loop; the next line about the same function says how many calls had none. */
export function tellBlocked(log: Logger): Blocked {
  const told = new Map<string, { readonly at: number; others: number }>();
  return ({ plugin, hook }: PluginFunction, ms) => {
    const key = `${plugin} ${hook}`;
    const before = told.get(key);
    const now = performance.now();
    if (before && now - before.at < SPAN_MS) {
      before.others += 1;
      return;
    }
    told.set(key, { at: now, others: 0 });
    const others = before && before.others > 0 ? { others: before.others } : {};
    log.warn({ plugin, hook, durationMs: Math.round(ms), ...others }, 'a plugin blocked the event loop');
  };
}
