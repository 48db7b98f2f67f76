/** Waits for the end of a connection whose bytes are not needed any more. */
import type { Channel } from '../net/channel.ts';

/** Takes the channel over, drops further bytes, and resolves once its socket is closed. Resume the channel, or its end is not noticed. */
export function whenClosed(channel: Channel): Promise<void> {
  return new Promise((resolve) => {
    channel.listen({ bytes() {}, drained() {}, closed: () => resolve() });
  });
}
