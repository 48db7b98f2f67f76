/** Watches one server: a connection of its own, on which it asks again and again what the server is. */
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

/** What a sentinel needs, and who hears it. */
export interface SentinelParts {
  /** Logs in there, which includes a look. */
  open(signal: AbortSignal): Promise<ServerConnection>;
  /** Hears every finding; gives the milliseconds until the next look. */
  told(finding: Finding): number;
}

/** A server that can be reached and has a reason not to serve now is as good as down. */
const DOWN = [
  'sqlclient_unable_to_establish_sqlconnection',
  'cannot_connect_now',
  'admin_shutdown',
  'crash_shutdown',
];

/** Looks at once, then at the pace that {@link SentinelParts.told} gives, until it is stopped; at once where its connection ends. */
export class Sentinel {
  readonly #parts: SentinelParts;
  readonly #stop = new AbortController();
  #connection: ServerConnection | undefined;
  #unwatch: (() => boolean) | undefined;
  #lookedAt = 0;
  #wake: (() => void) | undefined;

  constructor(parts: SentinelParts) {
    this.#parts = parts;
    void this.#run();
  }

  /** Looks now, unless it does so anyway or has within the last `ms` milliseconds. */
  hurry(ms = 0): void {
    if (performance.now() - this.#lookedAt >= ms) this.#wake?.();
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
      if (!signal.aborted) await this.#pause(this.#parts.told(finding));
    }
    this.#unwatch?.();
    this.#connection?.close();
  }

  /** A connection that does not answer says less than a login: its server may have ended just that one. */
  async #look(): Promise<Finding> {
    const held = this.#connection;
    try {
      if (held && this.#unwatch?.() === true) return await this.#ask(held);
    } catch {
      // The login tells more.
    }
    held?.channel.destroy();
    this.#connection = undefined;
    return this.#logIn();
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
