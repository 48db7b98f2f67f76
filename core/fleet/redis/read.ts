/** Changes and post as Redis reads them out of streams. */
import type { FleetStore, LoggedChange, Read, StoredChange } from '../store.ts';

type Positions = Parameters<FleetStore['read']>[1];
/** An entry of a stream: its id, and names and values one after the other. */
type StreamEntry = [id: string, fields: string[]];

/** Of each stream: those that are not read come with the next read. */
const MOST_AT_ONCE = 1_000;

const logOf = (key: string, board: string): string => `${key}log:${board}`;
const postOf = (key: string, id: string): string => `${key}post:${id}`;

/** The arguments of XREAD; without a time to wait it does not. */
export function argumentsOf(key: string, id: string, { boards, post }: Positions, waitMs: number): string[] {
  const logs = Object.entries(boards);
  return [
    'COUNT',
    String(MOST_AT_ONCE),
    ...(waitMs > 0 ? ['BLOCK', String(waitMs)] : []),
    'STREAMS',
    ...logs.map(([board]) => logOf(key, board)),
    postOf(key, id),
    ...logs.map(([, seq]) => `${seq}-0`),
    post,
  ];
}

/** What XREAD answers; undefined: nothing. */
export function readOf(
  key: string,
  id: string,
  { boards, post }: Positions,
  reply: unknown,
): Read | undefined {
  if (!reply) return undefined;
  const streams = new Map(reply as [stream: string, entries: StreamEntry[]][]);
  const letters = streams.get(postOf(key, id)) ?? [];
  const logs = Object.keys(boards).map((board) => [board, streams.get(logOf(key, board)) ?? []] as const);
  return {
    changes: Object.fromEntries(
      logs.filter(([, log]) => log.length > 0).map(([board, log]) => [board, log.map(changeOf)]),
    ),
    post: letters.map(([, [, text = '']]) => text),
    postPosition: letters.at(-1)?.[0] ?? post,
  };
}

const changeOf = ([id, [, change = '']]: StreamEntry): LoggedChange => ({
  ...storedIn(change),
  seq: Number.parseInt(id, 10),
});

/** A change as it stands in the store. What is none has a text that nobody can open, and is passed over: whoever else can write there stops no reader. */
export function storedIn(json: string): StoredChange {
  try {
    const read = JSON.parse(json) as Partial<StoredChange> | null;
    if (typeof read?.field === 'string' && typeof read.text === 'string') return read as StoredChange;
  } catch {
    // As below.
  }
  return { field: '', text: '' };
}
