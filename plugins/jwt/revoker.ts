/** Revokes tokens under one config: knows how long its issuers' tokens live, and which sessions are open. */
import path from 'node:path';
import { ConfigError, GatewayError } from '../../core/index.ts';
import type {
  Actor,
  Disposer,
  Events,
  FleetProof,
  GatewayHandle,
  Identity,
  RevocationTarget,
  Revocations,
  Session,
} from '../../core/index.ts';
import type { Policy } from './policy.ts';
import { NotARevocation, parseTarget, revocationId } from './revocation.ts';
import type { Revocation } from './revocation.ts';
import { EndedSessions } from './ended-sessions.ts';
import { FleetProofs } from './fleet-proofs.ts';
import { RevocationFile } from './revocation-file.ts';
import { RevocationFileOfLead } from './revocation-file-of-lead.ts';
import { RevocationKeeper } from './revocation-keeper.ts';
import type { RevocationTold } from './revocation-keeper.ts';
import type { RevocationStore } from './revocation-store.ts';
import { ListFull } from './revocation-list.ts';
import { sessionEnds } from './session-ends.ts';
import type { SessionEnds } from './session-ends.ts';
import { SessionIndex } from './session-index.ts';

/** Longest clock tolerance, in seconds: a token may have been issued so far ahead. */
const TOLERANCE_S = 60;

const BOARD = 'revocations';

const REVOKED = new GatewayError('admin_shutdown', 'the token has been revoked', {
  hint: 'Ask whoever issues your tokens; connect again with a fresh one if you may.',
});

/** What a revocation has done. */
interface Revoked {
  readonly revocation: Revocation;
  /** Sessions of all workers. */
  readonly ended: number;
  readonly kept: Promise<void>;
  /** Where it was asked for, and there is a fleet. */
  readonly proof?: FleetProof | undefined;
}

/** How a revocation is made. */
export interface RevokeOptions {
  /** When the last such token expires. Default: as late as a token of its issuer may. */
  readonly until?: Date | undefined;
  /** Whether it waits for every live instance of the fleet. Default false. */
  readonly waits?: boolean;
}

/** The service `revocations`, and what the plugin itself asks. */
export class Revoker implements Revocations {
  readonly #keeper: RevocationKeeper;
  readonly #gateway: GatewayHandle;
  readonly #sessions: SessionIndex;
  readonly #ends: SessionEnds;
  readonly #proofs: FleetProofs | undefined;
  /** Longest life of a token by its issuer, and of a session that outlives it, in seconds. */
  readonly #lives = new Map<string, number>();

  constructor(keeper: RevocationKeeper, gateway: GatewayHandle) {
    this.#keeper = keeper;
    this.#gateway = gateway;
    this.#sessions = gateway.keep('sessions by token', () => new SessionIndex());
    this.#ends = sessionEnds(gateway);
    this.#proofs = gateway.fleet && new FleetProofs(gateway.fleet, BOARD);
  }

  /** Tokens of these issuers can be revoked as well. */
  cover({ issuers }: Policy): void {
    for (const { issuer, maxLifetime, maxSessionMs = 0 } of issuers.values()) {
      const longest = maxLifetime + maxSessionMs / 1_000;
      this.#lives.set(issuer, Math.max(longest, this.#lives.get(issuer) ?? 0));
    }
  }

  /** Those in force. */
  get all(): readonly Revocation[] {
    return this.#keeper.all;
  }

  /** The one that is about this token; undefined if it is good. */
  find(identity: Identity): Revocation | undefined {
    return this.#keeper.find(identity);
  }

  async revoke(what: RevocationTarget, by?: Actor, until?: Date): Promise<number> {
    const { ended, kept } = await this.#lend(what, by, until);
    await kept;
    return ended;
  }

  /**
   * In force in all workers, and the sessions told to end unless there are very many, before this resolves; `kept` settles as the store does.
   * @throws GatewayError `invalid_parameter_value` for what names no token of these issuers; ListFull
   */
  async add(what: unknown, by?: Actor, { until, waits = false }: RevokeOptions = {}): Promise<Revoked> {
    const revocation = this.#revocationOf(what, until);
    let proof: FleetProof | undefined;
    const proven = async (): Promise<void> => {
      proof = await this.#proofs?.ask();
    };
    const added = await this.#keeper.add(revocation, waits ? proven : undefined);
    this.#tell(revocation, { by, takenBack: false, sessions: added.ended });
    return { revocation, ...added, proof };
  }

  /** False if there is none with this id. */
  async remove(id: string, by?: Actor): Promise<boolean> {
    const revocation = this.#keeper.get(id);
    try {
      return await this.#keeper.remove(id);
    } finally {
      // Whether or not it can be kept for the next start.
      if (revocation) this.#tell(revocation, { by, takenBack: true, sessions: 0 });
    }
  }

  /** Ends this session if its token is revoked: for a token that was revoked while it was looked at. */
  endIfRevoked(session: {
    readonly facts: { readonly identity: Identity };
    end(error: GatewayError): void;
  }): void {
    if (this.find(session.facts.identity)) session.end(REVOKED);
  }

  /** The session may come to have this identity: revocations will find it. */
  know(session: Session, identity: Identity): void {
    this.#sessions.add(session, identity);
  }

