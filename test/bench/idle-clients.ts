/** Clients that log in, ask once, and then do nothing: in a process of its own, told by its parent, gone with it. */
import { BenchClient, SELECT_1 } from './client.ts';
import type { Peer } from './peer.ts';

/** What the parent says: so many clients of this peer; they leave at the next message. */
export interface Crowd {
  readonly peer: Peer;
  readonly count: number;
}

/** How many log in at a time: more would only wait in the listener's queue. */
const AT_A_TIME = 8;
const clients: BenchClient[] = [];

async function gather({ peer, count }: Crowd): Promise<void> {
  let left = count;
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      const client = await BenchClient.login(peer);
      clients.push(client);
      await client.ask(SELECT_1);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, one));
}

process.on('disconnect', () => process.exit(0));
process.on('message', (crowd: Crowd | 'leave') => {
  if (crowd === 'leave') {
    for (const client of clients.splice(0)) client.close();
    process.send?.('left');
    return;
  }
  gather(crowd).then(
    () => process.send?.('gathered'),
    (error: unknown) => process.send?.(String(error)),
  );
});
