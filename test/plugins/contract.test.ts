/** What every plugin folder has to keep, whatever its policy is: a new one is covered by adding its row here. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../core/index.ts';
import type { AnyPlugin } from '../../core/index.ts';
import * as accessFolder from '../../plugins/access/index.ts';
import * as auditFolder from '../../plugins/audit/index.ts';
import * as certificatesFolder from '../../plugins/certificates/index.ts';
import * as claimsFolder from '../../plugins/claims/index.ts';
import * as consoleFolder from '../../plugins/console/index.ts';
import * as ipFilterFolder from '../../plugins/ip-filter/index.ts';
import * as jwtFolder from '../../plugins/jwt/index.ts';
import * as limitsFolder from '../../plugins/limits/index.ts';
import * as operationsFolder from '../../plugins/operations/index.ts';
import * as passwordsFolder from '../../plugins/passwords/index.ts';
import * as rateLimitFolder from '../../plugins/rate-limit/index.ts';
import * as rolesFolder from '../../plugins/roles/index.ts';
import * as tenantFolder from '../../plugins/tenant/index.ts';
import * as tracingFolder from '../../plugins/tracing/index.ts';
import { knownPlugins } from '../../core/config/known-plugins.ts';
import { factoryName } from '../../core/config/own-modules.ts';
import { issuer } from '../support/token.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PLUGINS = join(ROOT, 'plugins');

/** One plugin folder. */
interface Row {
  /** What its index.ts exports. */
  readonly exports: object;
  /** Options with which the factory must succeed. */
  readonly good: unknown;
  /** Options with which it must fail, and how the message begins: the option's path. */
  readonly bad: readonly (readonly [options: unknown, path: string])[];
}

const good = issuer({ algorithms: ['ES256'] }).options;
const withIssuer = (more: object) => ({ issuers: [{ ...good, ...more }] });
const TENANT = '0b8c54c9-7d1c-4a39-9d21-5e8f2f7d5a10';
const withTenants = (tenants: unknown) => ({
  issuers: [{ ...good, issuer: 'https://id.example/{tenantid}', tenants }],
});
const allow = { claim: 'role', allow: ['reader'] };
const secretKey = { kty: 'oct', k: 'c2VjcmV0' };

const own = accessFolder.ownIssuer({ issuer: 'https://postern.example' });
const rule = { who: { apiKey: 'ci' }, databases: ['orders'], roles: ['reader'] };
const key = { name: 'ci', sha256: '0'.repeat(64) };
const desk = {
  issuer: own,
  callers: { issuers: ['https://id.example'], apiKeys: [key] },
  policy: [rule],
  connect: { host: 'db.example' },
};
const withRule = (more: object) => ({ ...desk, policy: [rule, { ...rule, ...more }] });