  /** It has ended. */
  forget(session: Session): void {
    this.#sessions.remove(session);
  }

  /** Ends the sessions of this worker that came with such a token, whatever config and listener they came under. */
  end(revocation: Revocation): number {
    this.#sessions.addOthers(this.#gateway.sessions, (added) => this.#endRevoked(added));
    const sessions = this.#sessions.take(revocation);
    this.#ends.end(sessions, REVOKED);
    return sessions.length;
  }

  #endRevoked(sessions: readonly Session[]): void {
    const isRevoked = ({ facts: { identity } }: Session): boolean => !!identity && !!this.find(identity);
    this.#ends.end(sessions.filter(isRevoked), REVOKED);
  }

  /** Plugins know no ListFull, and would take it for one that is in force. */
  async #lend(what: RevocationTarget, by?: Actor, until?: Date): Promise<Revoked> {
    try {
      return await this.add(what, by, { until });
    } catch (error) {
      if (!(error instanceof ListFull)) throw error;
      throw new GatewayError('configuration_limit_exceeded', error.message, { cause: error });
    }
  }

  #tell({ id, what }: Revocation, more: Pick<Events['revocation'], 'by' | 'takenBack' | 'sessions'>): void {
    const { by } = more;
    // An identity has all claims of its token.
    const actor = by && { issuer: by.issuer, subject: by.subject };
    this.#gateway.emit('revocation', { ...more, by: actor, id, what });
  }

  #revocationOf(what: unknown, known?: Date): Revocation {
    try {
      const target = parseTarget(what);
      const at = Date.now();
      const from = 'before' in target ? Math.max(at, target.before.getTime()) : at;
      const longest = from + this.#longestLifeMs(target.issuer);
      const until = Math.min(longest, known?.getTime() ?? Infinity);
      return { id: revocationId(target), what: target, at, until };
    } catch (error) {
      if (!(error instanceof NotARevocation)) throw error;
      throw new GatewayError('invalid_parameter_value', error.message);
    }
  }

  #longestLifeMs(issuer: string | undefined): number {
    const longest = issuer === undefined ? Math.max(...this.#lives.values()) : this.#lives.get(issuer);
    if (longest === undefined) throw new NotARevocation('issuer is not a configured one');
    return (longest + TOLERANCE_S) * 1_000;
  }
}

/** Whoever came under an earlier config has that one's list, and there can be only one. @throws ConfigError */
function refuseChange(gateway: GatewayHandle, where: string): void {
  if (gateway.keep('revocations: where', () => where) === where) return;
  throw new ConfigError('jwt.revocations: a change needs a restart');
}

async function openFirst(
  { revocations }: Policy,
  gateway: GatewayHandle,
): Promise<{ readonly revoker: Revoker; readonly close: Disposer }> {
  const { file, store, failOpen, limit } = revocations;
  const place = file === undefined ? undefined : path.resolve(gateway.directory, file);
  refuseChange(gateway, JSON.stringify([store ? 'store' : place, failOpen, limit]));
  const board = await gateway.board<RevocationTold>(BOARD, { of: 'fleet' });
  const ended = gateway.keep('sessions ended', () => new EndedSessions(gateway));
  const kept =
    place === undefined ? undefined : gateway.keep('revocation file', () => fileAt(place, gateway));
  const ofFleet = gateway.fleet !== undefined;
  const make = (): RevocationKeeper =>
    new RevocationKeeper({ policy: revocations, store: store ?? kept, board, ofFleet, ended });
  // A reload must not forget. A store is another object in each config, and keeps by itself.
  const keeper = store ? make() : gateway.keep('revocations', make);
  const revoker = new Revoker(keeper, gateway);
  const close = await keeper.open(gateway.log, (revocation) => revoker.end(revocation));
  gateway.alone('keep revocations', async () => {
    try {
      if (kept instanceof RevocationFileOfLead) await kept.lead();
    } finally {
      keeper.lead();
    }
  });
  return { revoker, close };
}

/** One worker writes it. */
function fileAt(place: string, { worker, post }: GatewayHandle): RevocationStore {
  const file = new RevocationFile(place);
  return worker.of === 1 ? file : new RevocationFileOfLead(file, post);
}

/**
 * Opens the revocations of a config, and lends them as the service `revocations` unless another plugin above does.
 * Several `jwt`, each for its own listeners, have one list: that of the first.
 * @throws ConfigError if they cannot be read, or a later `jwt` wants a place of its own
 */
export async function openRevoker(
  policy: Policy,
  gateway: GatewayHandle,
): Promise<{ readonly revoker: Revoker; readonly first: boolean; readonly close: Disposer }> {
  const before = gateway.service('revocations');
  if (before instanceof Revoker) {
    const { file, store } = policy.revocations;
    const own = file !== undefined || store !== undefined;
    if (own) throw new ConfigError('jwt.revocations: the first jwt of a config keeps them for all');
    before.cover(policy);
    return { revoker: before, first: false, close() {} };
  }
  const { revoker, close } = await openFirst(policy, gateway);
  revoker.cover(policy);
  if (!before) gateway.provide('revocations', revoker);
  return { revoker, first: !before, close };
}
