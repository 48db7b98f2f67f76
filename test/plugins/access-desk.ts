/** A gateway that grants access on demand, and callers who ask it. */
import { createHash } from 'node:crypto';
import { Client } from 'pg';
import { onTestFinished } from 'vitest';
import { access, ownIssuer } from '../../plugins/access/index.ts';
import type { AccessOptions, OwnIssuerOptions } from '../../plugins/access/index.ts';
import { ipFilter } from '../../plugins/ip-filter/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import type { RevocationsOptions } from '../../plugins/jwt/index.ts';
import { limits } from '../../plugins/limits/index.ts';
import { operations } from '../../plugins/operations/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';

/** The company's issuer: its tokens may ask. */
export const company = issuer({ algorithms: ['ES256'] });
/** A partner's. */
export const partner = issuer({ algorithms: ['ES256'], issuer: 'https://partner.example' });
/** The key of the program `ci`. */
export const CI_KEY = 'postern_canary-key-of-the-ci-0123456789abcdefghijk';
/** A key that was good until the year 2000. */
export const OLD_KEY = 'postern_canary-key-that-is-old-0123456789abcdefghij';
/** The `iss` of what the gateway grants. */
export const OWN = 'https://postern.example';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The usual policy: developers read with a reason, ci writes. */
export const POLICY: AccessOptions['policy'] = [
  {
    who: { claim: 'groups', value: 'dev' },
    databases: ['orders'],
    roles: ['reader', 'writer'],
    maxDuration: '1h',
  },
  {
    who: [{ apiKey: 'ci' }, { claim: 'groups', value: 'bot', issuer: partner.issuer }],
    databases: ['orders', 'other'],
    roles: ['writer'],
    maxDuration: '10m',
    reason: 'optional',
    rules: { cidrs: ['127.0.0.0/8'], maxConnections: 2, maxSession: '5m' },
  },
];

/** What a test chooses. */
export interface DeskOptions {
  readonly access?: Partial<AccessOptions>;
  readonly issuer?: Partial<OwnIssuerOptions>;
  readonly revocations?: RevocationsOptions;
}

/** The usual config, plugins made anew as a config file makes them. */
export function deskConfig(options: DeskOptions = {}): TestConfig {
  const own = ownIssuer({ issuer: OWN, ...options.issuer });
  const entry = databaseOf(sharedPostgres());
  return {
    databases: { orders: entry, other: entry },
    admin: { port: 0, operators: { claim: 'groups', value: 'dba', issuer: company.issuer } },
    plugins: [
      operations(),
      ipFilter(),
      jwt({
        issuers: [company.options, partner.options, own],
        ...(options.revocations && { revocations: options.revocations }),
      }),
      roles({ claim: 'role', allow: ['reader', 'writer'], issuer: OWN }),
      limits(),
      access({
        issuer: own,
        callers: {
          issuers: [company.issuer, partner.issuer],
          apiKeys: [
            { name: 'ci', sha256: sha256(CI_KEY) },
            { name: 'old', sha256: sha256(OLD_KEY), expires: '2000-01-01' },
          ],
        },
        policy: POLICY,
        connect: { host: 'db.example', sslmode: 'disable' },
        ...options.access,
      }),
    ],
  };
}

/** An answer. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** A desk that is open. */
export interface Desk extends RunningGateway {
  /** Sends a request as this caller. */
  send(
    method: string,
    path: string,
    credential?: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>;
  /** Asks for access. */
  ask(credential: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Logs in with a token; closed when the test ends. */
  login(token: unknown, database?: string): Promise<Client>;
}

/** Makes requests of a gateway. */
export function deskOf(running: RunningGateway): Desk {
  const send: Desk['send'] = async (method, path, credential, body, headers) => {
    const response = await fetch(`http://127.0.0.1:${running.adminPort}${path}`, {
      method,
      headers: { ...(credential !== undefined && { authorization: `Bearer ${credential}` }), ...headers },
      ...(body !== undefined && {
        body: typeof body === 'string' || body instanceof URLSearchParams ? body : JSON.stringify(body),
      }),
    });
    const text = await response.text();
    const parsed = text.startsWith('{') ? (JSON.parse(text) as Answer['body']) : {};
    return { status: response.status, headers: response.headers, body: parsed, text };
  };
  return {
    ...running,
    send,
    ask: (credential, body, headers) => send('POST', '/v1/grants', credential, body, headers),
    async login(token, database = 'orders') {
      const password = String(token);
      const client = new Client({ host: '127.0.0.1', port: running.port, user: '_', database, password });
      client.on('error', () => {});
      await client.connect();
      onTestFinished(() => client.end());
      return client;
    },
  };
}

/** Starts one until the test ends. */
export async function openDesk(options?: DeskOptions): Promise<Desk> {
  const running = await startGateway(deskConfig(options));
  onTestFinished(() => running.gateway.stop());
  return deskOf(running);
}

/** A developer's token. */
export const developer = (claims: Readonly<Record<string, unknown>> = {}): string =>
  company.sign({ sub: 'ada', groups: ['dev'], role: undefined, ...claims });
/** An operator's token. */
export const operator = (): string => company.sign({ sub: 'olga', groups: ['dba'], role: undefined });
