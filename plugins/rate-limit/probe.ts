/** Asks the shared store once whether it is there, for `postern check --online`. */
import type { ProbeContext, ProbeFinding } from '../../core/index.ts';
import { connectRedis } from './redis.ts';
import type { StorePolicy } from './store-policy.ts';

const PATH = 'rateLimit.store';

/** A finding on the store. */
export async function probeStore(
  store: StorePolicy,
  { signal }: ProbeContext,
): Promise<readonly ProbeFinding[]> {
  let last = 'no answer in time';
  const client = await connectRedis(store, { lost: ({ message }) => (last = message), ready() {} });
  try {
    const answered =
      client.status === 'ready' &&
      (await Promise.race([
        client.ping(),
        new Promise((resolve) => signal.addEventListener('abort', resolve)),
      ]));
    if (answered === 'PONG') return [{ path: PATH, text: 'the store answers' }];
    return [{ path: PATH, level: 'error', text: `the store does not answer: ${last}` }];
  } finally {
    client.disconnect();
  }
}
