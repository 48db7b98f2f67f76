/** The options of `certificates()`, checked once at boot. */
import { badOption, readChoice, readList, readObject, readText, readTexts } from '../../core/index.ts';
import type { TokenRules } from '../../core/index.ts';
import { readName } from './name-pattern.ts';
import type { NamePattern } from './name-pattern.ts';
import { TRUST_DOMAIN } from './names.ts';
import type { AllowOptions, CertificatesOptions, NameKind } from './options.ts';
import { readRules } from './rules.ts';

/** An entry of `allow`, checked. */
export interface Allowed {
  readonly means: NamePattern;
  /** Names of authorities; undefined: each. */
  readonly authorities: readonly string[] | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly rules: TokenRules;
}

/** The whole policy. */
export interface Policy {
  readonly by: NameKind;
  readonly trustDomain: string | undefined;
  /** Files by the names of authorities; undefined: all are one. */
  readonly authorities: Readonly<Record<string, string>> | undefined;
  readonly allow: readonly Allowed[];
}

const KINDS: readonly NameKind[] = ['uri', 'dns', 'commonName', 'subject'];
/** They become a part of an issuer. */
const AUTHORITY = /^[a-z0-9._-]+$/;
/** Claims that the certificate itself fills. */
const OWN_CLAIMS = ['iss', 'sub', 'exp', 'certificate'];

function trustDomainOf({ by, trustDomain }: CertificatesOptions): string | undefined {
  const path = 'certificates.trustDomain';
  if (trustDomain === undefined) return undefined;
  if (by !== 'uri') badOption(path, "goes with by: 'uri'");
  const text = readText(path, trustDomain);
  return TRUST_DOMAIN.test(text)
    ? text
    : badOption(path, "a trust domain is needed, without scheme and path, such as 'example.org'");
}

function authoritiesOf(given: CertificatesOptions['authorities']): Policy['authorities'] {
  if (given === undefined) return undefined;
  const path = 'certificates.authorities';
  const files = Object.entries(readObject<Record<string, string>>(path, given, Object.keys(given ?? {})));
  if (files.length === 0) badOption(path, 'at least one is needed');
  for (const [name, file] of files) {
    if (!AUTHORITY.test(name)) badOption(`${path}['${name}']`, 'a name of a-z 0-9 . _ - is needed');
    readText(`${path}.${name}`, file, 'the path of a PEM file');
  }
  return Object.fromEntries(files);
}

function claimsOf(path: string, given: unknown): Allowed['claims'] {
  if (given === undefined) return {};
  const claims = readObject<Record<string, unknown>>(path, given, Object.keys(given ?? {}));
  const own = OWN_CLAIMS.find((name) => Object.hasOwn(claims, name));
  return own === undefined ? claims : badOption(`${path}.${own}`, 'is what the certificate says');
}

type Around = Pick<Policy, 'by' | 'trustDomain' | 'authorities'>;

function readPattern(path: string, value: unknown, { by, trustDomain }: Around): NamePattern {
  const pattern = readName(path, value, by);
  if (trustDomain !== undefined && !readText(path, value).startsWith(`spiffe://${trustDomain}/`))
    badOption(path, `an id that begins with spiffe://${trustDomain}/ is needed`);
  return pattern;
}

function readAllowed(path: string, value: unknown, around: Around): Allowed {
  const given = readObject<AllowOptions>(path, value, ['name', 'authority', 'claims', 'rules']);
  const { name, authority, claims, rules } = given;
  const patterns = Array.isArray(name)
    ? readList(`${path}.name`, name, (at, one) => readPattern(at, one, around), 'names')
    : [readPattern(`${path}.name`, name, around)];
  const authorities = authority === undefined ? undefined : readTexts(`${path}.authority`, authority);
  const strange = authorities?.find((one) => !Object.hasOwn(around.authorities ?? {}, one));
  if (strange !== undefined)
    badOption(`${path}.authority`, `"${strange}" is none of certificates.authorities`);
  return {
    means: (one) => patterns.some((pattern) => pattern(one)),
    authorities,
    claims: claimsOf(`${path}.claims`, claims),
    rules: rules === undefined ? {} : readRules(`${path}.rules`, rules),
  };
}

/** Checks the options. @throws ConfigError that names the option, such as `certificates.allow[0].name` */
export function parsePolicy(given: CertificatesOptions): Policy {
  const known = ['by', 'trustDomain', 'authorities', 'allow'] as const;
  const options = readObject<CertificatesOptions>('certificates', given, known);
  const around = {
    by: readChoice('certificates.by', options.by, KINDS),
    trustDomain: trustDomainOf(options),
    authorities: authoritiesOf(options.authorities),
  };
  const allow = readList('certificates.allow', options.allow, (path, one) => readAllowed(path, one, around));
  return { ...around, allow };
}
