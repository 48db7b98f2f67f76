/** Which credential a client is asked for: the default of its listener, or the one that it chooses by a sign. */
import { findByServername } from '../client/server-name.ts';
import { chosenBySigns } from '../contract/credential.ts';
import type { Credential, CredentialChoice } from '../contract/credential.ts';
import { GatewayError } from '../contract/errors.ts';
import type { ListenOptions } from '../contract/listen.ts';
import type { Client, Startup } from '../contract/session.ts';

/** The startup parameter by which a client chooses. */
export const AUTH = 'postern.auth';

/** The signs of one choice, by what clients send. */
interface Signs {
  /** Values of {@link AUTH}; none where it is no parameter. */
  readonly parameters: readonly Credential[];
  /** In lower case. */
  readonly servernames: ReadonlyMap<string, Credential>;
  readonly users: ReadonlyMap<string, Credential>;
}

/** Read once per config, not per login. */
const read = new WeakMap<CredentialChoice, Signs>();

function signsOf(auth: CredentialChoice): Signs {
  const known = read.get(auth);
  if (known) return known;
  const others = chosenBySigns(auth);
  const chosen = others.filter(([, { parameter }]) => parameter === true).map(([credential]) => credential);
  const signs = {
    parameters: chosen.length === 0 ? [] : [auth.default, ...chosen],
    servernames: new Map(
      others.flatMap(([credential, { servernames = [] }]) =>
        servernames.map((name) => [name.toLowerCase(), credential] as const),
      ),
    ),
    users: new Map(
      others.flatMap(([credential, { users = [] }]) => users.map((user) => [user, credential] as const)),
    ),
  };
  read.set(auth, signs);
  return signs;
}

/** Values of {@link AUTH} that clients of a listener may send; none where it is no parameter there. */
export function parameterValues(auth: ListenOptions['auth']): readonly Credential[] {
  return auth === undefined || typeof auth === 'string' ? [] : signsOf(auth).parameters;
}

/**
 * Decides for one client by its startup packet: a parameter that it has sent counts most, then its server name, then its user.
 * @throws GatewayError `invalid_parameter_value` for a credential that cannot be chosen
 */
export function credentialFor(
  auth: ListenOptions['auth'],
  { tls }: Pick<Client, 'tls'>,
  { user, options = {} }: Pick<Startup, 'user' | 'options'>,
): Credential {
  if (auth === undefined || typeof auth === 'string') return auth ?? 'password';
  const { parameters, servernames, users } = signsOf(auth);
  const { [AUTH]: asked } = options;
  if (asked !== undefined && parameters.length > 0) return byParameter(asked, parameters);
  const bySni = tls?.servername === undefined ? undefined : findByServername(servernames, tls.servername);
  return bySni ?? users.get(user) ?? auth.default;
}

function byParameter(asked: string, values: readonly Credential[]): Credential {
  const found = values.find((credential) => credential === asked);
  if (found) return found;
  throw new GatewayError('invalid_parameter_value', `invalid value for parameter "${AUTH}"`, {
    hint: `Available values: ${values.join(', ')}.`,
  });
}
