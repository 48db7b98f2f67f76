/** The rules of sessions with a certificate, checked at boot. */
import { TokenRulesReader, badOption, readObject } from '../../core/index.ts';
import type { TokenRules } from '../../core/index.ts';

const READER = new TokenRulesReader({
  words: {
    databases: 'databases',
    maxConnections: 'maxConnections',
    cidrs: 'cidrs',
    windows: 'windows',
    rate: 'rate',
    maxSession: 'maxSession',
    target: 'target',
  },
  item: (path, place) => `${path}[${place}]`,
  wrong: (path, _value, wanted) => badOption(path, `${wanted} is needed`),
  unknown(path, word, known) {
    readObject(path, { [word]: undefined }, known as readonly never[]);
    return badOption(path, `${word} is no rule`);
  },
});

/** Reads rules. @throws ConfigError that names the rule */
export function readRules(path: string, value: unknown): TokenRules {
  return READER.read(path, value);
}
