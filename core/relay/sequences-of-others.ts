/** Removes values of sequences that another session of the same identity has left on a connection, in front of the first message. */
import type { ServerConnection } from '../upstream/connection.ts';
import { Backend } from '../wire/frames.ts';
import { encodeQuery } from '../wire/to-server.ts';
import { Op, ResponseAction } from './request-queue.ts';
import type { RequestObserver } from './request-queue.ts';
import type { OutstandingRequests } from './outstanding-requests.ts';

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

/** Sends DISCARD SEQUENCES on a linked connection where that is due; its answer is hidden. The client's message need not wait for it. */
export function discardSequencesOfOthers(server: ServerConnection, outstanding: OutstandingRequests): void {
  if (server.sequencesOfOthers !== 'present') return;
  server.sequencesOfOthers = 'discarded';
  outstanding.sent(Op.discardSequences, ResponseAction.skip, new Discard(server));
  server.channel.writeCopy(DISCARD_SEQUENCES, 0, DISCARD_SEQUENCES.length);
}
