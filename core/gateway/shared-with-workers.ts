/** What a plugin shares with itself in other workers: boards, places and questions by the plugin's name. */
import type { Board } from '../contract/board.ts';
import type { GatewayHandle } from '../contract/gateway-handle.ts';
import type { Shared } from './shared.ts';

/** The members of the handle for a plugin of this name. */
export function sharedWith(
  { coordination }: Pick<Shared, 'coordination'>,
  plugin: string,
): Pick<GatewayHandle, 'worker' | 'board' | 'places' | 'post'> {
  const { worker, workers, places, post } = coordination;
  const own = (name: string): string => `${plugin}/${name}`;
  const withoutName = (key: string | undefined): string | undefined => key?.slice(own('').length);
  return {
    worker: { number: worker, of: workers },
    board: async <V>(name: string) => (await coordination.board(own(name))) as Board<V>,
    places: {
      take(wanted) {
        const full = places.take(wanted.map((place) => ({ ...place, key: own(place.key) })));
        return full instanceof Promise ? full.then(withoutName) : withoutName(full);
      },
      give: (keys) => places.give(keys.map(own)),
    },
    post: {
      answer: (name, answer) => post.answer(own(name), answer),
      ask: (to, name, body, options) => post.ask(to, own(name), body, options),
    },
  };
}
