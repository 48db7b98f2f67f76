/** `postern token`: asks a gateway for access to a database, and prints the token and nothing else. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { STATUS_CODES } from 'node:http';
import { ConfigError, Outbound, reasonOf } from '../../core/index.ts';
import { isGrant, TokenCache } from './token-cache.ts';
import type { CachedGrant } from './token-cache.ts';
import type { Wanted } from './wanted.ts';

/** How long the gateway may take, in milliseconds. */
const ANSWER_MS = 30_000;
/** What a gateway without the plugin answers, and whatever else is no gateway. */
const NOT_FOUND = 404;
/** Longest answer, in bytes: a token of the longest kind, twice. */
const LONGEST_ANSWER = 262_144;

/** A credential travels encrypted, or does not leave the machine. */
function serverOf(given: string | undefined): URL {
  const text = given ?? process.env['POSTERN_SERVER'];
  if (text === undefined) throw new ConfigError('which gateway? Set POSTERN_SERVER or --server to its URL');
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // Messages of fetch repeat the URL.
  if (url && url.username + url.password !== '')
    throw new ConfigError('no user and password belong in the URL of the gateway');
  const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url?.hostname ?? '');
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && loopback)) return url;
  throw new ConfigError('the URL of the gateway has to be https://…, or http:// on this machine');
}

async function contentOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(
      `the file of the credential, ${file}, cannot be read: ${error.code ?? 'no reason'}`,
    );
  });
}

async function credentialOf(given: string | undefined): Promise<string> {
  const { POSTERN_CREDENTIAL: text, POSTERN_CREDENTIAL_FILE: named } = process.env;
  const file = given ?? (text === undefined ? named : undefined);
  if (file === undefined && text === undefined) {
    throw new ConfigError('who asks? Set POSTERN_CREDENTIAL, or POSTERN_CREDENTIAL_FILE or --credential');
  }
  const credential = (file === undefined ? (text ?? '') : await contentOf(file)).trim();
  if (/^[\x21-\x7e]+$/.test(credential)) return credential;
  throw new ConfigError(`${file ?? 'POSTERN_CREDENTIAL'} has no token and no API key in it`);
}

interface Answer {
  readonly status: number;
  /** Its JSON; undefined if it is none. */
  readonly said: unknown;
}

async function answerOf(server: URL, credential: string, body: object): Promise<Answer> {
  const base = server.href.endsWith('/') ? server : new URL(`${server.href}/`);
  const outbound = new Outbound();
  try {
    const answer = await outbound.request(new URL('v1/grants', base), {
      method: 'POST',
      headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return { status: answer.status, said: parsed(await answer.bytes(LONGEST_ANSWER)) };
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`${server.origin} does not answer: ${reasonOf(error as Error)}`);
  } finally {
    await outbound.close();
  }
}

function parsed(bytes: Uint8Array | undefined): unknown {
  try {
    return JSON.parse(Buffer.from(bytes ?? []).toString());
  } catch {
    return undefined;
  }
}

async function ask(server: URL, credential: string, body: object): Promise<CachedGrant> {
  const { status, said } = await answerOf(server, credential, body);
  if (status >= 200 && status <= 299 && isGrant(said)) return said;
  const { error } = (said ?? {}) as { readonly error?: unknown };
  if (typeof error === 'string' && status !== NOT_FOUND) throw new ConfigError(`no access: ${error}`);
  const answer = `${server.origin} answers ${status} ${STATUS_CODES[status] ?? ''}`.trim();
  throw new ConfigError(
    `no access: ${answer}; is that the admin address of a gateway, and does its config list access()?`,
  );
}

/**
 * What the gateway grants, or granted before and is good for 30 s yet.
 * @throws ConfigError with a sentence for whoever sits there; Error if the credential's file cannot be read
 */
export async function grantFor({
  server: given,
  credential: file,
  fresh,
  ...body
}: Wanted): Promise<CachedGrant> {
  const server = serverOf(given);
  const credential = await credentialOf(file);
  const who = createHash('sha256').update(credential).digest('hex');
  const cache = new TokenCache([server.href, who, body.database, body.role, body.duration, body.reason]);
  const known = fresh ? undefined : await cache.find();
  if (known) return known;
  const grant = await ask(server, credential, body);
  await cache.save(grant).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : 'unknown';
    process.stderr.write(`postern: the token is not kept for the next time: ${why}\n`);
  });
  return grant;
}

/** Prints the token. Resolves with exit code 0. @throws as {@link grantFor} */
export async function printToken(wanted: Wanted): Promise<number> {
  process.stdout.write(`${(await grantFor(wanted)).token}\n`);
  return 0;
}
