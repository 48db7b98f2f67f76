/** The five places keys come from, each with the pace at which it may be asked. */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { proxyFor } from '../../core/index.ts';
import { configurationUrl, discoverKeys, parseDocument } from './discovery.ts';
import { download, MAX_DOCUMENT_BYTES } from './download.ts';
import type { DownloadTrust } from './download.ts';
import type { KeysFrom } from './options.ts';

/** How often a source is asked, in milliseconds. */
export interface Pace {
  /** In the background, after an answer. */
  readonly refresh: number;
  /** A login waits for a new answer if the last question is older than this. */
  readonly wait: number;
  /** At the soonest for a key that is not in the set, and the first pause after a failure that left an old set in use. */
  readonly unknown: number;
  /** The first pause after a failure while there is no set at all. */
  readonly retry: number;
}

/** One place keys come from. */
export interface KeySource {
  readonly kind: 'url' | 'discovery' | 'file' | 'inline' | 'function';
  /** Equal ids are the same place; absent where that cannot be told. */
  readonly id?: string;
  readonly pace: Pace;
  /** How long a question may take, in milliseconds. Default 5 000. */
  readonly mostMs?: number;
  /** A file gives the same object while it has not changed. @throws whatever went wrong; gives up when `signal` aborts */
  load(signal: AbortSignal): Promise<unknown>;
}

/** Clients can make a gateway ask an issuer at most every 30 s, whatever they send. */
const URL_PACE: Pace = { refresh: 300_000, wait: Infinity, unknown: 30_000, retry: 1_000 };
const FILE_PACE: Pace = { refresh: 30_000, wait: 1_000, unknown: 0, retry: 1_000 };
/** A function is asked by every login, so a key unknown to its last answer is unknown. */
const FUNCTION_PACE: Pace = { refresh: 30_000, wait: 0, unknown: 1_000, retry: 1_000 };
const NEVER: Pace = { refresh: Infinity, wait: Infinity, unknown: Infinity, retry: Infinity };

/** Files by which a source is asked, in absolute paths. */
interface TrustFiles {
  readonly ca: string | undefined;
  readonly bearer: string | undefined;
}

function fromUrl(url: URL, files: TrustFiles): KeySource {
  return {
    kind: 'url',
    id: `${url.href} ${namesOf(files)}`,
    pace: URL_PACE,
    load: async (signal) => parseDocument(await download(url, signal, await trustIn(files))),
  };
}

function fromDiscovery(issuer: string, files: TrustFiles): KeySource {
  return {
    kind: 'discovery',
    id: `discovery ${namesOf(files)}`,
    pace: URL_PACE,
    load: async (signal) => discoverKeys(issuer, signal, await trustIn(files)),
  };
}

function namesOf({ ca, bearer }: TrustFiles): string {
  return bearer === undefined ? (ca ?? '') : `${ca ?? ''} ${bearer}`;
}

async function tokenIn(file: string): Promise<string> {
  const token = (await readFile(file, 'utf8')).trim();
  if (token === '') throw new Error(`there is no token in ${file}`);
  return token;
}

/** Read each time, so that they can be renewed in place. */
async function trustIn({ ca, bearer }: TrustFiles): Promise<DownloadTrust> {
  return {
    ca: ca === undefined ? undefined : await readFile(ca),
    bearer: bearer === undefined ? undefined : await tokenIn(bearer),
  };
}

function fromFile(file: string): KeySource {
  let last: { readonly bytes: Buffer; readonly document: unknown } | undefined;
  return {
    kind: 'file',
    id: file,
    pace: FILE_PACE,
    load: async (signal) => {
      const { size } = await stat(file);
      if (size > MAX_DOCUMENT_BYTES) throw new Error(`the file is longer than ${MAX_DOCUMENT_BYTES} bytes`);
      const bytes = await readFile(file, { signal });
      // Tokens with unknown keys have it read again and again: that must not cost a parse of every key.
      if (!last?.bytes.equals(bytes)) last = { bytes, document: parseDocument(bytes) };
      return last.document;
    },
  };
}

/** What {@link keySource} looks at. */
export interface KeySourceOptions {
  readonly issuer: string;
  /** Default: discovery. */
  readonly jwks?: KeysFrom | undefined;
  /** Default: the system's authorities. */
  readonly ca?: string | undefined;
  /** Default: no credential is sent. */
  readonly bearerFile?: string | undefined;
}

/**
 * Finds the source an issuer's options mean. Relative files start at `directory`.
 * @throws ConfigError for a proxy in the environment that is none
 */
export function keySource(options: KeySourceOptions, directory: string): KeySource {
  const { issuer, jwks: from, ca, bearerFile } = options;
  const absolute = (file?: string) => (file === undefined ? undefined : path.resolve(directory, file));
  const files = { ca: absolute(ca), bearer: absolute(bearerFile) };
  if (from === undefined) {
    // A proxy that is none stops the boot, and not each login.
    proxyFor(configurationUrl(issuer));
    return fromDiscovery(issuer, files);
  }
  if (typeof from === 'function') {
    return { kind: 'function', pace: FUNCTION_PACE, load: async () => from() };
  }
  if (typeof from !== 'string') return { kind: 'inline', pace: NEVER, load: () => Promise.resolve(from) };
  if (!/^https?:\/\//i.test(from)) return fromFile(path.resolve(directory, from));
  proxyFor(new URL(from));
  return fromUrl(new URL(from), files);
}
