/** Passwords for those who still have one: SCRAM by PgBouncer's `userlist.txt` or by a function of a database, until a day. */
import { createHash, randomBytes } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Disposer, GatewayHandle, Identity, Plugin, Session } from '../../core/index.ts';
import { hints } from './hints.ts';
import type { PasswordsOptions } from './options.ts';
import { PasswordFile } from './password-file.ts';
import { PasswordQuery } from './password-query.ts';
import { SECRET_BYTES, parsePolicy } from './policy.ts';
import type { From, Policy } from './policy.ts';
import { probeSource } from './probe.ts';
import type { KnownPassword, PasswordSource } from './source.ts';
import { FOREVER, OVER, endOf, overSince } from './until.ts';
import { UsersSeen } from './users-seen.ts';

export type { PasswordQueryOptions, PasswordsOptions, PasswordUser, Until } from './options.ts';

/** A source, and what undoes it. */
interface Opened {
  readonly source: PasswordSource;
  readonly close?: Disposer;
}

/** What a setup has made. */
/** How long the secret of another instance is waited for, in milliseconds. */
const SECRET_MS = 1_000;

interface Running {
  readonly source: PasswordSource;
  readonly secret: Buffer;
  readonly seen: UsersSeen;
}

async function openSource(from: From, secret: Buffer, gateway: GatewayHandle): Promise<Opened> {
  if (from.kind === 'query') {
    const source = new PasswordQuery(from, gateway);
    await source.tryOut();
    return { source };
  }
  const file = path.resolve(gateway.directory, from.file);
  const salts = createHash('sha256').update(secret).digest('base64');
  const source = gateway.keep(`file ${file} ${salts}`, () => new PasswordFile(file, secret));
  return { source, close: await source.open(gateway.log) };
}

/** One for all workers and instances: salts of users that there are not would differ between them, and tell those users from the others. */
async function sharedSecret(gateway: GatewayHandle): Promise<Buffer> {
  const board = await gateway.board<string>('secret', { of: 'fleet' });
  const own = randomBytes(SECRET_BYTES).toString('base64');
  // The store of a fleet may be away: this instance does not wait for it, and has a secret of its own until its next start.
  const isFirst = await board.put('secret', own, { expected: undefined }).catch((error: Error) => {
    gateway.log.warn({ reason: error.message }, 'salts of unknown users are not those of the fleet');
    return undefined;
  });
  // What another instance has put is known here some milliseconds later.
  const until = Date.now() + SECRET_MS;
  if (isFirst === false) while (board.get('secret') === undefined && Date.now() < until) await sleep(10);
  return Buffer.from(board.get('secret') ?? own, 'base64');
}

async function setUp(policy: Policy, gateway: GatewayHandle): Promise<Running & Pick<Opened, 'close'>> {
  const secret = policy.secret ? Buffer.from(policy.secret()) : await sharedSecret(gateway);
  for (const option of policy.over(new Date()))
    gateway.log.warn({ option }, 'the time of passwords is over: their users are refused');
  const opened = await openSource(policy.from, secret, gateway);
  const seen = gateway.keep('seen', () => new UsersSeen());
  // Of several, each for its own listeners, the first one tells of all.
  if (!gateway.service('passwordUsers')) gateway.provide('passwordUsers', seen);
  return { ...opened, secret, seen };
}

function identityOf(issuer: string, user: string, expiresAt: Date): Identity {
  return { issuer, subject: user, expiresAt, claims: { sub: user } };
}

/** Whoever moves a company to tokens looks for this line. */
function tell(session: Session, seen: UsersSeen, end: Date): void {
  const { client, startup, log } = session;
  if (!seen.note(startup.user, client.address)) return;
  const application = startup.parameters['application_name'];
  const line = {
    user: startup.user,
    database: startup.database,
    address: client.address,
    listener: client.listener,
    ...(application !== undefined && { application }),
    ...(end < FOREVER && { until: end.toISOString() }),
  };
  log.info(line, 'a password is still in use');
}

/**
 * Lets in clients that still have a password, proven by SCRAM-SHA-256, until a day: by PgBouncer's `userlist.txt`, or by the verifiers that
 * PostgreSQL keeps.
 *
 * @place 6 above the plugins that need `identity`
 * @throws ConfigError that names the option, such as `passwords.until`
 * @example passwords({ file: '/etc/pgbouncer/userlist.txt', until: '2027-06-30' })
 */
export function passwords(options: PasswordsOptions): Plugin<never, 'identity', 'passwords', 'scram'> {
  const policy = parsePolicy(options);
  let state: Running | undefined;
  return {
    name: 'passwords',
    options,
    credentials: hints.credentials,
    provides: hints.provides,
    async setup(gateway) {
      const { close, ...running } = await setUp(policy, gateway);
      state = running;
      return close;
    },
    probe: (context) => probeSource(policy.from, context),
    async onAuth(session) {
      if (!state) throw new Error('passwords: setup has not run');
      const { source, secret, seen } = state;
      const { user } = session.startup;
      let known: KnownPassword | undefined;
      const lookup = async (name: string): Promise<KnownPassword['verifier'] | undefined> => {
        known = await source.find(name);
        return known?.verifier;
      };
      await session.scram(lookup, { secret, iterations: source.iterations });
      // Behind the proof: nobody else is told that there is such a user.
      const end = endOf(policy.until(user), known?.until);
      if (end.getTime() <= Date.now()) throw overSince(user, end);
      session.establish('identity', identityOf(policy.issuer, user, end));
      if (end < FOREVER) session.endAt(end, OVER);
      tell(session, seen, end);
    },
  };
}
