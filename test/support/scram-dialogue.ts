/** A login by SCRAM, message by message, as a test wants it: at PostgreSQL, or at something that speaks like it. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { fieldsOf, message, startup } from './raw-client.ts';
import type { RawClient, Received } from './raw-client.ts';

/** What a client says. */
export interface ScramScript {
  /** In TLS. Default false. */
  readonly tls?: boolean;
  readonly mechanism: string;
  /** Latin-1; undefined: none with the mechanism, and this after the empty challenge is `later`. */
  readonly first: string | undefined;
  readonly later?: string;
  /** Latin-1, from the server's message. Default: it is never sent. */
  readonly final?: (challenge: string) => string;
}

/** How far it came. */
export type ScramEnd =
  | { readonly at: 'first' | 'final'; readonly refused: { code: string; message: string; detail?: string } }
  | { readonly at: 'challenge'; readonly challenge: string }
  | { readonly at: 'end'; readonly verifier: string };

/** SASLInitialResponse. */
export function initialResponse(mechanism: string, response: string | undefined): Buffer {
  const length = Buffer.alloc(4);
  const data = Buffer.from(response ?? '', 'latin1');
  length.writeInt32BE(response === undefined ? -1 : data.length);
  return message('p', Buffer.concat([Buffer.from(`${mechanism}\0`), length, data]));
}

function refusalIn({ type, body }: Received): { code: string; message: string; detail?: string } | undefined {
  if (type !== 'E') return undefined;
  const { C: code = '', M: text = '', D: detail } = fieldsOf(body);
  return { code, message: text, ...(detail !== undefined && { detail }) };
}

/** The data of an authentication request of this kind. */
function data({ type, body }: Received, code: number): string {
  if (type !== 'R' || body.readUInt32BE(0) !== code)
    throw new Error(`message ${type} ${body.toString('hex')} instead of authentication request ${code}`);
  return body.toString('latin1', 4);
}

/** Begins a login, up to the offered mechanisms. */
export async function offeredTo(
  client: RawClient,
  user: string,
  database: string,
): Promise<readonly string[]> {
  client.send(startup({ user, database }));
  return data(await client.message(), 10)
    .split('\0')
    .slice(0, -2);
}

/** Plays a script up to the first error, or the end of the exchange. */
export async function playScram(client: RawClient, script: ScramScript): Promise<ScramEnd> {
  client.send(initialResponse(script.mechanism, script.first));
  let answer = await client.message();
  if (script.first === undefined && script.later !== undefined) {
    if (data(answer, 11) !== '') throw new Error('a challenge that is not empty');
    client.send(message('p', Buffer.from(script.later, 'latin1')));
    answer = await client.message();
  }
  const early = refusalIn(answer);
  if (early) return { at: 'first', refused: early };
  const challenge = data(answer, 11);
  if (!script.final) return { at: 'challenge', challenge };
  client.send(message('p', Buffer.from(script.final(challenge), 'latin1')));
  const last = await client.message();
  const refused = refusalIn(last);
  return refused ? { at: 'final', refused } : { at: 'end', verifier: data(last, 12) };
}

const sign = (key: Buffer, text: string): Buffer =>
  createHmac('sha256', key).update(Buffer.from(text, 'latin1')).digest();

/** The proof of a password, written from RFC 5802 alone; a password of ASCII. */
export function proofOf(password: string, bare: string, challenge: string, withoutProof: string): string {
  const [, salt = '', iterations] = /,s=([^,]+),i=(\d+)/.exec(challenge) ?? [];
  const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256');
  const clientKey = sign(salted, 'Client Key');
  const signature = sign(
    createHash('sha256').update(clientKey).digest(),
    `${bare},${challenge},${withoutProof}`,
  );
  return Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0))).toString('base64');
}

/** The nonce of a challenge. */
export function nonceOf(challenge: string): string {
  return /^r=([^,]*)/.exec(challenge)?.[1] ?? '';
}
