/** Two instances of a fleet that have limits and are killed, and their sessions as clients count them. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from './cancelled-statements.ts';
import { removeAll, startFleet, startInstance } from './fleet-gateways.ts';
import type { FleetGateway } from './fleet-gateways.ts';
import type { PostgresAddress } from './postgres.ts';
import { fieldsOf, message, RawClient, startup } from './raw-client.ts';
import type { RedisServer } from './redis.ts';
import { SessionCount } from './session-count.ts';
import { holdsWithin, until } from './until.ts';

/** `limits.maxConnections` of the fleet. */
export const LIMITS = { subject: 5, database: 60 } as const;
/** Whose place was missing, as the client reads it. */
const FULL = {
  subject: 'too many connections for this subject',
  database: 'too many connections for database "orders"',
} as const;
/** The outcome of a login whose instance was killed meanwhile. */
const KILLED = 'killed';
const AGAIN_MS = 20;
/** A session may stay for longer than this before its token ends. */
const TOKEN_USED_MS = 60_000;

/** What is asked of the store: all totals, those who died with places that are not free yet, and the counts of instances. */
const LEFT = ['hlen postern:{test}:p', 'llen postern:{test}:dead', 'keys postern:{test}:i:*'];
const NOTHING_LEFT = ':0\r\n:0\r\n*0\r\n';

/** What came of logins. */
export interface LoginCounts {
  readonly logins: number;
  readonly admitted: number;
  /** By 53300. */
  readonly refused: number;
  /** Their instance was killed before the answer. */
  readonly killed: number;
}

/** One session that was let in. */
export interface CountedSession {
  readonly client: RawClient;
  /** Whether its instance lives. */
  readonly isThere: () => boolean;
  /** Counts it no more; true once. */
  readonly leave: () => boolean;
}

/** An instance from its start until it is killed. */
class Life {
  readonly instance: FleetGateway;
  readonly name: string;
  isOver = false;
  readonly #sessions = new Set<CountedSession>();

  constructor(instance: FleetGateway, name: string) {
    this.instance = instance;
    this.name = name;
  }

  enter(client: RawClient, subject: string, count: SessionCount): CountedSession {
    const session: CountedSession = {
      client,
      isThere: () => !this.isOver,
      leave: () => {
        const was = this.#sessions.delete(session);
        if (was) count.leave(subject);
        return was;
      },
    };
    this.#sessions.add(session);
    count.enter(subject);
    return session;
  }

  /** Together with all of its processes. */
  async kill(): Promise<void> {
    this.isOver = true;
    for (const { leave } of this.#sessions) leave();
    await this.instance.gateway.remove();
  }
}

/** One of a run. End it by {@link stop}. */
export class LimitedFleet {
  readonly sessions = new SessionCount(LIMITS);
  /** Of logins that ended otherwise than expected, how. */
  readonly surprises: string[] = [];
  /** How long it took after each kill until the places of the dead were free, in milliseconds. */
  readonly freeAfter: number[] = [];
  kills = 0;
  readonly #counts = { logins: 0, admitted: 0, refused: 0, killed: 0 };
  readonly #redis: RedisServer;
  readonly #tokens = new Map<string, { readonly token: string; readonly signedAt: number }>();
  readonly #begin: (name: string) => Promise<FleetGateway>;
  #lives: Life[];

  private constructor(
    redis: RedisServer,
    lives: readonly Life[],
    begin: (name: string) => Promise<FleetGateway>,
  ) {
    this.#redis = redis;
    this.#lives = [...lives];
    this.#begin = begin;
  }

  static async start(postgres: PostgresAddress, redis: RedisServer, workers: number): Promise<LimitedFleet> {
    const options = {
      workers,
      pool: "mode: 'transaction'",
      // However busy the machine is.
      more: "loginTimeout: '60s'",
      limits: `maxConnections: ${JSON.stringify(LIMITS)}`,
      // No login is counted by its instance alone: where the store is slow, it is refused.
      fleet: "away: { limits: 'refuse' }",
      store: "timeout: '5s'",
    };
    const instances = await startFleet(postgres, redis, options);
    const [{ issuer } = { issuer: undefined }] = instances;
    if (!issuer) throw new Error('a fleet has instances');
    const lives = instances.map((instance, i) => new Life(instance, `g${i + 1}`));
    return new LimitedFleet(redis, lives, (name) => startInstance(postgres, redis, issuer, name, options));
  }

  get counts(): LoginCounts {
    return this.#counts;
  }

