/** A plugin whose hooks are timed, for sessions with an observer of hooks. */
import { DiscoveryRequest, GatewayError, SQLSTATES } from '../contract/errors.ts';
import type { Events, HookName } from '../contract/events.ts';
import type { AnyPlugin } from '../contract/plugin.ts';
import type { MaybePromise, Session, Upstream } from '../contract/session.ts';
import type { Statement } from '../contract/statement.ts';
import { isPromise } from './settle.ts';

/** Hears of each call when it is over. */
export type HookTold = (event: Events['hook']) => void;

function refusalBy(thrown: unknown): Pick<Events['hook'], 'sqlstate' | 'error'> {
  if (thrown instanceof DiscoveryRequest) return {};
  if (!(thrown instanceof GatewayError)) return { sqlstate: SQLSTATES.internal_error };
  return { sqlstate: thrown.sqlstate, error: thrown };
}

/** What it returns and throws is the hook's own, and synchronous where that is. */
function timing<T>(
  about: { readonly plugin: string; readonly hook: HookName; readonly session: Session },
  run: () => MaybePromise<T>,
  tell: HookTold,
): MaybePromise<T> {
  const startedAt = Date.now();
  const since = performance.now();
  const over = (more?: Pick<Events['hook'], 'sqlstate' | 'error'>): void =>
    tell({ ...about, startedAt, durationMs: performance.now() - since, ...more });
  const failed = (thrown: unknown): never => {
    over(refusalBy(thrown));
    throw thrown;
  };
  let result: MaybePromise<T>;
  try {
    result = run();
  } catch (thrown) {
    return failed(thrown);
  }
  if (isPromise(result)) return result.then((value) => (over(), value), failed);
  over();
  return result;
}

/** The same plugin; `tell` must not throw. */
export function timed(plugin: AnyPlugin, tell: HookTold): AnyPlugin {
  const about = (hook: HookName, session: Session) => ({ plugin: plugin.name, hook, session });
  return {
    ...plugin,
    ...(plugin.onStartup && {
      onStartup: (session) =>
        timing<void>(about('onStartup', session), () => plugin.onStartup?.(session), tell),
    }),
    ...(plugin.onAuth && {
      onAuth: (session, upstream) =>
        timing<Upstream | void>(about('onAuth', session), () => plugin.onAuth?.(session, upstream), tell),
    }),
    ...(plugin.onQuery && {
      onQuery: (session, statement) =>
        timing<Statement | void>(about('onQuery', session), () => plugin.onQuery?.(session, statement), tell),
    }),
    ...(plugin.onClose && {
      onClose: (session, reason) =>
        timing<void>(about('onClose', session), () => plugin.onClose?.(session, reason), tell),
    }),
  };
}