const ROWS: Readonly<Record<string, Row>> = {
  access: {
    exports: accessFolder,
    good: desk,
    bad: [
      [undefined, 'access: '],
      [{ ...desk, polices: [] }, 'access.polices: no such option'],
      [{ ...desk, issuer: { issuer: 'x' } }, 'access.issuer: what ownIssuer'],
      [{ ...desk, callers: {} }, 'access.callers: issuers or apiKeys are needed'],
      [{ ...desk, callers: { issuers: [] } }, 'access.callers.issuers: '],
      [{ ...desk, callers: { issuers: [own.issuer] } }, 'access.callers.issuers: what the gateway has'],
      [{ ...desk, callers: { apiKeys: [{ ...key, sha256: 'x' }] } }, 'access.callers.apiKeys[0].sha256: '],
      [{ ...desk, callers: { apiKeys: [{ ...key, name: 'a b' }] } }, 'access.callers.apiKeys[0].name: '],
      [{ ...desk, callers: { apiKeys: [{ ...key, key: 'x' }] } }, 'access.callers.apiKeys[0].key: no such'],
      [
        { ...desk, callers: { apiKeys: [{ ...key, expires: 'soon' }] } },
        'access.callers.apiKeys[0].expires: ',
      ],
      [{ ...desk, callers: { apiKeys: [key, key] } }, "access.callers.apiKeys: 'ci' comes twice"],
      [{ ...desk, policy: [] }, 'access.policy: '],
      [withRule({ who: [] }), 'access.policy[1].who: '],
      [withRule({ who: { apiKey: 'cd' } }), 'access.policy[1].who[0].apiKey: expected one of ci'],
      [withRule({ who: { claim: 'groups' } }), 'access.policy[1].who[0].value: '],
      [withRule({ who: { claim: 'a', value: 'b', issuer: 'c' } }), 'access.policy[1].who[0].issuer: '],
      [withRule({ who: { apiKey: 'ci', claim: 'a' } }), 'access.policy[1].who[0]: '],
      [withRule({ databases: 'orders' }), 'access.policy[1].databases: '],
      [withRule({ roles: ['reader', 'pg_monitor'] }), 'access.policy[1].roles[1]: '],
      [withRule({ maxDuration: '1y' }), 'access.policy[1].maxDuration: '],
      [withRule({ maxDuration: '13h' }), 'access.policy[1].maxDuration: at most maxLifetime'],
      [withRule({ reason: true }), 'access.policy[1].reason: '],
      [withRule({ rules: { databases: [] } }), 'access.policy[1].rules.databases: no such option'],
      [withRule({ rules: { cidrs: ['10.0.0.1/8'] } }), 'access.policy[1].rules.cidrs[0]: '],
      [withRule({ rules: { maxConnections: 0 } }), 'access.policy[1].rules.maxConnections: '],
      [withRule({ rules: { maxSession: '1' } }), 'access.policy[1].rules.maxSession: '],
      [
        withRule({ rules: { windows: [{ days: ['mon'], from: '08:00', to: '18:00', tz: 'Mars' }] } }),
        'access.policy[1].rules.windows[0].tz: ',
      ],
      [{ ...desk, connect: {} }, 'access.connect.host: '],
      [{ ...desk, connect: { host: 'db.example:6432' } }, 'access.connect.host: '],
      [{ ...desk, connect: { host: 'a', sslmode: 'prefer' } }, 'access.connect.sslmode: '],
      [{ ...desk, rate: '0/s' }, 'access.rate: '],
      [{ ...desk, roleClaim: 'sub' }, 'access.roleClaim: '],
      [{ ...desk, rulesClaim: 'role' }, 'access.rulesClaim: '],
    ],
  },
  audit: {
    exports: auditFolder,
    good: {
      sink: { file: 'audit.jsonl', fsync: 'always', rotate: { age: '1d', keep: 7 } },
      key: 'k'.repeat(32),
    },
    bad: [
      [undefined, 'audit: an object is needed'],
      [{}, 'audit.sink: '],
      [{ sink: 'file' }, 'audit.sink: '],
      [{ sink: 'stdout', sinks: [] }, 'audit.sinks: no such option'],
      [{ sink: {} }, 'audit.sink.file: '],
      [{ sink: { file: '' } }, 'audit.sink.file: '],
      [{ sink: { file: 'a', mode: 1 } }, 'audit.sink.mode: no such option'],
      [{ sink: { file: 'a', fsync: 'often' } }, 'audit.sink.fsync: '],
      [{ sink: { file: 'a', rotate: { size: 0 } } }, 'audit.sink.rotate.size: '],
      [{ sink: { file: 'a', rotate: { age: '1y' } } }, 'audit.sink.rotate.age: '],
      [{ sink: { file: 'a', rotate: { age: '60d' } } }, 'audit.sink.rotate.age: '],
      [{ sink: { file: 'a', rotate: { keep: -1 } } }, 'audit.sink.rotate.keep: '],
      [{ sink: { otlp: 'collector' } }, 'audit.sink.otlp: '],
      [{ sink: { otlp: 'ftp://collector' } }, 'audit.sink.otlp: '],
      [{ sink: { otlp: 'https://ada:secret@collector' } }, 'audit.sink.otlp: no user and password'],
      [{ sink: { otlp: 'http://collector', headers: { a: 1 } } }, 'audit.sink.headers.a: '],
      [{ sink: 'stdout', statements: true }, 'audit.statements: '],
      [{ sink: 'stdout', parameters: 'all' }, 'audit.parameters: '],
      [{ sink: 'stdout', onFailure: 'open' }, 'audit.onFailure: '],
      [{ sink: 'stdout', bufferBytes: 1 }, 'audit.bufferBytes: '],
      [{ sink: 'stdout', key: 'short' }, 'audit.key: '],
    ],
  },
  certificates: {
    exports: certificatesFolder,
    good: {
      by: 'dns',
      allow: [{ name: '*.example', claims: { role: 'reader' }, rules: { maxConnections: 1 } }],
    },
    // The others stand in certificates.test.ts.
    bad: [
      [undefined, 'certificates: an object is needed'],
      [{ by: 'dns', alow: [] }, 'certificates.alow: no such option'],
      [{ by: 'dns', allow: [] }, 'certificates.allow: a list'],
      [{ by: 'dns', allow: [{ name: '' }] }, 'certificates.allow[0].name: '],
      [{ by: 'dns', allow: [{ name: 'a', claims: 5 }] }, 'certificates.allow[0].claims: an object'],
      [{ by: 'dns', allow: [{ name: 'a', claims: null }] }, 'certificates.allow[0].claims: an object'],
      [{ by: 'dns', authorities: { a: 5 }, allow: [{ name: 'a' }] }, 'certificates.authorities.a: '],
      [{ by: 'dns', authorities: 5, allow: [{ name: 'a' }] }, 'certificates.authorities: an object'],
    ],
  },
  claims: {
    exports: claimsFolder,
    good: { key: 'k'.repeat(32) },
    bad: [
      ['x', 'claims: '],
      [{ secret: 'x' }, 'claims.secret: no such option'],
      [{ key: 'short' }, 'claims.key: '],
      [{ key: 1 }, 'claims.key: '],
      [{ setting: false }, 'claims.setting: '],
      [{ setting: 'claims' }, 'claims.setting: '],
      [{ setting: 'postern.claims' }, 'claims.setting: '],
      [{ select: [] }, 'claims.select: '],
      [{ select: ['sub', 1] }, 'claims.select[1]: '],
    ],
  },
  'ip-filter': {
    exports: ipFilterFolder,
    good: { allow: ['10.0.0.0/8', '::1'], countries: { database: 'x.mmdb', deny: ['KP'] } },
    bad: [
      [null, 'ipFilter: an object is needed'],
      [['10.0.0.0/8'], 'ipFilter: an object is needed'],
      [{ alow: [] }, 'ipFilter.alow: no such option'],
      [{ allow: [] }, 'ipFilter.allow: the list is empty: leave it out to allow everybody'],
      [
        { countries: { database: 'x.mmdb', allow: [], deny: ['DE'] } },
        'ipFilter.countries.allow: the list is empty: leave it out to allow all',
      ],
      [
        { asns: { database: 'x.mmdb', allow: [], unknown: 'deny' } },
        'ipFilter.asns.allow: the list is empty',
      ],
      [{ allow: '10.0.0.0/8' }, 'ipFilter.allow: a list of networks is needed'],
      [{ deny: ['10.0.0.0/8', 7] }, 'ipFilter.deny[1]: a text is needed'],
      [{ deny: ['::', '10.0.0.0/33'] }, "ipFilter.deny[1]: '10.0.0.0/33' has more than 32 bits"],
      [{ allow: ['10.1.2.3/8'] }, "ipFilter.allow[0]: '10.1.2.3/8' has bits set to the right of its mask"],
      [{ allow: ['010.0.0.0/8'] }, "ipFilter.allow[0]: '010.0.0.0/8' is no network"],
      [{ allow: ['office'] }, "ipFilter.allow[0]: 'office' is no network"],
      [{ countries: ['DE'] }, 'ipFilter.countries: an object is needed'],
      [{ countries: { deny: ['KP'] } }, 'ipFilter.countries.database: '],
      [{ countries: { database: 'x.mmdb' } }, 'ipFilter.countries: refuses nobody'],
      [{ countries: { database: 'x.mmdb', deny: 'KP' } }, 'ipFilter.countries.deny: a list of countries'],
      [{ countries: { database: 'x.mmdb', deny: ['KP', 'de'] } }, 'ipFilter.countries.deny[1]: '],
      [
        { countries: { database: 'x.mmdb', allow: ['UK'] } },
        "ipFilter.countries.allow[0]: 'UK' is not the code of ISO 3166-1: say 'GB'",
      ],
      [
        { countries: { database: 'x.mmdb', allow: ['QX'] } },
        "ipFilter.countries.allow[0]: 'QX' is no country",
      ],
      [
        { countries: { database: 'x.mmdb', deny: ['KP'], unknown: 'refuse' } },
        'ipFilter.countries.unknown: ',
      ],
      [{ asns: { database: 'x.mmdb', deny: [0] } }, 'ipFilter.asns.deny[0]: '],
      [{ asns: { database: 'x.mmdb', deny: [1, '64496'] } }, 'ipFilter.asns.deny[1]: '],
      [{ asns: { database: 'x.mmdb', allow: ['AS4294967296'] } }, 'ipFilter.asns.allow[0]: '],
    ],
  },
  jwt: {
    exports: jwtFolder,
    good: { issuers: [good] },
    bad: [
      [undefined, 'jwt: '],
      [{}, 'jwt.issuers: '],
      [{ issuers: [] }, 'jwt.issuers: '],
      [{ issuers: [good], issuer: 'x' }, 'jwt.issuer: no such option'],
      [{ issuers: [null] }, 'jwt.issuers[0]: '],
      [{ issuers: [good, good] }, 'jwt.issuers[1].issuer: '],
      [withIssuer({ issuer: '' }), 'jwt.issuers[0].issuer: '],
      [withIssuer({ audience: undefined }), 'jwt.issuers[0].audience: '],
      [withIssuer({ audience: [] }), 'jwt.issuers[0].audience: '],
      [withIssuer({ audience: ['a', 1] }), 'jwt.issuers[0].audience[1]: '],
      [withIssuer({ jwks: undefined, issuer: 'my-issuer' }), 'jwt.issuers[0].jwks: is needed'],
      [withIssuer({ jwks: undefined, issuer: 'http://id.example' }), 'jwt.issuers[0].jwks: is needed'],
      [withIssuer({ jwks: undefined, issuer: 'https://id.example/?a' }), 'jwt.issuers[0].jwks: is needed'],
      [withIssuer({ jwks: undefined, issuer: 'spiffe://id.example' }), 'jwt.issuers[0].jwks: is needed'],
      [withIssuer({ jwks: undefined, discovery: false }), 'jwt.issuers[0].jwks: is needed'],
      [withIssuer({ discovery: true }), 'jwt.issuers[0].discovery: jwks and discovery exclude'],
      [withIssuer({ discovery: 'https://id.example' }), 'jwt.issuers[0].discovery: '],
      [withIssuer({ oauth: 'openid' }), 'jwt.issuers[0].oauth: an object is needed'],
      [withIssuer({ oauth: {} }), 'jwt.issuers[0].oauth.scope: '],
      [withIssuer({ oauth: { scopes: 'a' } }), 'jwt.issuers[0].oauth.scopes: no such option'],
      [withIssuer({ oauth: { scope: 'a' }, issuer: 'http://id.example' }), 'jwt.issuers[0].oauth: '],
      [withIssuer({ oauth: { scope: 'a', discovery: 1 } }), 'jwt.issuers[0].oauth.discovery: '],
      [
        withIssuer({ oauth: { scope: 'a', discovery: 'https://x/.well-known/openid-configuration' } }),
        "jwt.issuers[0].oauth.discovery: is of the issuer 'https://x', not of 'https://id.example'",
      ],
      [withIssuer({ azp: [] }), 'jwt.issuers[0].azp: '],
      [withIssuer({ typ: ['JWT', 1] }), 'jwt.issuers[0].typ[1]: '],
      [withIssuer({ jwks: '' }), 'jwt.issuers[0].jwks: '],
      [
        withIssuer({ jwks: 'http://id.example/jwks.json' }),
        'jwt.issuers[0].jwks: "http://id.example" is not https',
      ],
      [withIssuer({ jwks: 'http://localhost.evil.example/' }), 'jwt.issuers[0].jwks: '],
      [withIssuer({ jwks: 'http://127.0.0.1.evil.example/' }), 'jwt.issuers[0].jwks: '],
      [withIssuer({ jwks: 'file:///etc/keys.json' }), 'jwt.issuers[0].jwks: '],
      [withIssuer({ jwks: 'https://' }), 'jwt.issuers[0].jwks: '],
      [withIssuer({ jwks: 'https://me:secret@id.example/' }), 'jwt.issuers[0].jwks: '],
      [withIssuer({ jwks: { keys: [] } }), 'jwt.issuers[0].jwks: no usable key'],
      [withIssuer({ jwks: { keys: [secretKey] } }), 'jwt.issuers[0].jwks: no usable key (private or secret)'],
      [withIssuer({ ca: 1 }), 'jwt.issuers[0].ca: '],
      [withIssuer({ algorithms: [] }), 'jwt.issuers[0].algorithms: '],
      [withIssuer({ algorithms: ['ES256', 'HS256'] }), 'jwt.issuers[0].algorithms[1]: "HS256"'],
      [withIssuer({ algorithms: ['none'] }), 'jwt.issuers[0].algorithms[0]: '],
      [withIssuer({ clockTolerance: 5 }), 'jwt.issuers[0].clockTolerance: '],
      [withIssuer({ clockTolerance: '61s' }), 'jwt.issuers[0].clockTolerance: at most 60 s'],
      [withIssuer({ maxLifetime: '1 day' }), 'jwt.issuers[0].maxLifetime: '],
      [withIssuer({ maxStale: 'long' }), 'jwt.issuers[0].maxStale: '],
      [withIssuer({ typ: '' }), 'jwt.issuers[0].typ: '],
      [withIssuer({ requiredClaims: 'email' }), 'jwt.issuers[0].requiredClaims: '],
      [withIssuer({ requiredClaims: [] }), 'jwt.issuers[0].requiredClaims: '],
      [withIssuer({ requiredClaims: {} }), 'jwt.issuers[0].requiredClaims: '],
      [withIssuer({ requiredClaims: null }), 'jwt.issuers[0].requiredClaims: '],
      [withIssuer({ requiredClaims: ['email', 1] }), 'jwt.issuers[0].requiredClaims[1]: '],
      [withIssuer({ requiredClaims: [{ hd: null }] }), 'jwt.issuers[0].requiredClaims[0].hd: '],
      [withIssuer({ requiredClaims: { hd: '' } }), 'jwt.issuers[0].requiredClaims.hd: '],
      [withIssuer({ requiredClaims: { hd: undefined } }), 'jwt.issuers[0].requiredClaims.hd: '],
      [withIssuer({ requiredClaims: { hd: [] } }), 'jwt.issuers[0].requiredClaims.hd: '],
      [withIssuer({ requiredClaims: { hd: ['a', {}] } }), 'jwt.issuers[0].requiredClaims.hd[1]: '],
      [withIssuer({ requiredClaims: { n: Number.NaN } }), 'jwt.issuers[0].requiredClaims.n: '],
      [withIssuer({ requiredClaims: { '': 'a' } }), 'jwt.issuers[0].requiredClaims: '],
      [withIssuer({ audienceClaim: '' }), 'jwt.issuers[0].audienceClaim: '],
      [withIssuer({ audienceClaim: ['client_id'] }), 'jwt.issuers[0].audienceClaim: '],
      [withIssuer({ bearerFile: 'token' }), 'jwt.issuers[0].bearerFile: only for keys that are fetched'],
      [withIssuer({ jwks: 'https://id.example/keys', bearerFile: '' }), 'jwt.issuers[0].bearerFile: '],
      [withIssuer({ jwks: 'keys.json', bearerFile: 'token' }), 'jwt.issuers[0].bearerFile: only for'],
      [withIssuer({ tenants: [TENANT] }), 'jwt.issuers[0].tenants: goes with {tenantid}'],
      [withIssuer({ issuer: 'https://id.example/{tenantid}' }), 'jwt.issuers[0].tenants: is needed'],
      [withTenants([]), 'jwt.issuers[0].tenants: '],
      [withTenants(TENANT), 'jwt.issuers[0].tenants: '],
      [withTenants([TENANT, 'common']), 'jwt.issuers[0].tenants[1]: the id of a tenant is needed'],
      [withTenants(['acme.example']), 'jwt.issuers[0].tenants[0]: the id of a tenant is needed'],
      [withTenants([TENANT.toUpperCase()]), 'jwt.issuers[0].tenants[0]: the id of a tenant is needed'],
      [withTenants([TENANT, TENANT]), `jwt.issuers[0].tenants[1]: "${TENANT}" comes twice`],
      [
        { issuers: [...withTenants([TENANT]).issuers, { ...good, issuer: `https://id.example/${TENANT}` }] },
        `jwt.issuers[1].issuer: "https://id.example/${TENANT}" comes twice`,
      ],
      [withIssuer({ jwksUri: 'https://id.example' }), 'jwt.issuers[0].jwksUri: no such option'],
      [{ issuers: [good], rulesClaim: '' }, 'jwt.rulesClaim: '],
      [{ issuers: [good], maxTokenBytes: 65_537 }, 'jwt.maxTokenBytes: '],
      [{ issuers: [good], maxTokenBytes: '16k' }, 'jwt.maxTokenBytes: '],
      [{ issuers: [good], cache: '' }, 'jwt.cache: '],
      [{ issuers: [good], onExpiry: 'never' }, 'jwt.onExpiry: '],
      [{ issuers: [good], grace: '5s' }, 'jwt.grace: '],
      [{ issuers: [good], onExpiry: 'finish-transaction', grace: '2h' }, 'jwt.grace: at most 3600 s'],
      [{ issuers: [good], notice: 60 }, 'jwt.notice: '],
      [{ issuers: [good], hint: '' }, 'jwt.hint: '],
      [{ issuers: [good], revocations: { path: 'x' } }, 'jwt.revocations.path: no such option'],
      [{ issuers: [good], revocations: { file: '' } }, 'jwt.revocations.file: '],
      [{ issuers: [good], revocations: { store: {} } }, 'jwt.revocations.store: '],
      [{ issuers: [good], revocations: { failOpen: 'yes' } }, 'jwt.revocations.failOpen: '],
      [{ issuers: [good], revocations: { limit: 0 } }, 'jwt.revocations.limit: '],
    ],
  },
  console: {
    exports: consoleFolder,
    good: { database: 'operators' },
    bad: [
      [[], 'console: '],
      [{ name: 'operators' }, 'console.name: no such option'],
      [{ database: '' }, 'console.database: '],
      [{ database: 1 }, 'console.database: '],
    ],
  },
  limits: {
    exports: limitsFolder,
    good: { maxConnections: { subject: 5 }, maxSession: '1h' },
    bad: [
      [[], 'limits: '],
      [{ max: 1 }, 'limits.max: no such option'],
      [{ maxConnections: 5 }, 'limits.maxConnections: '],
      [{ maxConnections: { subject: 0 } }, 'limits.maxConnections.subject: '],
      [{ maxConnections: { role: '5' } }, 'limits.maxConnections.role: '],
      [{ maxConnections: { user: 5 } }, 'limits.maxConnections.user: no such option'],
      [{ maxSession: 60 }, 'limits.maxSession: '],
      [{ maxSession: 'long' }, 'limits.maxSession: '],
      [{ idle: '0s' }, 'limits.idle: '],
      [{ timeouts: { statement: '25d' } }, 'limits.timeouts.statement: at most'],
      [{ timeouts: { query: '1s' } }, 'limits.timeouts.query: no such option'],
      [{ windows: [] }, 'limits.windows: '],
      [{ windows: [{ days: [], from: '08:00', to: '09:00', tz: 'UTC' }] }, 'limits.windows[0].days: '],
      [
        { windows: [{ days: ['Mon'], from: '08:00', to: '09:00', tz: 'UTC' }] },
        'limits.windows[0].days[0]: ',
      ],
      [{ windows: [{ days: ['mon'], from: '8:00', to: '09:00', tz: 'UTC' }] }, 'limits.windows[0].from: '],
      [{ windows: [{ days: ['mon'], from: '08:00', to: '24:01', tz: 'UTC' }] }, 'limits.windows[0].to: '],
      [{ windows: [{ days: ['mon'], from: '08:00', to: '08:00', tz: 'UTC' }] }, 'limits.windows[0].to: '],
      [{ windows: [{ days: ['mon'], from: '08:00', to: '09:00', tz: 'Berlin' }] }, 'limits.windows[0].tz: '],
      [{ windows: [{ days: ['mon'], from: '08:00', to: '09:00' }] }, 'limits.windows[0].tz: '],
    ],
  },
  operations: {
    exports: operationsFolder,
    good: {},
    bad: [
      [null, 'operations: an object is needed'],
      [{ public: true }, 'operations.public: no such option'],
      [{ wait: 'soon' }, 'operations.wait: '],
      [{ wait: '0s' }, 'operations.wait: '],
    ],
  },
  passwords: {
    exports: passwordsFolder,
    good: { file: 'userlist.txt', until: '2027-06-30', users: { billing: { until: '2027-12-31' } } },
    bad: [
      [undefined, 'passwords: an object is needed'],
      [{}, 'passwords: file or query is needed'],
      [{ file: 'a', fille: 'b' }, 'passwords.fille: no such option'],
      [{ file: 1 }, 'passwords.file: '],
      [{ file: 'a', until: 'soon' }, 'passwords.until: '],
      [{ file: 'a', users: { bob: { until: '2027-02-30' } } }, 'passwords.users["bob"].until: '],
      [{ file: 'a', secret: 'short' }, 'passwords.secret: '],
      [{ query: { database: 'a', role: 'public' } }, 'passwords.query.role: '],
    ],
  },
  'rate-limit': {
    exports: rateLimitFolder,
    good: {
      connections: [
        { per: 'address', limit: '20/s', except: ['10.0.0.0/8'] },
        { per: 'role', limit: '5/s' },
      ],
      failedLogins: { per: 'address', limit: '10/m', block: '5m' },
      statements: { per: 'subject', limit: '500/s', burst: 1_000, mode: 'delay', maxDelay: '2s' },
      bytes: { per: 'tenant', limit: '10MB/s', burst: '1GB' },
      store: { kind: 'redis', url: 'redis://127.0.0.1:6379' },
      failOpen: true,
    },
    bad: [
      [null, 'rateLimit: an object is needed'],
      [{ conections: {} }, 'rateLimit.conections: no such option'],
      [{ connections: '20/s' }, 'rateLimit.connections: an object is needed'],
      [{ connections: { limit: '20/s' } }, "rateLimit.connections.per: one of 'address', "],
      [{ connections: { per: 'address' } }, 'rateLimit.connections.limit: '],
      [{ connections: { per: 'address', limit: 20 } }, "rateLimit.connections.limit: a rate such as '20/s'"],
      [{ connections: { per: 'address', limit: '0/s' } }, 'rateLimit.connections.limit: '],
      [{ connections: [{ per: 'address', limit: '20/ms' }] }, 'rateLimit.connections[0].limit: '],
      [{ connections: { per: 'address', limit: '20/s', burst: 0 } }, 'rateLimit.connections.burst: '],
      [{ connections: { per: 'role', limit: '1/s', except: [] } }, 'rateLimit.connections.except: is for'],
      [
        { connections: { per: 'address', limit: '1/s', except: ['10.1.2.3/8'] } },
        "rateLimit.connections.except[0]: '10.1.2.3/8' has bits set",
      ],
      [{ connections: { per: 'role', limit: '1/s', shared: 1 } }, 'rateLimit.connections.shared: true or'],
      [{ failedLogins: { per: 'role', limit: '1/s' } }, 'rateLimit.failedLogins.per: '],
      [{ failedLogins: { per: 'address', limit: '1/s', block: '0s' } }, 'rateLimit.failedLogins.block: '],
      [{ statements: { per: 'address', limit: '1/s' } }, 'rateLimit.statements.per: '],
      [{ statements: { per: 'subject', limit: '1/s', mode: 'wait' } }, 'rateLimit.statements.mode: '],
      [{ statements: { per: 'subject', limit: '1/s', maxDelay: '1s' } }, 'rateLimit.statements.maxDelay: is'],
      [
        { statements: { per: 'subject', limit: '1/s', mode: 'delay', maxDelay: '2m' } },
        'rateLimit.statements.maxDelay: at most 60 s',
      ],
      [{ statements: { per: 'subject', limit: '1/s', block: '1m' } }, 'rateLimit.statements.block: no such'],
      [{ bytes: { per: 'subject', limit: '1/s' } }, 'rateLimit.bytes.limit: expected bytes per time'],
      [{ bytes: { per: 'subject', limit: '1MB/s', burst: 5 } }, 'rateLimit.bytes.burst: bytes such as'],
      [{ tokenRates: 'yes' }, 'rateLimit.tokenRates: '],
      [{ maxKeys: 0 }, 'rateLimit.maxKeys: '],
      [{ failOpen: true }, 'rateLimit.failOpen: is for a store'],
      [{ store: { kind: 'redis', url: 'redis://h' } }, 'rateLimit.failOpen: true or false is needed'],
      [{ store: { kind: 'memcached', url: 'redis://h' }, failOpen: true }, 'rateLimit.store.kind: '],
      [{ store: { kind: 'redis', url: 'http://me:secret@h' }, failOpen: true }, 'rateLimit.store.url: '],
      [
        { store: { kind: 'redis', url: 'redis://h', password: 1 }, failOpen: true },
        'rateLimit.store.password',
      ],
      [
        { store: { kind: 'redis', url: 'redis://h', timeout: '1m' }, failOpen: true },
        'rateLimit.store.timeout',
      ],
    ],
  },
  roles: {
    exports: rolesFolder,
    good: allow,
    bad: [
      [undefined, 'roles: '],
      [[], 'roles: '],
      [{ ...allow, claim: '' }, 'roles.claim: '],
      [{ ...allow, claim: [] }, 'roles.claim: a list with at least one claim'],
      [{ ...allow, claim: ['role', ''] }, 'roles.claim[1]: '],
      [{ ...allow, claim: { role: true } }, 'roles.claim: '],
      [{ ...allow, as: 'list' }, "roles.as: 'words' or 'keys' is needed"],
      [{ claim: 'role', map: ['reader'] }, 'roles.map: '],
      [{ claim: 'role', map: { 'team-*': 'team-*' } }, 'roles.map["team-*"]: not a valid role name'],
      [{ claim: 'role', allow: ['team-*'] }, 'roles.allow[0]: not a valid role name'],
      [{ claim: 'role' }, 'roles.allow: '],
      [{ claim: 'role', allow: [] }, 'roles.allow: '],
      [{ claim: 'role', allow: 'reader' }, 'roles.allow: '],
      [{ claim: 'role', allow: [1] }, 'roles.allow[0]: '],
      [{ claim: 'role', allow: ['reader', 'reader'] }, 'roles.allow: "reader" comes twice'],
      [{ claim: 'role', allow: ['reader', 'pg_read_all_data'] }, 'roles.allow[1]: '],
      [{ claim: 'role', allow: ['none'] }, 'roles.allow[0]: '],
      [{ claim: 'role', allow: ['a b'] }, 'roles.allow[0]: '],
      [{ claim: 'role', allow: ['x'.repeat(64)] }, 'roles.allow[0]: '],
      [{ claim: 'role', map: {} }, 'roles.map: '],
      [{ claim: 'role', map: { a: 'PG_monitor' } }, 'roles.map["a"]: '],
      [{ ...allow, map: { a: 'reader' } }, 'roles: allow and map exclude each other'],
      [{ ...allow, template: 'app_{value}' }, 'roles: allow and template exclude each other'],
      [{ claim: 'role', template: '{value}' }, 'roles.template: something has to stand before'],
      [{ claim: 'role', template: 'app' }, 'roles.template: {value} has to be in it once'],
      [{ claim: 'role', template: 'pg_{value}' }, 'roles.template: '],
      [{ ...allow, databases: [] }, 'roles.databases: '],
      [
        [
          { ...allow, databases: ['a'] },
          { ...allow, databases: ['b', 'a'] },
        ],
        'roles[1]: it is for tokens',
      ],
      [{ ...allow, default: 'public' }, 'roles.default: '],
      [{ ...allow, claims: 'role' }, 'roles.claims: no such option'],
      [[allow], 'roles[0].issuer: '],
      [
        [
          { ...allow, issuer: 'a' },
          { ...allow, issuer: 'a' },
        ],
        'roles[1]: it is for tokens and databases that roles[0] is for',
      ],
      [
        [
          { ...allow, issuer: 'a' },
          { ...allow, issuer: 'b', allow: ['pg_monitor'] },
        ],
        'roles[1].allow[0]: ',
      ],
    ],
  },
  tenant: {
    exports: tenantFolder,
    good: { claim: 'tenant', schema: 'tenant_{tenant}' },
    bad: [
      [undefined, 'tenant: '],
      [{}, 'tenant.claim: '],
      [{ claim: 'tenant', schemas: 'x' }, 'tenant.schemas: no such option'],
      [{ claim: 'tenant', schema: 'tenants' }, 'tenant.schema: {tenant} has to be in it once'],
      [{ claim: 'tenant', schema: '{tenant}_{tenant}' }, 'tenant.schema: {tenant} has to be in it once'],
      [{ claim: 'tenant', schema: 'Tenant_{tenant}' }, 'tenant.schema: not a valid schema name'],
      [{ claim: 'tenant', role: '{tenant}' }, 'tenant.role: something has to stand'],
      [{ claim: 'tenant', role: 'pg_{tenant}' }, 'tenant.role: '],
      [{ claim: 'tenant', database: '{tenant}\n' }, 'tenant.database: '],
      [{ claim: 'tenant', default: 'Acme' }, 'tenant.default: '],
      [{ claim: 'tenant', shared: ['public'] }, 'tenant.shared: only with schema'],
      [{ claim: 'tenant', schema: '{tenant}', shared: ['a b'] }, 'tenant.shared[0]: '],
    ],
  },
  tracing: {
    exports: tracingFolder,
    good: {
      serviceName: 'gate',
      traces: { endpoint: 'https://collector:4318/', headers: { authorization: 'x' }, ratio: 0.01 },
      metrics: { public: true, otlp: { interval: '30s' } },
      accessLog: { file: 'access.log' },
      identity: true,
    },
    bad: [
      [null, 'tracing: an object is needed'],
      [{ trace: {} }, 'tracing.trace: no such option'],
      [{ serviceName: '' }, 'tracing.serviceName: '],
      [{ metrics: false }, 'tracing: does nothing'],
      [{ traces: true }, 'tracing.traces: an object is needed'],
      [{ traces: { endpoint: 'collector:4318' } }, 'tracing.traces.endpoint: an address'],
      [
        { traces: { endpoint: 'http://me:secret@collector' } },
        'tracing.traces.endpoint: no user and password',
      ],
      [{ traces: { headers: { a: 1 } } }, 'tracing.traces.headers.a: '],
      [{ traces: { headers: ['a'] } }, 'tracing.traces.headers: '],
      [{ traces: { ratio: 2 } }, 'tracing.traces.ratio: '],
      [{ traces: { ratio: '1%' } }, 'tracing.traces.ratio: '],
      [{ traces: { ratio: 0, parents: false } }, 'tracing.traces: traces nothing'],
      [{ traces: { sampler: 1 } }, 'tracing.traces.sampler: no such option'],
      [{ metrics: 'prometheus' }, 'tracing.metrics: '],
      [{ metrics: { public: 'yes' } }, 'tracing.metrics.public: '],
      [{ metrics: { otlp: true } }, 'tracing.metrics.otlp: '],
      [{ metrics: { otlp: { interval: '10ms' } } }, 'tracing.metrics.otlp.interval: '],
      [{ metrics: { otlp: { interval: 5 } } }, 'tracing.metrics.otlp.interval: '],
      [{ accessLog: 'access.log' }, 'tracing.accessLog: '],
      [{ accessLog: {} }, 'tracing.accessLog.file: '],
      [{ identity: 'sub' }, 'tracing.identity: '],
    ],
  },
};

