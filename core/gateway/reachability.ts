/** Whether any server of the config has been reachable since the start: until then the gateway is not ready. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Check } from '../admin/admin-routes.ts';
import type { ResolvedConfig, ResolvedDatabase } from '../config/resolved.ts';
import { hostsOf } from '../contract/database.ts';
import type { HostAddress } from '../contract/database.ts';
import { reasonOf } from '../contract/reason.ts';
import { dial } from '../upstream/dial.ts';
import { serverAt } from '../upstream/hosts/endpoint.ts';
import { certificateRefused } from '../upstream/refusals.ts';
import type { Pools } from './pools.ts';

/** Servers that are probed at once. */
const AT_ONCE = 8;
/** How long one probe may take: name resolution, connection and TLS, in milliseconds. */
const PROBE_MS = 5_000;
/** From the end of a round without success to the next one, in milliseconds. */
const AGAIN_MS = 10_000;
/** Servers whose reason the check tells, and the longest reason in characters. */
const [MOST_TOLD, LONGEST_REASON] = [3, 300];

/** A server of an entry. */
interface Probed {
  readonly entry: string;
  readonly database: ResolvedDatabase;
  readonly host: Required<HostAddress>;
}

/** One per gateway. It probes until the first success, and never again after that: later outages do not make the gateway unready. */
export class Reachability {
  readonly #pools: Pick<Pools, 'connected' | 'everyOne'>;
  readonly #againMs: number;
  #probed = false;
  /** The config has entries to probe. */
  #applies = false;
  #running = new AbortController();
  /** By entry and server, as of the last probe. */
  readonly #reasons = new Map<string, string>();

  /** `againMs` is for tests. */
  constructor(pools: Pick<Pools, 'connected' | 'everyOne'>, againMs = AGAIN_MS) {
    this.#pools = pools;
    this.#againMs = againMs;
  }

  /**
   * Probes the servers of a config instead of those of an earlier one, unless one was reachable before. Without `admin` there is no
   * `/readyz`, and a config with `'*'` alone, or with a function, does not tell which databases there are: nothing is probed then.
   */
  begin(config: ResolvedConfig): void {
    this.stop();
    this.#reasons.clear();
    this.#applies = config.admin !== undefined && config.databaseNames.some((name) => name !== '*');
    if (!this.#applies || this.#reached) return;
    this.#running = new AbortController();
    // Rejects only when it is stopped.
    this.#probeUntilReached(config, this.#running.signal).catch(() => {});
  }

  /** Ends the probe that is running, and begins no other. */
  stop(): void {
    this.#running.abort();
  }

  /** The readiness check; none where nothing is probed. */
  get checks(): readonly Check[] {
    if (!this.#applies) return [];
    if (!this.#reached) return [{ name: 'servers', problem: this.#problem() }];
    const note = this.#pausedLogins();
    return [{ name: 'servers', problem: undefined, ...(note !== undefined && { note }) }];
  }

  get #reached(): boolean {
    return this.#probed || this.#pools.connected;
  }

  async #probeUntilReached(config: ResolvedConfig, signal: AbortSignal): Promise<void> {
    const servers = await serversOf(config);
    while (!this.#reached) {
      await this.#probeAll(servers, signal);
      await sleep(this.#againMs, undefined, { signal, ref: false });
    }
  }

  async #probeAll(servers: readonly Probed[], signal: AbortSignal): Promise<void> {
    const left = servers.values();
    const known = new Map<string, Promise<string | undefined>>();
    const work = async (): Promise<void> => {
      for (const server of left) {
        if (signal.aborted || this.#reached) return;
        const text = textOf(server);
        const probing = known.get(text) ?? probe(server, signal);
        known.set(text, probing);
        this.#take(server, await probing, signal);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  #take({ entry, host }: Probed, reason: string | undefined, signal: AbortSignal): void {
    if (signal.aborted) return;
    if (reason !== undefined)
      return void this.#reasons.set(JSON.stringify([entry, host]), `${entry}: ${reason}`);
    this.#probed = true;
    this.#reasons.clear();
    this.stop();
  }

  #problem(): string {
    const reasons = [...this.#reasons.values()];
    if (reasons.length === 0) return 'no server has been reached yet, and none has failed';
    const more = reasons.length > MOST_TOLD ? `; and ${reasons.length - MOST_TOLD} more` : '';
    return `no server was ever reachable: ${reasons.slice(0, MOST_TOLD).join('; ')}${more}`;
  }

  /** A probe does not log in. No problem: whether a client is mapped to a role that cannot log in must not end all logins. */
  #pausedLogins(): string | undefined {
    if (this.#pools.connected) return undefined;
    const paused = this.#pools.everyOne().filter(({ pool }) => pool.loginsPaused);
    if (paused.length === 0) return undefined;
    const entries = [...new Set(paused.map(({ entry }) => entry))];
    const more = entries.length > MOST_TOLD ? ` and ${entries.length - MOST_TOLD} more` : '';
    return `no login of the gateway has succeeded; the log says why for ${entries.slice(0, MOST_TOLD).join(', ')}${more}`;
  }
}

/** `'*'` as well, beside entries with names: its server may be the only one that is there. */
async function serversOf(config: ResolvedConfig): Promise<readonly Probed[]> {
  const servers: Probed[] = [];
  for (const entry of config.databaseNames) {
    const database = await config.database(entry);
    if (database) servers.push(...hostsOf(database).map((host) => ({ entry, database, host })));
  }
  return servers;
}

/** Equal for servers that answer a probe alike. */
function textOf({ database: { tls }, host }: Probed): string {
  return JSON.stringify([host.host, host.port, tls.mode, tls.ca, tls.servername]);
}

/** Connects as a pool does, up to the login: the password may be a client's secret. Gives the reason of a failure. */
async function probe({ database, host }: Probed, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { channel } = await dial(serverAt(database, host), signal, { connectMs: PROBE_MS });
    channel.destroy();
    return undefined;
  } catch (error) {
    // The server is there, and demands the certificate that a login shows.
    if (certificateRefused(error)) return undefined;
    const { cause } = error instanceof Error ? error : {};
    return (cause instanceof Error ? reasonOf(cause) : 'unknown').slice(0, LONGEST_REASON);
  }
}
