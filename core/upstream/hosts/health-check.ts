/** Checks one address: asks again and again, on a connection of its own, whether the server is a primary or a replica. */
import type { ServerConnection } from '../connection.ts';
import { Conversation } from '../conversation.ts';
import { within } from '../deadline.ts';
import { GatewayError } from '../../contract/errors.ts';
import { watch } from '../idle-watch.ts';
import { unreachable } from '../refusals.ts';
import { probeServer } from './server-probe.ts';
import type { HealthCheckResult } from './host-status.ts';

/** How long an answer, and each step of a login, may take, in milliseconds. */
export const CHECK_MS = 2_000;
/**
 * How long the same connection is used, in milliseconds: a new one to the address may reach another server. Longer where the
 * role is refused meanwhile: too many such logins may lock it.
 */
const [RENEW_MS, RENEW_REFUSED_MS] = [10_000, 30_000];

/** The options of a health check, and the callback for results. */
export interface HealthCheckParts {
  /** Logs in there, which includes a check. */
  open(signal: AbortSignal): Promise<ServerConnection>;
  /** Gets every result; returns when to check next. */
  told(result: HealthCheckResult): NextCheck;
}

/** When to check next, and how. */
export interface NextCheck {
  /** In milliseconds. */
  readonly ms: number;
  /** Over a new connection: this server does not suit, and another one may be behind the address. Default false. */
  readonly anew?: boolean;
}

/** Errors of a server that can be reached but does not serve now: it counts as down. */
const DOWN = [
  'sqlclient_unable_to_establish_sqlconnection',
  'cannot_connect_now',
  'admin_shutdown',
  'crash_shutdown',
];

/**
 * Checks at once, then when {@link HealthCheckParts.told} says, until it is stopped; at once where its connection ends.
 * Opens a new connection where it is told to, and regularly.
 */
export class HealthCheck {
  readonly #parts: HealthCheckParts;
  readonly #stop = new AbortController();
  #connection: ServerConnection | undefined;
  #unwatch: (() => boolean) | undefined;
  #lookedAt = 0;
  #renewAt = 0;
  #refused = false;
  #wake: (() => void) | undefined;

  constructor(parts: HealthCheckParts) {
    this.#parts = parts;
    void this.#run();
  }

  /** Checks now, unless a check is running or one ended within the last `ms` milliseconds. */
  hurry(ms = 0): void {
    if (performance.now() - this.#lookedAt >= ms) this.#wake?.();
  }

  /** Checks now, over a new connection. */
  renew(): void {
    this.#renewAt = 0;
    this.hurry();
  }

  stop(): void {
    this.#stop.abort(unreachable(new Error('the database is not used any more')));
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const result = await this.#look();
      this.#lookedAt = performance.now();
      if (signal.aborted) break;
      const { ms, anew = false } = this.#parts.told(result);
      if (anew && !this.#refused) this.#renewAt = 0;
      await this.#pause(ms);
    }
    this.#unwatch?.();
    this.#connection?.close();
  }

  /** A new login replaces a connection that does not answer; where the login fails, the answer of the old connection counts. */
  async #look(): Promise<HealthCheckResult> {
    const held = await this.#askHeld();
    if (held && performance.now() < this.#renewAt) return held;
    const found = await this.#logIn();
    this.#refused = found.kind === 'refused';
    const renewMs = this.#refused ? RENEW_REFUSED_MS : RENEW_MS;
    if (found.kind !== 'down') this.#renewAt = performance.now() + renewMs * (0.8 + 0.4 * Math.random());
    return held && found.kind !== 'status' ? held : found;
  }

  /** Undefined where the connection is lost. */
  async #askHeld(): Promise<HealthCheckResult | undefined> {
    const held = this.#connection;
    try {
      if (held && this.#unwatch?.() === true) return await this.#ask(held);
    } catch {
      // The server may have closed only this connection.
    }
    held?.channel.destroy();
    this.#connection = undefined;
    return undefined;
  }

  async #ask({ channel, parameters }: ServerConnection): Promise<HealthCheckResult> {
    const late = (): Error => unreachable(new Error(`no answer within ${CHECK_MS} ms`));
    const serverStatus = await within(CHECK_MS, this.#stop.signal, late, async (signal) => {
      const talk = new Conversation(channel, signal, parameters);
      try {
        return await probeServer(talk);
      } finally {
        talk.end();
      }
    });
    return { kind: 'status', serverStatus };
  }

  async #logIn(): Promise<HealthCheckResult> {
    try {
      const connection = await this.#parts.open(this.#stop.signal);
      this.#connection?.close();
      this.#connection = connection;
      if (connection.serverStatus) return { kind: 'status', serverStatus: connection.serverStatus };
      return await this.#ask(connection);
    } catch (error) {
      return findingOf(error);
    }
  }

  /** The connection is watched meanwhile: its end ends the pause. */
  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.#wake = () => (clearTimeout(timer), resolve());
      this.#unwatch = this.#connection && watch(this.#connection, () => this.#wake?.());
    });
    this.#wake = undefined;
  }
}

function findingOf(error: unknown): HealthCheckResult {
  const code = error instanceof GatewayError ? error.code : undefined;
  if (code === 'too_many_connections') return { kind: 'crowded' };
  return { kind: code !== undefined && DOWN.includes(code) ? 'down' : 'refused', error };
}
