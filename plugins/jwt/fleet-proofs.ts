/** Proofs that all instances have what is on a board, of which one is enough for all who ask meanwhile. */
import type { Fleet, FleetProof } from '../../core/index.ts';

/** How long instances may take to say that they have it, in milliseconds. */
const PROOF_MS = 3_000;

/** One per board. */
export class FleetProofs {
  readonly #fleet: Pick<Fleet, 'proof'>;
  readonly #board: string;
  #running: Promise<FleetProof> | undefined;
  #next: Promise<FleetProof> | undefined;

  constructor(fleet: Pick<Fleet, 'proof'>, board: string) {
    this.#fleet = fleet;
    this.#board = board;
  }

  /** Of what has been put on the board until now: one that is under way may not be about that, but the next one is. */
  ask(): Promise<FleetProof> {
    if (!this.#running) return this.#begin();
    this.#next ??= this.#running.then(() => this.#begin());
    return this.#next;
  }

  #begin(): Promise<FleetProof> {
    this.#next = undefined;
    const proof = this.#fleet.proof(this.#board, { withinMs: PROOF_MS });
    this.#running = proof;
    const over = (): void => {
      if (this.#running === proof) this.#running = undefined;
    };
    void proof.then(over, over);
    return proof;
  }
}