  /** Those that live. There is always one. */
  get instances(): readonly number[] {
    return [...this.#lives.keys()].filter((index) => this.#lives[index]?.isOver === false);
  }

  /** Logs in through an instance: the session, or why there is none. */
  async logIn(index: number, subject: string): Promise<CountedSession | string> {
    const life = this.#lives[index];
    if (!life) throw new Error('no such instance');
    const outcome = await this.#attempt(life, subject);
    this.#counts.logins += 1;
    if (typeof outcome !== 'string') this.#counts.admitted += 1;
    else if (outcome === KILLED) this.#counts.killed += 1;
    else if (outcome === FULL.subject || outcome === FULL.database) this.#counts.refused += 1;
    else this.surprises.push(outcome);
    return outcome;
  }

  /** Stays for so long, and is served meanwhile. */
  async stay({ client, isThere }: CountedSession, ms: number): Promise<void> {
    await sleep(ms / 2);
    const code = await ask(client, 'select 1').catch(String);
    if (code !== undefined && isThere()) this.surprises.push(`a session was not served: ${code}`);
    await sleep(ms / 2);
  }

  /** With a farewell or without one. */
  end({ client, leave }: CountedSession, farewell: boolean): void {
    leave();
    if (farewell) client.socket.end(message('X'));
    else client.destroy();
  }

  /** Has the instance have all places of a subject, kills it, starts it again, and waits until they are free. */
  async kill(index: number): Promise<void> {
    const life = this.#lives[index];
    const other = this.instances.find((one) => one !== index);
    if (!life || other === undefined) throw new Error('one of two instances has to stay');
    const subject = `left behind ${this.kills}`;
    await this.#fill([index], subject);
    this.kills += 1;
    const before = await this.deaths();
    const since = performance.now();
    const killed = life.kill();
    await Promise.all([
      this.#free(other, subject, { since, before }),
      killed.then(() => this.#restart(index, life)),
    ]);
  }

  /** Whether nothing is left when all sessions have ended, and a full limit can be had again. @returns what is wrong */
  async recovers(withinMs: number): Promise<string | undefined> {
    if (!(await this.#isEmpty(withinMs))) return `places are left: ${await this.#redis.ask(...LEFT)}`;
    const sessions = [];
    for (let n = 0; n < LIMITS.database / LIMITS.subject; n += 1)
      sessions.push(...(await this.#fill(this.instances, `again ${n}`)));
    const ofSubject = await this.logIn(0, 'again 0');
    const ofDatabase = await this.logIn(1, 'one more');
    for (const session of sessions) this.end(session, true);
    if (ofSubject !== FULL.subject || ofDatabase !== FULL.database) return 'a full limit lets one more in';
    return (await this.#isEmpty(withinMs)) ? undefined : 'places are left of the full limit';
  }

  /** How many times the store has taken an instance with places for dead. More than kills: one that lived did not reach it for 5 s. */
  async deaths(): Promise<number> {
    return Number(/^\$\d+\r\n(\d+)/.exec(await this.#redis.ask('get postern:{test}:deaths'))?.[1] ?? 0);
  }

  async stop(): Promise<void> {
    await removeAll(this.#lives.map(({ instance }) => instance));
  }

  async #attempt(life: Life, subject: string): Promise<CountedSession | string> {
    let client: RawClient | undefined;
    let outcome: string | undefined;
    try {
      client = await RawClient.connect(life.instance.gateway.port);
      outcome = await answerTo(client, this.#tokenOf(subject, life));
    } catch (error) {
      outcome = String(error);
    }
    if (client && outcome === undefined && !life.isOver) return life.enter(client, subject, this.sessions);
    client?.destroy();
    return life.isOver ? KILLED : String(outcome);
  }

  /** The one that it had before, while that is good for long enough. */
  #tokenOf(subject: string, { instance }: Life): string {
    const known = this.#tokens.get(subject);
    if (known && performance.now() - known.signedAt < TOKEN_USED_MS) return known.token;
    const token = instance.issuer.sign({ role: 'reader', sub: subject });
    this.#tokens.set(subject, { token, signedAt: performance.now() });
    return token;
  }

  /** Takes all places of a subject, by turns through these instances, as soon as the database has as many. */
  async #fill(through: readonly number[], subject: string): Promise<readonly CountedSession[]> {
    const sessions: CountedSession[] = [];
    while (sessions.length < LIMITS.subject) {
      const outcome = await this.logIn(through[sessions.length % through.length] ?? 0, subject);
      if (typeof outcome !== 'string') sessions.push(outcome);
      else if (outcome !== FULL.database) throw new Error(`${subject}: ${outcome}`);
      else await sleep(AGAIN_MS);
    }
    return sessions;
  }

  /** Waits until the store has freed what the dead had, and a login of that subject gets in; or is refused for the database, which may be full all the same. */
  async #free(
    index: number,
    subject: string,
    { since, before }: { readonly since: number; readonly before: number },
  ): Promise<void> {
    await until('the places of the dead are free', async () => {
      const isFree = (await this.#redis.ask('llen postern:{test}:dead')).startsWith(':0\r\n');
      return isFree && (await this.deaths()) > before;
    });
    this.freeAfter.push(performance.now() - since);
    const outcome = await this.logIn(index, subject);
    if (typeof outcome !== 'string') this.end(outcome, true);
    else if (outcome === FULL.subject) this.surprises.push('places that are free are not to be had');
  }

  async #restart(index: number, { name }: Life): Promise<void> {
    this.#lives[index] = new Life(await this.#begin(name), name);
  }

  #isEmpty(withinMs: number): Promise<boolean> {
    return holdsWithin(withinMs, async () => (await this.#redis.ask(...LEFT)).startsWith(NOTHING_LEFT));
  }
}

/** Logs in: undefined, or what the gateway refused it by. */
async function answerTo(client: RawClient, token: string): Promise<string | undefined> {
  client.send(startup({ user: '_', database: 'orders' }));
  for (;;) {
    const { type, body } = await client.message();
    if (type === 'E') return fieldsOf(body)['M'] ?? '';
    if (type === 'R' && body.readUInt32BE(0) === CLEARTEXT) client.send(message('p', `${token}\0`));
    if (type === 'Z') return undefined;
  }
}

/** AuthenticationCleartextPassword (manual, 55.7). */
const CLEARTEXT = 3;
