/** The fleet as a worker with a parent process has it: the parent is the member. */
import type { FleetAnswer, FleetProof } from '../../contract/fleet.ts';
import type { FleetBegin } from '../fleet-state.ts';
import { FleetView } from '../fleet-view.ts';
import type { FleetRequest, FleetTold } from '../messages.ts';
import { Replies } from './replies.ts';

/** One per worker of an instance. */
export class FleetLink {
  readonly view: FleetView;
  readonly #send: (message: FleetRequest) => void;
  readonly #answers = new Replies<readonly FleetAnswer[]>();
  readonly #proven = new Replies<FleetProof>();
  readonly #alone = new Replies<undefined>();

  constructor(begin: FleetBegin, send: (message: FleetRequest) => void) {
    this.#send = send;
    this.view = new FleetView(begin, {
      ask: (instances, to, name, body, withinMs) => {
        const { q, reply } = this.#answers.next();
        send({ t: 'ask-fleet', q, instances, to, name, body, withinMs });
        return reply.catch(() => []);
      },
      proof: (board, withinMs) => {
        const { q, reply } = this.#proven.next();
        send({ t: 'prove', q, board, withinMs });
        return reply;
      },
    });
  }

  /** Runs it once no other instance does a task of this name. The function that it returns leaves the task to the others. */
  alone(task: string, run: () => void): () => void {
    const { q, reply } = this.#alone.next();
    this.#send({ t: 'alone', q, task });
    reply.then(run, () => {});
    return () => {
      this.#alone.reject(q, new Error('it is left to others'));
      this.#send({ t: 'alone-over', q });
    };
  }

  hear(message: FleetTold): void {
    switch (message.t) {
      case 'fleet':
        return this.view.update(message.state);
      case 'fleet-answers':
        return this.#answers.reply(message.q, message.answers);
      case 'proven':
        return this.#proven.reply(message.q, message.proof);
      case 'alone':
        return this.#alone.reply(message.q, undefined);
    }
  }

  /** Rejects what waits, and what is asked for later. */
  close(error: Error): void {
    for (const replies of [this.#answers, this.#proven, this.#alone]) replies.rejectAll(error);
  }
}
