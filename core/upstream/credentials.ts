/** The credentials that the gateway logs in with: a password, a certificate made for the role, or none. */
import { createHmac, randomBytes } from 'node:crypto';
import type { DatabaseOptions, Login, Secret } from '../contract/database.ts';
import { GatewayError } from '../contract/errors.ts';
import type { RoleName } from '../contract/names.ts';
import type { MaybePromise } from '../contract/session.ts';
import { milliseconds } from '../contract/durations.ts';
import { abortable } from './deadline.ts';
import { credentialsMissing } from './refusals.ts';
import type { ClientCertificate } from './certificate/mint.ts';
import { RoleCertificates } from './certificate/role-certificates.ts';

/**
 * The user of the startup packet.
 * @throws GatewayError `insufficient_privilege` if the mapped role is the login role of `set-role`, which may become all others
 */
export function loginRoleOf(login: Login, role: RoleName): string {
  if (login.kind !== 'set-role') return role;
  if (login.user !== role) return login.user;
  throw new GatewayError('insufficient_privilege', `role "${role}" may not be used through the gateway`, {
    cause: new Error(`role "${role}" is the login role of 'set-role', which may become every other`),
  });
}

type PasswordLogin = Extract<Login, { kind: 'password' | 'set-role' }>;

/** The role whose password is needed. */
interface PasswordRequest {
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
async function passwordOf(request: PasswordRequest, signal: AbortSignal): Promise<string> {
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

// Finds the credentials of a login: a password, a certificate made for the role, or none.

/** The user and the secret of a login. */
export interface Credentials {
  readonly kind: Login['kind'];
  /** The user of the startup packet. */
  readonly user: string;
  /** Present for `password` and `set-role`. */
  readonly password?: string;
  /** Present for `certificate`: shown in the TLS handshake. */
  readonly certificate?: ClientCertificate;
  /** Equal for credentials that a server treats alike: by password, or by the authority of the certificate. Reveals no secret. */
  readonly fingerprint: string;
}

/** The login for which credentials are needed. */
interface CredentialsRequest {
  /** The key of `databases`, for the operator's message. */
  readonly entry: string;
  readonly login: DatabaseOptions['login'];
  readonly role: RoleName;
  /** Name on the server. */
  readonly database: string;
}

type CertificateLogin = Extract<Login, { kind: 'certificate' }>;

/** By files and lifetime: entries that share an authority share its certificates. */
const authorities = new Map<string, RoleCertificates>();

function certificatesOf({ ca, key, lifetime = '10m' }: CertificateLogin): RoleCertificates {
  const which = JSON.stringify([ca, key, lifetime]);
  const known = authorities.get(which) ?? new RoleCertificates({ ca, key }, milliseconds(lifetime));
  authorities.set(which, known);
  return known;
}

/**
 * The credentials for a role.
 * @throws GatewayError as {@link credentialsMissing} makes it if there are none, `insufficient_privilege` as
 * {@link loginRoleOf} does, or the signal's reason
 */
export async function credentialsOf(request: CredentialsRequest, signal: AbortSignal): Promise<Credentials> {
  const { login, entry, role } = request;
  const credentials = { kind: login.kind, user: loginRoleOf(login, role) };
  if (login.kind === 'trust') return { ...credentials, fingerprint: '' };
  if (login.kind !== 'certificate') {
    const password = await passwordOf({ ...request, login }, signal);
    return { ...credentials, password, fingerprint: fingerprintOf(password) };
  }
  const certificate = await abortable(certificatesOf(login).for(role), signal).catch((error: unknown) => {
    signal.throwIfAborted();
    throw credentialsMissing(`databases.${entry}.login gave no certificate`, error);
  });
  return { ...credentials, certificate, fingerprint: certificate.authority };
}

let key: Buffer = randomBytes(32);

/** From now on fingerprints can be compared with those of other processes that have the same key. Default: a random one. */
export function makeFingerprintsWith(other: Buffer): void {
  key = other;
}

function fingerprintOf(password: string): string {
  return createHmac('sha256', key).update(password).digest('base64');
}
