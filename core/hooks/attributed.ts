/** A plugin whose functions are known to be its own while they run, and in all that they begin. */
import type { AnyPlugin } from '../contract/plugin.ts';
import type { Upstream } from '../contract/session.ts';
import type { AnsweredConnection, AnsweredDatabase } from '../contract/answered-database.ts';
import { outsidePlugins } from './plugin-calls.ts';
import type { PluginCall, PluginCalls } from './plugin-calls.ts';
import { isPromise } from './settle.ts';

type Work = (...args: readonly unknown[]) => unknown;
type Members = Readonly<Record<string, unknown>>;

const HOOKS = ['setup', 'onStartup', 'onAuth', 'onQuery', 'onClose', 'observe'] as const;
const GROUPS = ['checks', 'inBand', 'on'] as const;

function bound(call: PluginCall, work: Work, self?: object): Work {
  const own = work.bind(self);
  return (...args) => call.run(own, ...args);
}

/** Of whatever make the object is: a check that was left out would let everybody pass. */
function namesOf(members: object): readonly string[] {
  const before: unknown = Object.getPrototypeOf(members);
  const inherited = before === null || before === Object.prototype ? [] : namesOf(before as object);
  const own = Object.getOwnPropertyNames(members).filter((name) => name !== 'constructor');
  return [...new Set([...own, ...inherited])];
}

function attributedMembers(members: object, callOf: (name: string) => PluginCall): Members {
  const all = members as Members;
  const wrapped = namesOf(members).map((name) => {
    const member = all[name];
    return [name, typeof member === 'function' ? bound(callOf(name), member as Work, members) : member];
  });
  return Object.fromEntries(wrapped) as Members;
}

/** What an `onAuth` wants to be asked at each check-out belongs to its plugin as well. */
function withCheckouts(ask: Work, call: PluginCall): Work {
  const own = (answer: unknown, { onCheckout: before }: Upstream): unknown => {
    const { onCheckout } = (answer ?? {}) as Partial<Upstream>;
    if (!Array.isArray(onCheckout) || onCheckout.every((one) => before.includes(one))) return answer;
    const checkouts = onCheckout.map((one) => (before.includes(one) ? one : bound(call, one as Work)));
    return { ...(answer as Upstream), onCheckout: checkouts };
  };
  return (session, upstream) => {
    const answer = ask(session, upstream);
    if (!isPromise(answer)) return own(answer, upstream as Upstream);
    return answer.then((late) => own(late, upstream as Upstream));
  };
}

/** A session takes as long as it takes: `serve` is a call that has not ended only once its session has. */
function attributedDatabase(
  database: AnsweredDatabase,
  callOf: (member: string) => PluginCall,
): AnsweredDatabase {
  const [admit, serve] = [callOf('admit'), callOf('serve')];
  return {
    ...database,
    admit: (session) => admit.run(() => database.admit(session)),
    serve: (session, connection) => {
      let served: Promise<void> | undefined;
      const own: AnsweredConnection = {
        open: (parameters, cancel) => connection.open(parameters, () => callOf('cancel').run(cancel)),
        read: () => connection.read(),
        write: (bytes) => connection.write(bytes),
        changed: (state) => connection.changed(state),
        errorOf: (thrown) => connection.errorOf(thrown),
      };
      serve.run(() => void (served = database.serve(session, own)));
      const ended = Promise.resolve(served);
      session.signal.addEventListener('abort', () => void serve.run(() => ended.catch(() => {})), {
        once: true,
      });
      return ended;
    },
  };
}

/** A service of the gateway, and the groups of its functions: what a plugin asks of it, it does not do in the plugin's name. What is no function stays as it is now. */
export function ownService<S extends object>(service: S): S {
  const members = service as Members;
  const own = namesOf(service).map((name) => [name, ownMember(members[name], service)]);
  return Object.fromEntries(own) as S;
}

function ownMember(member: unknown, service: object): unknown {
  if (typeof member === 'object' && member !== null) return ownService(member);
  if (typeof member !== 'function') return member;
  const work = member as Work;
  return (...args: readonly unknown[]) => outsidePlugins(() => work.apply(service, [...args]));
}

/** The same plugin: what its functions return and throw is their own, and synchronous where that is. */
export function attributed(plugin: AnyPlugin, calls: PluginCalls): AnyPlugin {
  const { name } = plugin;
  const own: Record<string, unknown> = {};
  for (const hook of HOOKS) {
    if (plugin[hook]) own[hook] = bound(calls.of(name, hook), plugin[hook] as Work, plugin);
  }
  if (plugin.onAuth) own['onAuth'] = withCheckouts(own['onAuth'] as Work, calls.of(name, 'onCheckout'));
  for (const group of GROUPS) {
    const members = plugin[group];
    if (members) own[group] = attributedMembers(members, (member) => calls.of(name, `${group}.${member}`));
  }
  const ask = own['observe'] as Work | undefined;
  if (ask) {
    const seen = (member: string): PluginCall => calls.of(name, `observe.${member}`);
    own['observe'] = (session: unknown) => {
      const observers = ask(session);
      const some = typeof observers === 'object' && observers !== null;
      return some ? attributedMembers(observers, seen) : observers;
    };
  }
  if (plugin.databases) {
    own['databases'] = Object.fromEntries(
      Object.entries(plugin.databases).map(([database, answered]) => [
        database,
        attributedDatabase(answered, (member) => calls.of(name, `databases.${database}.${member}`)),
      ]),
    );
  }
  return { ...plugin, ...own };
}
