/** The rules a token carries about itself: a wrong or unknown one refuses the token. */
import { TokenRulesReader, shown } from '../../core/index.ts';
import type { TokenRules } from '../../core/index.ts';
import { TokenRefused } from './refusal.ts';

const READER = new TokenRulesReader({
  words: {
    databases: 'databases',
    max_connections: 'maxConnections',
    cidrs: 'cidrs',
    windows: 'windows',
    rate: 'rate',
    max_session_duration: 'maxSession',
    target: 'target',
  },
  item: (path) => path,
  wrong(path, value, wanted) {
    throw new TokenRefused(`${path} is ${shown(value)}, ${wanted} is needed`);
  },
  unknown(path, word, known) {
    throw new TokenRefused(`${path} has ${shown(word)}, and can have ${known.join(', ')}`);
  },
});

/**
 * Reads the private claim that holds a token's rules (RFC 7519 §4.3).
 * @returns no rules where the claim is absent
 * @throws TokenRefused if the claim is there and not understood to the last member
 */
export function parseTokenRules(claim: string, value: unknown): TokenRules {
  return value === undefined ? {} : READER.read(claim, value);
}
