/** Finds the password with which the gateway logs in as a role. */
import type { Login, Secret } from '../config.ts';
import type { MaybePromise } from '../session.ts';
import { abortable } from './deadline.ts';
import { loginRefused } from './refusals.ts';

type PasswordLogin = Extract<Login, { kind: 'password' }>;

/** Whose password is wanted. */
export interface PasswordRequest {
  /** The key of `databases`, for the operator's message. */
  readonly entry: string;
  readonly role: string;
  /** Name on the server. */
  readonly database: string;
}

function secretOf(login: PasswordLogin, request: PasswordRequest): MaybePromise<string | undefined> {
  if (typeof login.passwords === 'function') return login.passwords(request.role, request.database);
  const table: Readonly<Record<string, Secret>> = login.passwords;
  const secret = Object.hasOwn(table, request.role) ? table[request.role] : undefined;
  return typeof secret === 'function' ? secret() : secret;
}

/**
 * The password of a role, from the config's `login.passwords`.
 * @throws GatewayError `sqlserver_rejected_establishment_of_sqlconnection` if there is none or its source failed
 */
export async function passwordOf(
  login: PasswordLogin,
  request: PasswordRequest,
  signal: AbortSignal,
): Promise<string> {
  const where = `databases.${request.entry}.login.passwords`;
  const looked = new Promise<string | undefined>((resolve) => resolve(secretOf(login, request)));
  const password = await abortable(looked, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    throw loginRefused(new Error(`${where} failed for role "${request.role}"`, { cause: error }));
  });
  if (typeof password === 'string' && password !== '' && !password.includes('\0')) return password;
  const why = password === undefined ? 'has no password' : 'gave an empty or unusable password';
  throw loginRefused(new Error(`${where} ${why} for role "${request.role}"`));
}
