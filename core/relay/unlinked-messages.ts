/** Decides about a client's message between two transactions: most need a server connection, some are dropped, some are answered here. */
import type { Condition, GatewayError } from '../contract/errors.ts';
import { Frontend } from '../wire/frames.ts';
import type { QueryHook } from './statements/query-hook.ts';
import { beginsBatch } from './statements/batch-ahead.ts';
import type { OutstandingRequests } from './requests/outstanding-requests.ts';
import { isGatewayCommand } from './statements/gateway-commands.ts';
import type { LinkState } from './transaction-boundary.ts';

/** The interface between these decisions and the relay. */
export interface UnlinkedMessagesHost {
  readonly outstanding: OutstandingRequests;
  readonly queryHook: QueryHook;
  readonly link: { readonly state: LinkState; readonly checkOuts: number; need(): 'go' | 'wait' };
  /** Ends the session with FATAL. */
  end(error: GatewayError): void;
}

/** `go`: the message is processed as usual; `drop`: it is done; `wait`: for a connection; a number: for so many of its bytes. */
export type Meaning = 'go' | 'drop' | 'wait' | number;

/** Outside of a COPY PostgreSQL ignores them. */
const COPY_LEFTOVERS: ReadonlySet<number> = new Set([
  Frontend.copyData,
  Frontend.copyDone,
  Frontend.copyFail,
]);

/** The next statement may get a connection. With any other error a login would have been refused: it ends the session. */
const RETRYABLE: ReadonlySet<Condition> = new Set(['too_many_connections', 'query_canceled']);

/** Whether a session may go on that got no server connection for its first statement. */
export const isRetryable = ({ code }: GatewayError): boolean => RETRYABLE.has(code);

/** One per session. */
export class UnlinkedMessages {
  readonly #host: UnlinkedMessagesHost;
  #refusal: GatewayError | undefined;
  /** Ends {@link connection}. */
  #connected: ((error: GatewayError | undefined) => void) | undefined;

  constructor(host: UnlinkedMessagesHost) {
    this.#host = host;
  }

  /**
   * The wait for a connection is over. False if a message waits that is read again: without a connection, `error`, it is
   * refused then.
   */
  resumed(error: GatewayError | undefined): boolean {
    const connected = this.#connected;
    this.#connected = undefined;
    if (connected && error && this.#isFinal(error)) this.#host.end(error);
    else if (connected) connected(error);
    else this.#refusal = error;
    return connected !== undefined;
  }

  /** The session has a server connection. Without one nothing is outstanding at a server. */
  get isLinked(): boolean {
    return this.#host.link.state === 'linked';
  }

  /** The session never had a connection, and would not get one for its next statement. */
  #isFinal(error: GatewayError): boolean {
    return this.#host.link.checkOuts === 0 && !isRetryable(error);
  }

  /** True for a message that may be sent now, or is answered without a server. If it is not, await {@link connection}. */
  isReady(type: number, frame: Buffer): boolean {
    const { queryHook, link } = this.#host;
    return this.isLinked || queryHook.answersWithoutServer(type, frame) || link.need() === 'go';
  }

  /** Resolves with the requested connection; never if the session ends first. @throws GatewayError if none is granted */
  connection(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#connected = (error) => (error ? reject(error) : resolve());
    });
  }

  /**
   * `there` is the received part of a message of `bytes` bytes, which begins at `at` in `data`; a connection is requested once
   * `enough` of them have arrived.
   */
  meaning(type: number, there: Buffer, bytes: number, enough: number, data = there, at = 0): Meaning {
    const { queryHook, outstanding, link } = this.#host;
    if (type === Frontend.terminate || queryHook.discarding) return 'go';
    if (COPY_LEFTOVERS.has(type)) return 'drop';
    if (type === Frontend.flush) {
      outstanding.flush();
      return 'drop';
    }
    if (type === Frontend.sync) {
      // Between two transactions there is nothing to synchronize.
      queryHook.endDiscard();
      return 'drop';
    }
    if (this.#refusal) {
      const refusal = this.#refusal;
      this.#refusal = undefined;
      if (this.#isFinal(refusal)) {
        this.#host.end(refusal);
        return 'wait';
      }
      queryHook.refuseUnlinked(type, Buffer.from(there), refusal);
      return 'drop';
    }
    // A plugin decides first, about a batch up to its first Execute, and then the connection is requested: see QueryHook.
    const { messageMask } = queryHook;
    if (link.state !== 'linked' && (messageMask.asks(type) || (messageMask.asksAny && beginsBatch(type))))
      return queryHook.approves(data, at) ? link.need() : 'go';
    // Outdated settings of a connection are set first: behind a message that was sent it is too late.
    if (link.state === 'linked' ? isGatewayCommand(type, there) : queryHook.answersWithoutServer(type, there))
      return 'go';
    const needed = Math.min(bytes, enough);
    return there.length < needed ? needed : link.need();
  }
}
