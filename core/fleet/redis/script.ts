/** Scripts that Redis keeps by their hashes: their texts are sent once for each connection. */
import type { Redis } from 'ioredis';
import { createHash } from 'node:crypto';

/** One script, whose only key is what the keys of the fleet begin with. */
export class Script {
  readonly text: string;
  readonly #hash: string;

  constructor(text: string) {
    this.text = text;
    this.#hash = createHash('sha1').update(text).digest('hex');
  }

  async run(redis: Redis, key: string, args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await redis.evalsha(this.#hash, 1, key, ...args);
    } catch (error) {
      // Somebody has flushed the scripts.
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return redis.eval(this.text, 1, key, ...args);
    }
  }
}

/** Has Redis know them, before anything that is asked for later: one that is not known runs behind those that are. */
export function load(redis: Redis, scripts: readonly Script[]): void {
  for (const { text } of scripts) redis.script('LOAD', text).catch(() => {});
}
