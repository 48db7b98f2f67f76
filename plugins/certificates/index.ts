/** Machines that have a certificate and no token: maps what a verified client certificate says to an identity and rules. */
import { GatewayError, shown } from '../../core/index.ts';
import type { ClientCertificate, Identity, Plugin, TokenRules } from '../../core/index.ts';
import { hints } from './hints.ts';
import { readAuthorities } from './authorities.ts';
import { namesOf } from './names.ts';
import type { CertificatesOptions } from './options.ts';
import { parsePolicy } from './policy.ts';
import type { Allowed, Policy } from './policy.ts';

export type { AllowOptions, CertificatesOptions, NameKind } from './options.ts';

/** What all these identities have in front of the name of their authority. */
const ISSUER = 'certificate:';
/** How long before its end a session gets a notice, in milliseconds. */
const NOTICE_MS = 60_000;

const EXPIRED = new GatewayError('admin_shutdown', 'the client certificate has expired', {
  hint: 'Connect again with a certificate that is good.',
});

/** Why somebody is not let in, for the log. */
class Refused extends Error {}

interface Found {
  readonly subject: string;
  readonly allowed: Allowed;
}

/** The first entry that means one of the names. @throws Refused */
function find(certificate: ClientCertificate, authority: string | undefined, policy: Policy): Found {
  const names = namesOf(certificate, policy.by, policy.trustDomain);
  if ('why' in names) throw new Refused(`the certificate ${names.why}`);
  for (const allowed of policy.allow) {
    if (allowed.authorities && !(authority !== undefined && allowed.authorities.includes(authority)))
      continue;
    const subject = names.find(allowed.means);
    if (subject !== undefined) return { subject, allowed };
  }
  const of = authority === undefined ? '' : ` of authority ${authority}`;
  throw new Refused(
    `certificates.allow has no entry for ${shown(names.length === 1 ? names[0] : names)}${of}`,
  );
}

type Authorities = ReadonlyMap<string, string> | undefined;

/** The name of who has signed it; undefined where authorities have no names. @throws Refused */
function authorityOf({ authority, issuer }: ClientCertificate, named: Authorities): string | undefined {
  if (!named) return undefined;
  const name = authority === undefined ? undefined : named.get(authority);
  if (name !== undefined) return name;
  throw new Refused(`${shown(issuer)}, who has signed it, is none of certificates.authorities`);
}

interface Stated {
  readonly identity: Identity;
  readonly rules: TokenRules;
}

/** @throws Refused */
function stated(certificate: ClientCertificate, named: Authorities, policy: Policy): Stated {
  const authority = authorityOf(certificate, named);
  const { subject, allowed } = find(certificate, authority, policy);
  const issuer = `${ISSUER}${authority ?? ''}`;
  const { notAfter: expiresAt } = certificate;
  const exp = Math.floor(expiresAt.getTime() / 1_000);
  const claims = Object.freeze({ ...allowed.claims, iss: issuer, sub: subject, exp, certificate });
  return { identity: { issuer, subject, expiresAt, claims }, rules: allowed.rules };
}

/**
 * Maps the verified certificate of a machine to an identity with claims and rules; the session ends when the certificate does. For listeners
 * that take the credential `'certificate'`.
 *
 * @place 7 above the plugins that need `identity`
 * @throws ConfigError that names the option, such as `certificates.allow[0].name`
 * @example certificates({ by: 'uri', trustDomain: 'example.org', allow: [{ name: 'spiffe://example.org/billing', claims: { role: 'writer' } }] })
 */
export function certificates(
  options: CertificatesOptions,
): Plugin<never, 'identity' | 'rules', 'certificates', 'certificate'> {
  const policy = parsePolicy(options);
  let named: Authorities;
  return {
    name: 'certificates',
    options,
    credentials: hints.credentials,
    provides: hints.provides,
    setup({ directory }) {
      if (policy.authorities) named = readAuthorities(policy.authorities, directory);
    },
    onAuth(session) {
      const { client, startup } = session;
      const certificate = client.tls?.certificate;
      try {
        if (!certificate) throw new Refused('the client has shown none');
        if (policy.authorities && !named) throw new Error('certificates: setup has not run');
        const { identity, rules } = stated(certificate, named, policy);
        session.establish('identity', identity);
        session.establish('rules', rules);
        session.endAt(identity.expiresAt, EXPIRED, { noticeMs: NOTICE_MS });
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        const message = `certificate authentication failed for user "${startup.user}"`;
        throw new GatewayError('invalid_authorization_specification', message, { cause: error });
      }
    },
  };
}
