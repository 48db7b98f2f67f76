/** A connection that has just been linked: the client learns in what it differs, and values of sequences of other sessions are discarded. */
import type { Parameters, ServerConnection } from '../upstream/connection.ts';
import { Backend } from '../wire/frames.ts';
import { parameterStatus } from '../wire/to-client.ts';
import { encodeQuery } from '../wire/to-server.ts';
import type { OutstandingRequests } from './requests/outstanding-requests.ts';
import { Op, ResponseAction } from './requests/request-queue.ts';
import type { RequestObserver } from './requests/request-queue.ts';

/** Reports to the client the run-time parameters in which a connection differs from those that it knows. */
export function reportParameterChanges(
  known: Parameters,
  { parameters }: ServerConnection,
  tell: (message: Buffer) => void,
): void {
  if (known.content !== undefined && known.content === parameters.content) return;
  for (const [name, value] of parameters) {
    if (known.get(name) === value) continue;
    known.set(name, value);
    tell(parameterStatus(name, value));
  }
}

const DISCARD_SEQUENCES = encodeQuery('DISCARD SEQUENCES');

/** For one connection. */
class Discard implements RequestObserver {
  readonly #server: ServerConnection;

  constructor(server: ServerConnection) {
    this.#server = server;
  }

  /** A cancel has hit it: the next session discards them. */
  answered(type: number): void {
    if (type === Backend.errorResponse) this.#server.sequencesOfOthers = 'present';
  }
}

/**
 * Sends DISCARD SEQUENCES where another session of the same identity has left values of sequences; its answer is hidden. The
 * client's message need not wait for it.
 */
export function discardSequencesOfOthers(server: ServerConnection, outstanding: OutstandingRequests): void {
  if (server.sequencesOfOthers !== 'present') return;
  server.sequencesOfOthers = 'discarded';
  outstanding.sent(Op.discardSequences, ResponseAction.skip, new Discard(server));
  server.channel.writeCopy(DISCARD_SEQUENCES, 0, DISCARD_SEQUENCES.length);
}
