/** Connections that have to be closed, and the callers that wait until they are. */
import type { Member } from './member.ts';
import type { Members } from './members.ts';

/** The connections to watch. */
export interface DeparturesParts {
  readonly members: Members;
  /** Whether connections are closed at check-in. */
  readonly idle: { readonly paused: boolean; readonly retired: boolean };
}

/** One per pool. */
export class Departures {
  readonly #parts: DeparturesParts;
  readonly #waiting = new Map<() => void, () => boolean>();

  constructor(parts: DeparturesParts) {
    this.#parts = parts;
  }

  /** Whether one is closed as soon as it is free. */
  condemned({ outdated }: Member): boolean {
    const { paused, retired } = this.#parts.idle;
    return outdated || paused || retired;
  }

  /** Resolves when no connection is left. */
  all(): Promise<void> {
    return this.#until(() => this.#parts.members.size === 0);
  }

  /** Resolves when none is left that is closed as soon as it is free. Rejects with the signal's reason. */
  ofCondemned(signal: AbortSignal): Promise<void> {
    return this.#until(() => !this.#parts.members.all().some((one) => this.condemned(one)), signal);
  }

  /** A connection was closed or its state changed: resolves the waits that are over. */
  look(): void {
    if (this.#waiting.size === 0) return;
    for (const [told, gone] of this.#waiting) if (gone() && this.#waiting.delete(told)) told();
  }

  #until(gone: () => boolean, signal?: AbortSignal): Promise<void> {
    if (gone()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiting.delete(told);
        reject(signal?.reason as Error);
      };
      const told = (): void => {
        signal?.removeEventListener('abort', giveUp);
        resolve();
      };
      this.#waiting.set(told, gone);
      signal?.addEventListener('abort', giveUp, { once: true });
      if (signal?.aborted) giveUp();
    });
  }
}
