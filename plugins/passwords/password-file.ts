/** A list of passwords in memory: the file is read again when it has changed, once it is there as a whole. */
import { createHmac, randomBytes } from 'node:crypto';
import { constants, open } from 'node:fs/promises';
import {
  ConfigError,
  DEFAULT_ITERATIONS,
  FollowedFile,
  makeScramVerifier,
  mockScramVerifier,
  shown,
} from '../../core/index.ts';
import type { Disposer, Logger, ScramVerifier } from '../../core/index.ts';
import type { KnownPassword, PasswordSource } from './source.ts';
import { parseUserlist } from './userlist.ts';
import type { ListedUser } from './userlist.ts';

/** Largest file, in bytes. */
const MAX_BYTES = 16_777_216;
/** Writing by the group, and anything by others: whoever reads verifiers can guess passwords. */
const TOO_WIDE = 0o027;
/** So many names stand in a message. */
const NAMED = 5;

/** A password and what was made of it. */
interface Made {
  readonly digest: string;
  readonly verifier: ScramVerifier;
}

/** What is kept of a file. */
interface PasswordList {
  readonly users: ReadonlyMap<string, KnownPassword>;
  /** Of passwords in plain text. */
  readonly made: ReadonlyMap<string, Made>;
}

/** One file, for all plugins that use it. */
export class PasswordFile implements PasswordSource {
  readonly #file: string;
  readonly #secret: Buffer;
  /** Tells passwords that have not changed without keeping them. */
  readonly #key = randomBytes(32);
  #users: ReadonlyMap<string, KnownPassword> = new Map();
  #made: ReadonlyMap<string, Made> = new Map();
  readonly #followed: FollowedFile<PasswordList>;
  #log: Logger | undefined;
  iterations = DEFAULT_ITERATIONS;

  /** `file` is absolute. `secret` makes the salts of passwords in plain text, as it makes those of users that there are not. */
  constructor(file: string, secret: Buffer) {
    this.#file = file;
    this.#secret = secret;
    this.#followed = new FollowedFile(file, {
      read: () => this.#read(),
      taken: (list) => this.#take(list),
      refused: (error) => this.#refuse(error),
      closed: () => (this.#users = this.#made = new Map<string, never>()),
    });
  }

  /** Reads the file unless it is in use, and follows it until everybody has let go. @throws ConfigError if it cannot be used */
  async open(log: Logger): Promise<Disposer> {
    this.#log = log;
    try {
      return await this.#followed.open();
    } catch (error) {
      throw new ConfigError(`passwords.file: ${this.#file}: ${reasonOf(error)}`);
    }
  }

  find(user: string): KnownPassword | undefined {
    return this.#users.get(user);
  }

  /** Names in the file. */
  names(): Iterable<string> {
    return this.#users.keys();
  }

  /** Makes the new list beside the old one. */
  async #read(): Promise<PasswordList> {
    return this.#verifiersOf(await usersInFile(this.#file));
  }

  #take({ users, made }: PasswordList): void {
    this.#users = users;
    this.#made = made;
    this.iterations = mostCommon([...users.values()].map(({ verifier }) => verifier.iterations));
    this.#log?.info({ file: this.#file, users: users.size, plaintext: made.size }, 'passwords read');
  }

  #refuse(error: unknown): void {
    const line = { file: this.#file, reason: reasonOf(error) };
    this.#log?.error(line, 'passwords not read: those before stay in use');
  }

  /** One after the other: the threads that derive them are those of all others. */
  async #verifiersOf(listed: ReadonlyMap<string, ListedUser>): Promise<PasswordList> {
    const [users, made] = [new Map<string, KnownPassword>(), new Map<string, Made>()];
    for (const [name, user] of listed) {
      if (user.kind === 'verifier') users.set(name, { verifier: user.verifier });
      if (user.kind !== 'plain') continue;
      const digest = createHmac('sha256', this.#key).update(user.password).digest('base64');
      const before = this.#made.get(name);
      const verifier =
        before?.digest === digest ? before.verifier : await this.#verifierOf(name, user.password);
      made.set(name, { digest, verifier });
      users.set(name, { verifier });
    }
    return { users, made };
  }

  /** A random salt would be another one in each gateway and after each start, and so tell the user from those that there are not. */
  #verifierOf(name: string, password: string): Promise<ScramVerifier> {
    const { iterations, salt } = mockScramVerifier(this.#secret, name, DEFAULT_ITERATIONS);
    return makeScramVerifier(password, iterations, salt);
  }
}

/** The users of a file. @throws Error where it cannot be read or used: others can read it, or it has md5 */
export async function usersInFile(file: string): Promise<ReadonlyMap<string, ListedUser>> {
  const listed = parseUserlist(await textOf(file));
  refuseMd5(listed);
  return listed;
}

/** @throws Error that names them, with the SQL that makes verifiers */
function refuseMd5(listed: ReadonlyMap<string, ListedUser>): void {
  const users = [...listed].filter(([, { kind }]) => kind === 'md5');
  if (users.length === 0) return;
  const named = users.slice(0, NAMED).map(([name, { line }]) => `${shown(name)} (line ${line})`);
  const more = users.length > NAMED ? ` and ${users.length - NAMED} more` : '';
  throw new Error(
    `md5 cannot be used for SCRAM: ${named.join(', ')}${more}. Each sets its password again, the same if it likes, with \\password in psql, ` +
      `or: set password_encryption = 'scram-sha-256'; alter role … password '…'; ` +
      `and the list gets what select rolname, rolpassword from pg_authid then has`,
  );
}

/** @throws Error where others can read it */
async function textOf(file: string): Promise<string> {
  // A pipe without a writer would keep one of libuv's threads, and the gateway from its end.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new Error('it is not a file');
    if ((stats.mode & TOO_WIDE) !== 0)
      throw new Error('others can read it, or its group write it (chmod 640, or 600)');
    if (stats.size > MAX_BYTES) throw new Error(`it is longer than ${MAX_BYTES} bytes`);
    return new TextDecoder('utf-8', { fatal: true }).decode(await handle.readFile());
  } finally {
    await handle.close();
  }
}

function mostCommon(counts: readonly number[], fallback = DEFAULT_ITERATIONS): number {
  const times = new Map<number, number>();
  for (const count of counts) times.set(count, (times.get(count) ?? 0) + 1);
  return [...times].sort(([, one], [, other]) => other - one)[0]?.[0] ?? fallback;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : 'it cannot be read';
}
