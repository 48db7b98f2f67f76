/** Finds the credentials of a login: a password, a certificate made for the role, or none. */
import { createHmac, randomBytes } from 'node:crypto';
import type { DatabaseOptions, Login } from '../database.ts';
import { milliseconds } from '../durations.ts';
import type { RoleName } from '../names.ts';
import { abortable } from './deadline.ts';
import type { ClientCertificate } from './certificate/mint.ts';
import { RoleCertificates } from './certificate/role-certificates.ts';
import { loginRoleOf } from './login-role.ts';
import { passwordOf } from './passwords.ts';
import { credentialsMissing } from './refusals.ts';

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
export interface CredentialsRequest {
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

const OWN_KEY = randomBytes(32);

function fingerprintOf(password: string): string {
  return createHmac('sha256', OWN_KEY).update(password).digest('base64');
}
