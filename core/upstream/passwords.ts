/** Finds the password with which the gateway logs in. */
import type { Login, Secret } from '../database.ts';
import type { MaybePromise } from '../session.ts';
import { abortable } from './deadline.ts';
import { credentialsMissing } from './refusals.ts';

type PasswordLogin = Extract<Login, { kind: 'password' | 'set-role' }>;

/** The role whose password is needed. */
export interface PasswordRequest {
  /** The key of `databases`, for the operator's message. */
  readonly entry: string;
  readonly login: PasswordLogin;
  /** The mapped role. */
  readonly role: string;
  /** Name on the server. */
  readonly database: string;
}

const valueOf = (secret: Secret | undefined): MaybePromise<string | undefined> =>
  typeof secret === 'function' ? secret() : secret;

function lookUp({ login, role, database }: PasswordRequest): MaybePromise<string | undefined> {
  if (login.kind === 'set-role') return valueOf(login.password);
  if (typeof login.passwords === 'function') return login.passwords(role, database);
  return valueOf(Object.hasOwn(login.passwords, role) ? login.passwords[role] : undefined);
}

/**
 * The password of a role, from the config's `login.passwords`, or that of the login role of `set-role`.
 * @throws GatewayError as {@link credentialsMissing} makes it if there is none or its source failed
 */
export async function passwordOf(request: PasswordRequest, signal: AbortSignal): Promise<string> {
  const { entry, login, role } = request;
  const [option, user] = login.kind === 'set-role' ? ['password', login.user] : ['passwords', role];
  const where = `databases.${entry}.login.${option}`;
  const looked = new Promise<string | undefined>((resolve) => resolve(lookUp(request)));
  const password = await abortable(looked, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    throw credentialsMissing(`${where} failed for role "${user}"`, error ?? 'no reason');
  });
  if (typeof password === 'string' && password !== '' && !password.includes('\0')) return password;
  const why =
    password === undefined || password === null ? 'has no password' : 'gave an empty or unusable password';
  throw credentialsMissing(`${where} ${why} for role "${user}"`);
}
