/** The Session object: one per client connection, the same in every hook. */
import { randomUUID } from 'node:crypto';
import { BoundLog } from './bound-log.ts';
import { Deferred } from './deferred.ts';
import { ScheduledEnds } from './scheduled-ends.ts';
import { asGatewayError } from '../client/refuse.ts';
import { SessionEndSignal } from './session-end-signal.ts';
import type { Credential } from '../contract/credential.ts';
import { GatewayError, SQLSTATES } from '../contract/errors.ts';
import type { SessionFacts } from '../hooks/session-facts.ts';
import { PluginSignal } from '../hooks/plugin-signal.ts';
import type { FactName, Facts } from '../contract/facts.ts';
import type { Hooks } from '../hooks.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import { epochTime, monotonicNow } from './epoch-time.ts';
import { reasonOf } from '../contract/reason.ts';
import type { ScramLookup, ScramMock } from '../contract/scram.ts';
import type {
  Client,
  CloseReason,
  Disposer,
  EndAtOptions,
  LoginSession,
  MaybePromise,
  SessionState,
  Startup,
  Upstream,
} from '../contract/session.ts';

/** Made once: the stack of an error costs more than the rest of a session's end. */
const OVER = new Error('the session has ended');

/** Executes a session's commands once the relay has started. */
export interface Controls {
  /** `atOnce`: even in the middle of a message to the client. */
  end(error: GatewayError, atOnce?: boolean): void;
  drain(error: GatewayError): void;
  /** Settings of policies may have other values now. */
  refresh(): void;
  notice(message: string, hint?: string): void;
}

/** The options of a session. */
export interface SessionOptions {
  readonly client: Client;
  readonly startup: Startup;
  readonly credential: Credential;
  readonly hooks: Pick<Hooks, 'renew' | 'observed'>;
  readonly facts: SessionFacts;
  /** The gateway's log; the session binds its id and subject. */
  readonly log: PinoLogger;
}

/** Hooks use the members of `Session` in session.ts; the others are for connection.ts. */
export class OpenSession implements LoginSession<FactName, FactName> {
  readonly id = randomUUID();
  readonly client: Client;
  /** What the client sent; after `onAuth`, by the rules of the config. */
  startup: Startup;
  /** Milliseconds since the epoch. */
  readonly startedAt = Date.now();
  /** The facts as hooks.ts fills them. */
  readonly sessionFacts: SessionFacts;
  hooks: SessionOptions['hooks'];
  /** Resolves with the reason when the session ends. */
  readonly ended: Promise<CloseReason>;
  readonly credential: Credential;
  /** Asks the client for its token; present during `onAuth` only. */
  askToken: (() => Promise<string>) | undefined;
  /** Asks the client to prove its password; present during `onAuth` only. */
  askScram: ((lookup: ScramLookup, mock?: ScramMock) => Promise<void>) | undefined;
  upstream: Upstream | undefined;
  readonly log: BoundLog;
  /** For what waits inside the gateway. */
  readonly over = new SessionEndSignal();
  readonly #abort = new PluginSignal();
  #scheduledEnds: ScheduledEnds | undefined;
  /** Made for the first plugin that defers something, or at the end. */
  #deferred: Deferred | undefined;
  #notices: [message: string, hint: string | undefined][] | undefined;
  #token: Promise<string> | undefined;
  #proven: Promise<void> | undefined;
  #state: SessionState = 'starting';
  #changedAt = monotonicNow();
  #controls: Controls | undefined;
  /** The end of a running transaction's grace; the earliest counts. */
  #grace: { readonly at: number; readonly timer: NodeJS.Timeout } | undefined;
  #reason: CloseReason | undefined;
  #renewal: Promise<void> | undefined;
  #toldEnded: (reason: CloseReason) => void = () => {};

  constructor(options: SessionOptions) {
    this.client = options.client;
    this.startup = options.startup;
    this.credential = options.credential;
    this.sessionFacts = options.facts;
    this.hooks = options.hooks;
    this.log = new BoundLog(options.log, this);
    this.ended = new Promise((resolve) => {
      this.#toldEnded = resolve;
    });
  }

  get state(): SessionState {
    return this.#state;
  }

