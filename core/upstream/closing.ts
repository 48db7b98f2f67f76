/** The end of a connection that nobody listens to any more. */
import type { Channel } from '../net/channel.ts';

/** Takes the channel over, drops what still arrives, and resolves once its socket is gone. Resume it to see the end come. */
export function whenClosed(channel: Channel): Promise<void> {
  return new Promise((resolve) => {
    channel.listen({ bytes() {}, drained() {}, closed: () => resolve() });
  });
}
