/** Whose function is at work: what calls of plugins are known by, and what they leave as it is. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { tellBlocked } from '../../core/telemetry/blocked.ts';
import { attributed } from '../../core/hooks/attributed.ts';
import { PluginCalls, outsidePlugins, pluginAtWork } from '../../core/hooks/plugin-calls.ts';
import type { FactName } from '../../core/contract/facts.ts';
import { PluginSignal } from '../../core/hooks/plugin-signal.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import type { LoginSession, Upstream } from '../../core/contract/session.ts';

afterEach(() => void vi.useRealTimers());

const who = (): string => {
  const call = pluginAtWork();
  return call ? `${call.plugin} ${call.hook}` : 'nobody';
};

/** By a clock that stands still otherwise, however busy the machine is. */
function busy(ms: number): void {
  vi.advanceTimersByTime(ms);
}

describe('a call', () => {
  test('is known while it runs, behind each await, and to what it has begun; afterwards nobody is', async () => {
    const call = new PluginCalls().of('mine', 'onAuth');
    const seen: string[] = [];
    const later = call.run(async () => {
      seen.push(who());
      setTimeout(() => seen.push(`timer: ${who()}`), 1);
      await sleep(2);
      seen.push(who());
    });
    expect(who()).toBe('nobody');
    await later;
    expect([seen, who()]).toEqual([['mine onAuth', 'timer: mine onAuth', 'mine onAuth'], 'nobody']);
  });

  test('gives and throws what the function does, at once where that does', async () => {
    const call = new PluginCalls().of('mine', 'onQuery');
    const error = new Error('no');
    expect(call.run((a: number, b: number) => a + b, 1, 2)).toBe(3);
    expect(() =>
      call.run(() => {
        throw error;
      }),
    ).toThrow(error);
    await expect(call.run(() => Promise.reject(error))).rejects.toBe(error);
  });

  test('is unfinished until its promise is settled, however', async () => {
    const calls = new PluginCalls();
    let end: (error?: Error) => void = () => {};
    const wait = (): Promise<void> =>
      new Promise((resolve, reject) => (end = (error) => (error ? reject(error) : resolve())));
    const both = [0, 1].map(() => {
      const pending = calls.of('mine', 'onClose').run(wait);
      return { pending, end };
    });
    expect(calls.unfinished).toEqual(['mine onClose']);
    both[0]?.end();
    await both[0]?.pending;
    expect(calls.unfinished).toEqual(['mine onClose']);
    both[1]?.end(new Error('no'));
    await expect(both[1]?.pending).rejects.toThrow('no');
    expect(calls.unfinished).toEqual([]);
  });

  test('that gives a query builder has it run its query once, in its name', async () => {
    const asked: string[] = [];
    const builder = {
      // oxlint-disable-next-line unicorn/no-thenable -- what query builders are
      then(resolve: (rows: number) => void) {
        asked.push(who());
        resolve(7);
      },
    };
    expect(await new PluginCalls().of('mine', 'onClose').run(() => builder)).toBe(7);
    expect(asked).toEqual(['mine onClose']);
  });

  test('answers for its own time, not for that of a call inside of it', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const blocked: string[] = [];
    const calls = new PluginCalls(({ plugin, hook }) => blocked.push(`${plugin} ${hook}`));
    const inner = (): void => calls.of('inner', 'on.login').run(() => busy(120));
    calls.of('outer', 'onStartup').run(inner);
    await calls.of('waiting', 'onAuth').run(async () => {
      await sleep(1);
      inner();
    });
    expect(blocked).toEqual(['inner on.login', 'inner on.login']);
    calls.of('outer', 'onStartup').run(() => {
      inner();
      busy(120);
    });
    expect(blocked.slice(2)).toEqual(['inner on.login', 'outer onStartup']);
  });
});

describe('a plugin', () => {
  class Checks {
    readonly seen: string[] = [];
    identity(): void {
      this.seen.push(who());
    }
  }

  test('keeps checks that are methods of a class, and what they call this', () => {
    const checks = new Checks();
    const plugin = attributed({ name: 'mine', checks }, new PluginCalls());
    void plugin.checks?.identity?.({} as never, {} as never, false);
    expect(checks.seen).toEqual(['mine checks.identity']);
  });

  test('is known when a check-out asks what it wants, each by its own name', () => {
    const calls = new PluginCalls();
    const asking = (name: string): AnyPlugin =>
      attributed(
        {
          name,
          onAuth: (_, upstream) => ({
            ...upstream,
            onCheckout: [...upstream.onCheckout, () => ({ [name]: who() })],
          }),
        },
        calls,
      );
    const upstream = { onCheckout: [] } as unknown as Upstream;
    const session = {} as LoginSession<FactName, FactName>;
    const first = asking('a').onAuth?.(session, upstream) as Upstream;
    const second = asking('b').onAuth?.(session, first) as Upstream;
    expect(second.onCheckout.map((ask) => ask({} as never))).toEqual([
      { a: 'a onCheckout' },
      { b: 'b onCheckout' },
    ]);
    expect(second.onCheckout[0]).toBe(first.onCheckout[0]);
  });

  test('that has nothing is given nothing', () => {
    expect(attributed({ name: 'mine' }, new PluginCalls())).toEqual({ name: 'mine' });
  });
});

test('an abort is by those who asked for the signal; by nobody if no plugin did', () => {
  const calls = new PluginCalls();
  const seen: string[] = [];
  const signal = new PluginSignal();
  const listen = (): void => signal.signal.addEventListener('abort', () => seen.push(who()));
  calls.of('a', 'onAuth').run(listen);
  calls.of('b', 'onAuth').run(listen);
  signal.abort(new Error('over'));
  const own = new PluginSignal();
  own.signal.addEventListener('abort', () => seen.push(who()));
  own.abort(new Error('over'));
  expect(seen).toEqual(['a or b signal', 'a or b signal', 'nobody']);
});

test('a function that blocks with every call is told every ten seconds, with how often it did', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const lines: object[] = [];
  const log = { info() {}, error() {}, warn: (fields: object) => void lines.push(fields) };
  const blocked = tellBlocked(log);
  for (let i = 0; i < 25; i += 1) {
    blocked({ plugin: 'mine', hook: 'onQuery' }, 150.4);
    if (i === 0) blocked({ plugin: 'mine', hook: 'onAuth' }, 200);
    vi.advanceTimersByTime(1_000);
  }
  const query = { plugin: 'mine', hook: 'onQuery', durationMs: 150 };
  expect(lines).toEqual([
    query,
    { plugin: 'mine', hook: 'onAuth', durationMs: 200 },
    { ...query, others: 9 },
    { ...query, others: 9 },
  ]);
});

test('what the gateway begins for itself within a call is nobody’s, and the call stays the plugin’s', async () => {
  const seen: string[] = [];
  await new PluginCalls().of('mine', 'onAuth').run(async () => {
    const timer = new Promise<void>((resolve) =>
      outsidePlugins(() => setTimeout(() => (seen.push(`timer ${who()}`), resolve()), 1)),
    );
    seen.push(`call ${who()}`);
    await timer;
    seen.push(`later ${who()}`);
  });
  expect(seen).toEqual(['call mine onAuth', 'timer nobody', 'later mine onAuth']);
});
