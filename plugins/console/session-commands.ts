/** What drivers say about a transaction and about what a session keeps, and what is answered: as PostgreSQL does, without effect on the gateway. */
import type { Answer, Command, Desk, Notice } from './command.ts';
import { keywordOf } from './words.ts';
import type { Words } from './words.ts';

const warning = (code: string, message: string | undefined): Notice | undefined =>
  message === undefined ? undefined : { severity: 'WARNING', code, message };

const ACTIVE = '25001';
const NONE = '25P01';

/** `BEGIN`, and `START TRANSACTION`: with any characteristics, as nothing depends on them. */
export function beginCommand(words: Words, tag: 'BEGIN' | 'START TRANSACTION'): Command | undefined {
  if (tag === 'START TRANSACTION' && !words.takes('TRANSACTION')) return undefined;
  words.rest();
  return { run: ({ transaction }) => ({ tag, notice: warning(ACTIVE, transaction.begin()) }) };
}

/** `WORK` or `TRANSACTION`, and `AND [NO] CHAIN`. */
function noise(words: Words): { readonly chain: boolean } {
  if (!words.takes('WORK')) words.takes('TRANSACTION');
  if (words.takesAll('AND', 'NO', 'CHAIN')) return { chain: false };
  return { chain: words.takesAll('AND', 'CHAIN') };
}

function end(words: Words, tag: 'COMMIT' | 'ROLLBACK'): Command | undefined {
  const { chain } = noise(words);
  if (!words.over) return undefined;
  return {
    recovers: true,
    run: ({ transaction }): Answer => {
      const failed = transaction.status === 'E';
      const notice = warning(NONE, transaction.end());
      if (chain) transaction.begin();
      return { tag: failed ? 'ROLLBACK' : tag, notice };
    },
  };
}

/** `COMMIT` and `END`. */
export const commitCommand = (words: Words): Command | undefined => end(words, 'COMMIT');

/** `ROLLBACK` and `ABORT`, `ROLLBACK TO` a savepoint. */
export function rollbackCommand(words: Words): Command | undefined {
  if (!words.takes('TO') && !words.takesAll('WORK', 'TO') && !words.takesAll('TRANSACTION', 'TO'))
    return end(words, 'ROLLBACK');
  words.takes('SAVEPOINT');
  return point(words, 'ROLLBACK', (desk, name) => desk.transaction.rollBackTo(name), true);
}

function point(
  words: Words,
  tag: string,
  what: (desk: Desk, name: string) => void,
  recovers = false,
): Command | undefined {
  const name = words.name();
  if (name === undefined || !words.over) return undefined;
  return { recovers, run: (desk) => (what(desk, name), { tag }) };
}

/** `SAVEPOINT`. */
export const savepointCommand = (words: Words): Command | undefined =>
  point(words, 'SAVEPOINT', ({ transaction }, name) => transaction.save(name));

/** `RELEASE`. */
export function releaseCommand(words: Words): Command | undefined {
  words.takes('SAVEPOINT');
  return point(words, 'RELEASE', ({ transaction }, name) => transaction.release(name));
}

/** `DEALLOCATE`. */
export function deallocateCommand(words: Words): Command | undefined {
  words.takes('PREPARE');
  const all = keywordOf(words.next) === 'ALL';
  return point(words, all ? 'DEALLOCATE ALL' : 'DEALLOCATE', ({ statements }, name) =>
    statements.deallocate(all ? undefined : name),
  );
}

/** `CLOSE ALL`: there are no cursors. */
export const closeCommand = (words: Words): Command | undefined =>
  words.takes('ALL') && words.over ? { run: () => ({ tag: 'CLOSE CURSOR ALL' }) } : undefined;

/** `UNLISTEN`: nobody can listen. */
export const unlistenCommand = (words: Words): Command | undefined => point(words, 'UNLISTEN', () => {});
