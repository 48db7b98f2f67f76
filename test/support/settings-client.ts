/** Clients of PostgreSQL directly and through sessions that share connections, for tests of settings. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDatabase, parseRole } from '../../core/contract/names.ts';
import { open } from '../../core/upstream/open.ts';
import type { Postgres } from './postgres.ts';
import { direct } from './raw.ts';
import type { RawClient } from './raw.ts';

/** What a client reads up to the last ReadyForQuery: rows, tags, SQLSTATEs. */
export async function say(client: RawClient, ...messages: readonly Buffer[]): Promise<string[]> {
  const from = client.messages.length;
  const asked = messages.filter((bytes) => 'QSF'.includes(String.fromCharCode(bytes[0] ?? 0))).length;
  client.send(...messages);
  const answers = (): RawClient['messages'] => client.messages.slice(from);
  const readies = (): number => answers().filter(({ type }) => type === 'Z').length;
  for (let turn = 0; !client.closed && readies() < asked; turn += 1)
    await (turn < 200 ? new Promise(setImmediate) : sleep(2));
  return answers().flatMap(({ type, body }) => {
    if (type === 'D') return [rowOf(body).join('|')];
    if (type === 'C') return [body.toString('latin1', 0, body.length - 1)];
    if (type === 'E') return [/\0C([0-9A-Z]{5})\0/.exec(body.toString('latin1'))?.[1] ?? '?'];
    return [];
  });
}

function rowOf(body: Buffer): string[] {
  const columns: string[] = [];
  for (let at = 2; at < body.length;) {
    const length = body.readInt32BE(at);
    columns.push(length < 0 ? 'null' : body.toString('utf8', at + 4, at + 4 + length));
    at += 4 + Math.max(length, 0);
  }
  return columns;
}

/** The last value of a parameter of which the client was told; undefined if of none. */
export const believed = (client: RawClient, name: string): string | undefined =>
  client.messages
    .filter(({ type }) => type === 'S')
    .map(({ body }) => body.toString('latin1').split('\0'))
    .findLast(([key]) => key === name)?.[1];

/** A client of PostgreSQL itself as the role `writer`, with parameters in its startup packet. */
export async function straight(
  postgres: Postgres,
  database: string,
  parameters: Readonly<Record<string, string>> = {},
): Promise<RawClient> {
  const connection = await open({
    entry: 'direct',
    database: {
      host: postgres.socketDir,
      port: postgres.port,
      tls: { mode: 'disable' },
      login: { kind: 'password', passwords: postgres.passwords },
    },
    upstream: {
      entry: 'direct',
      database: parseDatabase(database),
      role: parseRole('writer'),
      settings: parameters,
      schemas: [],
      onCheckout: [],
    },
    startup: { user: 'writer', database, parameters: {} },
    signal: new AbortController().signal,
  });
  return direct(connection);
}
