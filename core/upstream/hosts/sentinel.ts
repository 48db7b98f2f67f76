/** Watches one address: a connection of its own, on which it asks again and again what the server is. */
import type { ServerConnection } from '../connection.ts';
import { Conversation } from '../conversation.ts';
import { within } from '../deadline.ts';
import { GatewayError } from '../../errors.ts';
import { watch } from '../pool/watch.ts';
import { unreachable } from '../refusals.ts';
import { look } from './look.ts';
import type { Finding } from './roster.ts';

/** How long an answer, and each step of a login, may take, in milliseconds. */
export const LOOK_MS = 2_000;
/**
 * How long the same connection is asked, in milliseconds: the address may lead a new one to another server. Longer where the
 * role is refused by now: too many such logins may lock it.
 */
const [RENEW_MS, RENEW_REFUSED_MS] = [10_000, 30_000];

/** What a sentinel needs, and who hears it. */
export interface SentinelParts {
  /** Logs in there, which includes a look. */
  open(signal: AbortSignal): Promise<ServerConnection>;
  /** Hears every finding; says when to look next. */
  told(finding: Finding): NextLook;
}

/** When to look, and how. */
export interface NextLook {
  /** In milliseconds. */
  readonly ms: number;
  /** Over a new connection: such a server is not wanted, and there may be another one behind the address. Default false. */
  readonly anew?: boolean;
}

/** A server that can be reached and has a reason not to serve now is as good as down. */
const DOWN = [
  'sqlclient_unable_to_establish_sqlconnection',
  'cannot_connect_now',
  'admin_shutdown',
  'crash_shutdown',
];

/**
 * Looks at once, then at the pace that {@link SentinelParts.told} gives, until it is stopped; at once where its connection ends.
 * Connects anew where it is told to, and now and then anyway.
 */
export class Sentinel {
  readonly #parts: SentinelParts;
  readonly #stop = new AbortController();
  #connection: ServerConnection | undefined;
  #unwatch: (() => boolean) | undefined;
  #lookedAt = 0;
  #renewAt = 0;
  #refused = false;
  #wake: (() => void) | undefined;

  constructor(parts: SentinelParts) {
    this.#parts = parts;
    void this.#run();
  }

  /** Looks now, unless it does so anyway or has within the last `ms` milliseconds. */
  hurry(ms = 0): void {
    if (performance.now() - this.#lookedAt >= ms) this.#wake?.();
  }

  /** Looks now, over a new connection. */
  renew(): void {
    this.#renewAt = 0;
    this.hurry();
  }

  stop(): void {
    this.#stop.abort(unreachable(new Error('nobody uses the database any more')));
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const finding = await this.#look();
      this.#lookedAt = performance.now();
      if (signal.aborted) break;
      const { ms, anew = false } = this.#parts.told(finding);
      if (anew && !this.#refused) this.#renewAt = 0;
      await this.#pause(ms);
    }
    this.#unwatch?.();
    this.#connection?.close();
  }

  /** A login tells more than a connection that does not answer, and less than one that does where it fails. */
  async #look(): Promise<Finding> {
    const held = await this.#askHeld();
    if (held && performance.now() < this.#renewAt) return held;
    const found = await this.#logIn();
    this.#refused = found.kind === 'refused';
    const renewMs = this.#refused ? RENEW_REFUSED_MS : RENEW_MS;
    if (found.kind !== 'down') this.#renewAt = performance.now() + renewMs * (0.8 + 0.4 * Math.random());
    return held && found.kind !== 'standing' ? held : found;
  }

  /** Undefined where there is no connection any more. */
  async #askHeld(): Promise<Finding | undefined> {
    const held = this.#connection;
    try {
      if (held && this.#unwatch?.() === true) return await this.#ask(held);
    } catch {
      // Its server may have ended just this one.
    }
    held?.channel.destroy();
    this.#connection = undefined;
    return undefined;
  }

  async #ask({ channel, parameters }: ServerConnection): Promise<Finding> {
    const late = (): Error => unreachable(new Error(`no answer within ${LOOK_MS} ms`));
    const standing = await within(LOOK_MS, this.#stop.signal, late, async (signal) => {
      const talk = new Conversation(channel, signal, parameters);
      try {
        return await look(talk);
      } finally {
        talk.end();
      }
    });
    return { kind: 'standing', standing };
  }

  async #logIn(): Promise<Finding> {
    try {
      const connection = await this.#parts.open(this.#stop.signal);
      this.#connection?.close();
      this.#connection = connection;
      if (connection.standing) return { kind: 'standing', standing: connection.standing };
      return await this.#ask(connection);
    } catch (error) {
      return findingOf(error);
    }
  }

  /** Its connection is watched meanwhile: where it ends, the pause does. */
  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.#wake = () => (clearTimeout(timer), resolve());
      this.#unwatch = this.#connection && watch(this.#connection, () => this.#wake?.());
    });
    this.#wake = undefined;
  }
}

function findingOf(error: unknown): Finding {
  const code = error instanceof GatewayError ? error.code : undefined;
  if (code === 'too_many_connections') return { kind: 'crowded' };
  return { kind: code !== undefined && DOWN.includes(code) ? 'down' : 'refused', error };
}