  get stateSince(): number {
    return epochTime(this.#changedAt);
  }

  /** When {@link state} changed last, by `monotonicNow`. */
  get changedAt(): number {
    return this.#changedAt;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Why it ended; undefined while it is open. */
  get reason(): CloseReason | undefined {
    return this.#reason;
  }

  get facts(): Readonly<Facts> {
    return this.sessionFacts.known as Facts;
  }

  token(): Promise<string> {
    if (!this.askToken) return Promise.reject(new Error('session.token() is for onAuth'));
    if (this.#token) return this.#token;
    this.#token = this.askToken();
    // It may be awaited later: an unhandled rejection would end the process before.
    this.#token.catch(() => {});
    return this.#token;
  }

  scram(lookup: ScramLookup, mock?: ScramMock): Promise<void> {
    if (!this.askScram) return Promise.reject(new Error('session.scram() is for onAuth'));
    if (this.#proven) return this.#proven;
    this.#proven = this.askScram(lookup, mock);
    // As with the token.
    this.#proven.catch(() => {});
    return this.#proven;
  }

  /** Drops the token, which is not needed any more. */
  forgetToken(): void {
    this.askToken = undefined;
    this.askScram = undefined;
    this.#token = undefined;
  }

  establish<F extends FactName>(fact: F, value: Facts[F]): void {
    this.sessionFacts.establish(fact, value);
  }

  /** One at a time, in the order of the calls. */
  renew(facts: MaybePromise<Partial<Facts>>): Promise<void> {
    // A copy: the facts that are checked are those that come into force.
    const stated = facts instanceof Promise ? facts : { ...facts };
    // Another renewal may run first: an unhandled rejection would end the process before.
    if (stated instanceof Promise) stated.catch(() => {});
    const renewal = (this.#renewal ?? Promise.resolve()).then(() => this.#renew(stated));
    this.#renewal = renewal.catch(() => {});
    return renewal;
  }

  endAt(at: Date, error: GatewayError, how: EndAtOptions = {}): { move(at: Date): void } {
    this.#scheduledEnds ??= new ScheduledEnds(this);
    if (this.#reason) this.#scheduledEnds.clear();
    return this.#scheduledEnds.add(at, asGatewayError(error, this.log), how);
  }

  end(error: GatewayError): void {
    if (this.#reason) return;
    // Plugins in plain JavaScript may pass any value, and an end must not fail.
    const said = asGatewayError(error, this.log);
    if (this.#controls) this.#controls.end(said);
    else this.conclude({ kind: 'refused', error: said });
  }

  /** The gateway stops: ends with `error` as soon as no transaction runs, before login at once with 57P03. */
  drain(error: GatewayError): void {
    if (this.#reason) return;
    if (this.#controls) this.#controls.drain(error);
    else this.end(new GatewayError('cannot_connect_now', error.message));
  }

  /** Ends with `error`, as `end` does, without waiting for a client that reads nothing. */
  cutOff(error: GatewayError): void {
    if (this.#controls && !this.#reason) this.#controls.end(error, true);
  }

  notice(message: string, hint?: string): void {
    if (this.#reason) return;
    if (this.#controls) this.#controls.notice(message, hint);
    else (this.#notices ??= []).push([message, hint]);
  }

  defer(release: Disposer): void {
    this.#releases().add(release);
  }

  /** From here on `controls` execute the session's commands. */
  attach(controls: Controls): void {
    this.#controls = controls;
    for (const [message, hint] of this.#notices ?? []) controls.notice(message, hint);
    this.#notices = undefined;
  }

  changed(state: SessionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#changedAt = monotonicNow();
  }

  /** The session is over: aborts waits, cancels its appointments. The first reason counts. */
  conclude(reason: CloseReason): void {
    if (this.#reason) return;
    this.#reason = reason;
    this.#scheduledEnds?.clear();
    clearTimeout(this.#grace?.timer);
    this.forgetToken();
    this.#toldEnded(reason);
    const why = 'error' in reason ? reason.error : OVER;
    this.over.abort(why);
    this.#abort.abort(why);
  }

  /** After the last hook: runs the deferred functions, the latest first; at once where there are none. Never rejects. */
  settle(): MaybePromise<void> {
    return this.#renewal ? this.#renewal.then(() => this.#releases().run()) : this.#releases().run();
  }

  /** Ends with `error`; a running transaction may take `graceMs` longer. */
  endWithin(graceMs: number, error: GatewayError): void {
    if (!this.#controls || graceMs <= 0 || this.#state === 'idle') {
      this.end(error);
      return;
    }
    this.#controls.drain(error);
    const at = Date.now() + graceMs;
    if (this.#grace && this.#grace.at <= at) return;
    clearTimeout(this.#grace?.timer);
    const timer = setTimeout(() => this.end(error), Math.min(graceMs, 2 ** 31 - 1)).unref();
    this.#grace = { at, timer };
  }

  #releases(): Deferred {
    return (this.#deferred ??= new Deferred(this.log));
  }

  async #renew(stated: MaybePromise<Partial<Facts>>): Promise<void> {
    const startedAt = Date.now();
    try {
      const facts = { ...(await stated) };
      if (this.#reason) throw new Error('the session has ended');
      await this.hooks.renew(this, facts);
      this.sessionFacts.replace(facts);
      this.#controls?.refresh();
      this.#tellRenewal(startedAt);
    } catch (error) {
      this.#tellRenewal(startedAt, error);
      throw error;
    }
  }

  #tellRenewal(startedAt: number, error?: unknown): void {
    const known = error instanceof GatewayError ? { error, sqlstate: error.sqlstate } : {};
    const refused = { ...(error !== undefined && { sqlstate: SQLSTATES.internal_error }), ...known };
    const durationMs = Date.now() - startedAt;
    if (error instanceof GatewayError)
      this.log.warn({ sqlstate: error.sqlstate, reason: reasonOf(error) }, 'renewal refused');
    this.hooks.observed.renewal?.({ session: this, startedAt, durationMs, ...refused });
  }
}
