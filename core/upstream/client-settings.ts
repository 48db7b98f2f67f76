/** The settings that one client has chosen since its login, and what a transaction has changed of them. */
import { valueOf } from './parameter-map.ts';
import type { Parameters } from './parameter-map.ts';
import { FOLLOWING, SessionSettings } from './session-settings.ts';
import type { Setting } from './session-settings.ts';

/** The state of the server itself: no session sets it. */
const NO_SETTINGS: ReadonlySet<string> = new Set([
  'in_hot_standby',
  'integer_datetimes',
  'is_superuser',
  'server_encoding',
  'server_version',
]);
/** They follow a session also where no text says that it has set them. */
const FOLLOWS_ALWAYS: ReadonlySet<string> = new Set(FOLLOWING.map((name) => name.toLowerCase()));
/** RESET ALL leaves them. */
const NO_RESET_ALL: ReadonlySet<string> = new Set(['role', 'session_authorization']);

/** More settings, or longer ones, keep the connection with their session. */
const MOST_SETTINGS = 200;
const MOST_CHARACTERS = 1_048_576;

/** `set`: it may have any value. `reset`: it has the value that it had, or that of the login. `either`: it may have been reset. */
type Touch = 'set' | 'reset' | 'either';

/** The settings that a transaction may have changed, by name in lower case. */
export interface Touched {
  readonly names: ReadonlyMap<string, Touch>;
  /** RESET ALL or DISCARD ALL: each setting that is not in `names` was reset. */
  readonly resetsAll: boolean;
  /** Commands may have failed that name them. */
  readonly isUncertain: boolean;
  /** Values before the server's first report of another one. */
  readonly reported: ReadonlyMap<string, string | undefined>;
}

/** A connection at the end of a transaction. */
export interface Ended {
  readonly touched: Touched;
  /** The settings that were in force on it when the transaction began. */
  readonly applied: SessionSettings;
  /** What it reports now. */
  readonly reported: Parameters;
  /** Names that plugins pin, in lower case. */
  readonly pinned: ReadonlySet<string>;
  /** Names, in lower case, that a RESET of the session returns to another value than the connection's own: its startup packet has them, or its login had other defaults. */
  readonly atLogin: ReadonlySet<string>;
}

/** Answers of the server, by name in lower case. */
export interface Asked {
  /** Null for a setting that does not exist. */
  readonly values: ReadonlyMap<string, string | null>;
  /** The settings that have a value of the session. */
  readonly ofSession: ReadonlySet<string>;
  /** Those that were asked for and have another one: of the server, or of the login. */
  readonly ofServer: ReadonlySet<string>;
}

/** The settings after a transaction. */
export interface Settled {
  /** Those that the client has set since its login. */
  readonly session: SessionSettings;
  /** Those in force on the connection. */
  readonly applied: SessionSettings;
}

const isPolicy = ({ applied }: Ended, name: string): boolean => applied.get(name)?.from === 'policy';

/** Every name that may have changed. */
function touchesOf({ touched, applied }: Ended): ReadonlyMap<string, Touch> {
  const all = new Map<string, Touch>(touched.names);
  for (const key of touched.reported.keys())
    if (!all.has(key)) all.set(key, touched.resetsAll ? 'reset' : 'set');
  if (touched.resetsAll)
    for (const { name } of applied.chosen) {
      const key = name.toLowerCase();
      if (!all.has(key) && !NO_RESET_ALL.has(key)) all.set(key, 'reset');
    }
  return all;
}

/** The names whose values only the server knows: it does not report them. */
export function namesToAsk(ended: Ended): readonly string[] {
  const { applied, reported } = ended;
  const open = [...touchesOf(ended)].filter(
    ([name, how]) =>
      valueOf(reported, name) === undefined &&
      !isPolicy(ended, name) &&
      // What was not set before it was reset is as it was.
      (how !== 'reset' || applied.get(name) !== undefined),
  );
  return open.map(([name]) => name);
}

/**
 * True where a value does not show whether a RESET took effect: the client may have set the server's own value, to which
 * another one of its login is preferred after a RESET. Nor does it show whether a command has failed: a session that took the
 * server's own value for its choice could not set it again where only a superuser may.
 */
export function asksOrigins(session: SessionSettings, ended: Ended): boolean {
  const { touched, applied, reported, atLogin } = ended;
  const isSet = (name: string): boolean =>
    session !== SessionSettings.none && session.get(name) !== undefined;
  return [...touchesOf(ended)].some(
    ([name, how]) =>
      (atLogin.has(name) && (how === 'either' || (how === 'reset' && isSet(name)))) ||
      (touched.isUncertain &&
        how === 'set' &&
        isOfServer(name) &&
        applied.get(name) === undefined &&
        valueOf(reported, name) === undefined),
  );
}

/** False for a custom setting, which every session may set. */
const isOfServer = (name: string): boolean => !name.includes('.');

/** The settings after a transaction; `asked` has the values of {@link namesToAsk}. */
export function settle(session: SessionSettings, ended: Ended, asked: Asked): Settled {
  const { touched, applied, reported, pinned } = ended;
  const [set, done, removed, undone]: [Setting[], Setting[], string[], string[]] = [[], [], [], []];
  for (const [name, touch] of touchesOf(ended)) {
    if (NO_SETTINGS.has(name) || isPolicy(ended, name)) continue;
    const now = valueOf(reported, name) ?? asked.values.get(name) ?? null;
    if (asked.ofServer.has(name) && applied.get(name) === undefined && touch === 'set') continue;
    const how = touch === 'either' && isOfLogin(ended, asked, name, now) ? 'reset' : touch;
    const isReported = valueOf(reported, name) !== undefined;
    const before = isReported ? touched.reported.get(name) : applied.get(name)?.value;
    const isChanged = isReported ? touched.reported.has(name) && before !== now : (before ?? null) !== now;
    const isReset = how === 'reset' && session.get(name) !== undefined && isOfLogin(ended, asked, name, now);
    if (!isChanged && !isReset) continue;
    if (how === 'reset' || now === null) {
      removed.push(name);
      undone.push(name);
      continue;
    }
    done.push({ name, value: now, from: 'client' });
    const isChosen = touched.names.has(name) || FOLLOWS_ALWAYS.has(name);
    if (isChosen && !pinned.has(name)) set.push({ name, value: now, from: 'client' });
  }
  return { session: session.without(removed).with(set), applied: applied.without(undone).with(done) };
}

/** Whether a setting of the login has no value of the session, as after a RESET. A custom setting is empty then. */
function isOfLogin({ atLogin }: Ended, { ofSession }: Asked, name: string, now: string | null): boolean {
  return atLogin.has(name) && !ofSession.has(name) && (isOfServer(name) || now === '');
}

/** Why settings do not follow their session any more: each check-out would have to send them. */
export function tooMany({ all }: SessionSettings): string | undefined {
  const characters = all.reduce((sum, { value }) => sum + (typeof value === 'string' ? value.length : 0), 0);
  return all.length > MOST_SETTINGS || characters > MOST_CHARACTERS ? 'too many settings' : undefined;
}
