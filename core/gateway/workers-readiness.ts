/** Whether a gateway with several workers is ready: the lead asks all of them. */
import type { Check } from '../admin/admin-routes.ts';
import type { PostAnswer } from '../contract/post.ts';
import type { MaybePromise } from '../contract/session.ts';
import type { Coordination } from '../workers/coordination.ts';

/** What a worker answers. */
interface Told {
  /** Another process is to take its place. */
  readonly retires?: true;
  readonly generation?: number;
  readonly checks: readonly Check[];
}

/** How this worker is. */
interface WorkerState {
  /** Its checks, by the config in force. */
  readonly own: () => readonly Check[];
  /** Whether another process is to take its place. */
  readonly retires: () => boolean;
}

const READY = ':ready';

/** One per gateway. With one worker its checks are those of the gateway. */
export class WorkersReadiness {
  readonly #coordination: Coordination;

  constructor(coordination: Coordination, { own, retires }: WorkerState) {
    this.#coordination = coordination;
    if (coordination.workers === 1) return;
    coordination.post.answer(READY, (): Told => {
      if (retires()) return { retires: true, checks: [] };
      const { generation } = coordination;
      return { checks: own(), ...(generation !== undefined && { generation }) };
    });
  }

  /** Those of this worker, or a line for each worker. */
  checks(own: readonly Check[]): MaybePromise<readonly Check[]> {
    return this.#coordination.workers === 1 ? own : this.#checks(own);
  }

  async #checks(own: readonly Check[]): Promise<readonly Check[]> {
    const { post, workers } = this.#coordination;
    const answers = new Map((await post.ask('all', READY)).map((answer) => [answer.worker, answer]));
    const states = Array.from({ length: workers }, (_, index) => stateOf(index + 1, answers.get(index + 1)));
    const ready = states.some(({ isReady }) => isReady);
    const generations = new Set(states.flatMap(({ generation }) => generation ?? []));
    const lines = states.map(({ worker, sentence, isReady }) => ({
      name: `worker ${worker}`,
      // As long as one is ready, what others lack is no reason to send clients elsewhere.
      problem: ready || isReady ? undefined : sentence,
      note: sentence,
    }));
    const one = { name: 'one config', problem: 'workers serve under different configs' };
    // Problems are in the line of the worker.
    const good = own.filter(({ problem }) => problem === undefined);
    return [...good, ...lines, ...(generations.size > 1 ? [one] : [])];
  }
}

interface State {
  readonly worker: number;
  readonly isReady: boolean;
  readonly generation: number | undefined;
  readonly sentence: string;
}

function stateOf(worker: number, answer: PostAnswer | undefined): State {
  const not = (sentence: string): State => ({ worker, isReady: false, generation: undefined, sentence });
  if (!answer) return not('not running; the log says why');
  // The error may be any plugin's.
  if (answer.error !== undefined) return not(`no answer: ${answer.error}`);
  const { generation, retires, checks } = answer.body as Told;
  if (retires) return not('leaving: another process takes its place');
  if (generation === undefined) return not('starting: its config is not in force yet');
  const problems = checks.flatMap(({ name, problem }) =>
    problem === undefined ? [] : [`${name}: ${problem}`],
  );
  const isReady = problems.length === 0;
  const state = isReady ? 'ready' : 'not ready';
  const sentence = [`${state}, config ${generation}`, ...problems].join('; ');
  return { worker, isReady, generation, sentence };
}