/** The keys of the contract in core/contract/plugin.ts. */
const KNOWN = new Set(
  'name credentials needs provides checks announces enforces maps reads options probe scope inBand on observe startupParameters commands databases setup onStartup onAuth onQuery onClose'.split(
    ' ',
  ),
);

async function sources(folder: string): Promise<readonly string[]> {
  const found = await readdir(folder, { recursive: true });
  return found.filter((file) => file.endsWith('.ts')).map((file) => join(folder, file));
}

/** The factory of a row: `your-plugin` is made by `yourPlugin`. */
function factoryOf(folder: string, { exports }: Row): (options: unknown) => AnyPlugin {
  const name = folder.replace(/-(.)/g, (_match, letter: string) => letter.toUpperCase());
  const factory = (exports as Readonly<Record<string, unknown>>)[name];
  if (typeof factory !== 'function')
    throw new Error(`plugins/${folder}/index.ts exports no function ${name}`);
  return factory as (options: unknown) => AnyPlugin;
}

test('every plugin folder has a row here, and every row a folder', async () => {
  const entries = await readdir(PLUGINS, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  expect(folders.sort()).toEqual(Object.keys(ROWS).sort());
});

describe.each(Object.entries(ROWS))('%s', (folder, row) => {
  test('is made as a plain object named like its folder, with keys of the contract only', () => {
    const plugin = factoryOf(folder, row)(row.good);
    expect(Object.getPrototypeOf(plugin)).toBe(Object.prototype);
    expect(plugin.name).toBe(folder);
    expect(Object.keys(plugin).filter((key) => !KNOWN.has(key))).toEqual([]);
  });

  test('states the options it was made with, so that a reload can name those that have changed', () => {
    expect(factoryOf(folder, row)(row.good)).toHaveProperty('options', row.good);
  });

  test('is made anew by each call', () => {
    const factory = factoryOf(folder, row);
    expect(factory(row.good)).not.toBe(factory(row.good));
  });

  test.each(row.bad)('stops the boot with the path of a bad option: %j', (options, path) => {
    let thrown: unknown;
    try {
      factoryOf(folder, row)(options);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ConfigError);
    expect((thrown as ConfigError).message.slice(0, path.length)).toBe(path);
  });

  test('has a module comment in every file', async () => {
    for (const file of await sources(join(PLUGINS, folder))) {
      expect(await readFile(file, 'utf8'), file).toMatch(/^\/\*\* [A-Z“‘'"`\d].*\*\/\n/);
    }
  });

  test('documents every option, with its default where it may be left out', async () => {
    let interfaces = 0;
    for (const file of await sources(join(PLUGINS, folder))) {
      const text = await readFile(file, 'utf8');
      for (const [, name, body = ''] of text.matchAll(/export interface (\w*Options) \{\n(.*?)\n\}/gs)) {
        interfaces++;
        const options = [...body.matchAll(/(\/\*\*(?:(?!\*\/).)*\*\/\n)? {2}readonly (\w+)(\??):/gs)];
        expect(options.length, `${name} in ${file}`).toBeGreaterThan(0);
        for (const [, comment = '', option, mark] of options) {
          if (mark === '?') expect(comment, `${name}.${option}`).toMatch(/Default|@defaultValue/);
        }
      }
    }
    expect(interfaces).toBeGreaterThan(0);
  });

  test('has its entry in the index of plugins', async () => {
    const lines = (await readFile(join(PLUGINS, 'README.md'), 'utf8')).split('\n');
    expect(lines.filter((line) => line.startsWith(`- [\`${folder}\`](${folder}/README.md): `))).toHaveLength(
      1,
    );
  });

  test('gives hints about itself that are true', async () => {
    const { provides, credentials } = factoryOf(folder, row)(row.good);
    const given = (await knownPlugins()).find(({ call }) => call === `${factoryName(folder)}()`);
    expect([given?.provides, given?.credentials]).toEqual(
      provides ? [provides, credentials] : [undefined, undefined],
    );
    if (given?.announces !== undefined)
      expect(given.announces.startsWith(`${factoryName(folder)}(`)).toBe(true);
    const files = await sources(join(PLUGINS, folder));
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
    expect(given?.takesOrders === true).toBe(texts.some((text) => text.includes(".service('operations')")));
  });

  test('can be deleted: nothing of the core or of another plugin imports it', async () => {
    const others = [...(await sources(join(ROOT, 'core'))), ...(await sources(PLUGINS))].filter(
      (file) => !relative(PLUGINS, file).startsWith(`${folder}/`),
    );
    expect(others.length).toBeGreaterThan(10);
    const needing = new RegExp(`from '[^']*(plugins/|\\.\\./)${folder}/`);
    for (const file of others) expect(await readFile(file, 'utf8'), file).not.toMatch(needing);
  });
});

test('the plugin in the README compiles, and is twenty lines or fewer', async () => {
  const readme = await readFile(join(PLUGINS, 'README.md'), 'utf8');
  const [, code = ''] = /```ts\n(\/\*\* .*?)```/s.exec(readme) ?? [];
  expect(code).toContain("from 'postern'");
  expect(code.trimEnd().split('\n').length).toBeLessThanOrEqual(20);
  const folder = await mkdtemp(join(tmpdir(), 'postern-readme-'));
  const tsconfig = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions: { rootDir: '/', typeRoots: [join(ROOT, 'node_modules/@types')] },
    files: ['plugin.ts'],
    include: [],
  };
  await writeFile(join(folder, 'plugin.ts'), code);
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig));
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  await promisify(execFile)(process.execPath, [tsc, '-p', folder]).catch((error: { stdout?: string }) => {
    throw new Error(error.stdout ?? 'tsc failed');
  });
  await rm(folder, { recursive: true });
});
