/** Which credential a client is asked for: the default of its listener, or the one that it chooses by a sign. */
import { findByServername } from '../client/server-name.ts';
import { CREDENTIALS } from '../credential.ts';
import type { Credential, CredentialChoice, CredentialSigns } from '../credential.ts';
import { GatewayError } from '../errors.ts';
import type { ListenOptions } from '../listen.ts';
import type { Client } from '../session.ts';

/** The startup parameter by which a client chooses. */
export const AUTH = 'postern.auth';

/** The credentials that may be chosen on a listener, with what chooses each. */
function choicesOf(auth: CredentialChoice): readonly (readonly [Credential, CredentialSigns])[] {
  return CREDENTIALS.flatMap((credential) => {
    const signs = auth[credential];
    return signs ? [[credential, signs] as const] : [];
  });
}

/** Values of {@link AUTH} that clients of a listener may send; none where it is no parameter there. */
export function parameterValues(auth: ListenOptions['auth']): readonly Credential[] {
  if (auth === undefined || typeof auth === 'string') return [];
  const chosen = choicesOf(auth).filter(([, { parameter }]) => parameter === true);
  return chosen.length === 0 ? [] : [auth.default, ...chosen.map(([credential]) => credential)];
}

/**
 * Decides for one client. A parameter that it has sent counts more than its server name.
 * @throws GatewayError `invalid_parameter_value` for a credential that cannot be chosen
 */
export function credentialFor(
  auth: ListenOptions['auth'],
  { tls }: Pick<Client, 'tls'>,
  { [AUTH]: asked }: Readonly<Record<string, string>>,
): Credential {
  if (auth === undefined || typeof auth === 'string') return auth ?? 'password';
  if (asked !== undefined) return byParameter(asked, parameterValues(auth));
  return bySni(auth, tls?.servername) ?? auth.default;
}

function byParameter(asked: string, values: readonly Credential[]): Credential {
  const found = values.find((credential) => credential === asked);
  if (found) return found;
  throw new GatewayError('invalid_parameter_value', `invalid value for parameter "${AUTH}"`, {
    hint: `Available values: ${values.join(', ')}.`,
  });
}

function bySni(auth: CredentialChoice, servername: string | undefined): Credential | undefined {
  if (servername === undefined) return undefined;
  const names = choicesOf(auth).flatMap(([credential, { servernames = [] }]) =>
    servernames.map((name) => [name.toLowerCase(), credential] as const),
  );
  return findByServername(new Map(names), servername);
}
