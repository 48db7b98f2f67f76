/** What a hook sees of one client connection, from its StartupMessage to its end. */
import type { GatewayError } from './errors.ts';
import type { Credential } from './credential.ts';
import type { FactName, Facts } from './facts.ts';
import type { DatabaseName, RoleName, SchemaName } from './names.ts';
import type { ScramLookup, ScramMock } from './scram.ts';
import type { Target } from './target.ts';
import type { WebSignal } from './web-types.ts';

/** A value now or later: hooks may be asynchronous and need not be. */
export type MaybePromise<T> = T | Promise<T>;
/** Undoes what was set up; called at most once. */
export type Disposer = () => MaybePromise<void>;

/** Where a client comes from. */
export interface Client {
  /** IP address in text form; IPv4-mapped IPv6 addresses are unmapped. `unix` for a unix socket, whose peer Node does not tell. */
  readonly address: string;
  readonly port: number;
  /** The `name` of the listener. */
  readonly listener: string;
  /** Absent on plaintext connections. */
  readonly tls?: {
    /** Server Name Indication (RFC 6066 §3). */
    readonly servername?: string;
    /** SHA-256 of the client certificate's DER, lower-case hex; absent without a verified certificate. */
    readonly certificateSha256?: string;
    /** The client certificate; absent without a verified one. */
    readonly certificate?: ClientCertificate;
  };
}

/** A client certificate that an authority of `listen.tls.clientCa` has signed and that is in force (RFC 5280). */
export interface ClientCertificate {
  /** SHA-256 of its DER, lower-case hex. */
  readonly sha256: string;
  /** The subject's distinguished name as RFC 4514 writes it, such as `CN=billing,O=Example`. Empty where it has none. */
  readonly subject: string;
  /** The issuer's, in the same form. */
  readonly issuer: string;
  /**
   * SHA-256 of the DER of the authority in `clientCa` that has signed it, or an intermediate certificate that the client has sent:
   * two authorities may have one name. Lower-case hex. Absent where the client has sent those in another order than TLS has.
   */
  readonly authority?: string;
  /** Lower-case hex of an even number of digits. */
  readonly serialNumber: string;
  /** Common names of the subject, in the order of the certificate. */
  readonly commonNames: readonly string[];
  /** DNS names among its subject alternative names (RFC 5280 §4.2.1.6), as they stand there. */
  readonly dns: readonly string[];
  /** URIs among them, such as `spiffe://example.org/billing`. */
  readonly uris: readonly string[];
  readonly notAfter: Date;
}

/** The client's StartupMessage (manual, 55.7), reduced to what the gateway accepts. */
export interface Startup {
  readonly user: string;
  /** The database the client named, or `user` if it named none, as PostgreSQL does. */
  readonly database: string;
  /** Accepted run-time parameters under their canonical names, those in `options` included. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Parameters `postern.…`, names in lower case: those that a plugin in the scope of the session declares, no others. */
  readonly options?: Readonly<Record<string, string>>;
}

/** The words of `pg_stat_activity.state`, and `starting` before the first ReadyForQuery. */
export type SessionState =
  'starting' | 'active' | 'idle' | 'idle in transaction' | 'idle in transaction (aborted)';

/** A server connection, as `onCheckout` sees it. */
export interface Backend {
  /** The server process id (BackendKeyData); 0 where the server sent none. */
  readonly pid: number;
  readonly host: string;
  readonly role: RoleName;
}

/**
 * A setting that a function of the database makes of its arguments and sets itself: `select schema.name(…)` is called
 * instead of `set_config`, and SQL of the client never sees what it was called with.
 */
export interface SetByFunction {
  /** Schema and name, each of `a-z 0-9 _`. Its arguments are texts. */
  readonly function: `${string}.${string}`;
  readonly arguments: readonly string[];
}

/** How to connect for a session: plain data, return `{ ...upstream, role }` to change it. */
export interface Upstream {
  /** A key of `databases`: the only way to choose a host. The name the client wrote, until a plugin chooses another. */
  readonly entry: string;
  /** Entries by which plugins have decided something: a login that ends at any other is refused. Default: none have. */
  readonly decidedFor?: readonly string[];
  /** Name on the server. `nowhere` until a plugin has established `identity`: no database is looked up before that. */
  readonly database: DatabaseName;
  /** Absent until a plugin maps one; a login without a role is refused. */
  readonly role?: RoleName;
  /** Which servers of the entry may serve it. Default: as the entry says. `'replica'` never meets the primary. */
  readonly target?: Target;
  /** Run-time parameters pinned in the startup packet: what RESET and DISCARD return to. */
  readonly settings: Readonly<Record<string, string>>;
  /** Pinned as search_path; one that does not exist refuses the login with 3F000. */
  readonly schemas: readonly SchemaName[];
  /** Settings for each check-out of a server connection, set and verified before the client's first byte. */
  readonly onCheckout: readonly ((backend: Backend) => Readonly<Record<string, string | SetByFunction>>)[];
}

/** Structured log lines as JSON; session id and subject are bound already. */
export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** How an end announced by `endAt` behaves. */
export interface EndAtOptions {
  /** Milliseconds a running transaction may take beyond the end. Default 0. */
  readonly graceMs?: number;
  /** Milliseconds before the end at which the client gets a NOTICE. Default: no notice. */
  readonly noticeMs?: number;
}

/**
 * One client connection. The same object in every hook, so it can be the key of a WeakMap.
 * `Known` are the facts present for sure (`needs`), `Own` those this plugin establishes (`provides`).
 */
export interface Session<Known extends FactName = never, Own extends FactName = never> {
  /** Random, unique; in every log line of the session. */
  readonly id: string;
  /** Where the client comes from: its address, port, listener, and TLS with the verified certificate. */
  readonly client: Client;
  /** The client's StartupMessage: user, database, run-time parameters, and parameters `postern.…`. */
  readonly startup: Startup;
  /** Writes log lines with the session's id and subject. */
  readonly log: Logger;
  /** Which credential the client is asked for: its startup packet and its listener say so. */
  readonly credential: Credential;
  /** The words of `pg_stat_activity.state`, and `starting` before the first ReadyForQuery. */
  readonly state: SessionState;
  /** Milliseconds since the epoch of the last change of `state`. */
  readonly stateSince: number;
  /** Aborted when the session ends: give it to all that waits. */
  readonly signal: WebSignal;
  /** The facts that plugins have established: those in `needs` are there for sure. */
  readonly facts: Readonly<Pick<Facts, Known> & Partial<Omit<Facts, Known>>>;
  /** How the session is connected; final once every onAuth has returned, undefined before. */
  readonly upstream: Upstream | undefined;
  /** States a fact once, then runs every plugin's check for it before the next plugin's onAuth. @throws Error if stated twice */
  establish<F extends Own>(fact: F, value: Facts[F]): void;
  /**
   * Replaces facts later: every check passes, or nothing changes and it rejects with the check's error. Facts that have yet
   * to be found out may be a promise: observers are told of a renewal that was refused if it rejects.
   */
  renew(facts: MaybePromise<Partial<Pick<Facts, Own>>>): Promise<void>;
  /** Ends the session at a time with FATAL `error`; of several the earliest wins. Times in the past end it at once. */
  endAt(at: Date, error: GatewayError, how?: EndAtOptions): { move(at: Date): void };
  /** Ends the session now: FATAL `error` at the next message boundary. */
  end(error: GatewayError): void;
  /** Sends a NoticeResponse at the next message boundary. */
  notice(message: string, hint?: string): void;
  /** Runs `release` once, after the session's last hook settled; at once if that has been. */
  defer(release: Disposer): void;
}

/** A session during `onAuth`, when the credential may be asked for. */
export interface LoginSession<Known extends FactName = never, Own extends FactName = never> extends Session<
  Known,
  Own
> {
  /**
   * The token, as the listener takes it: given as password, or by OAUTHBEARER. The client is asked once, when the first plugin
   * calls this. For sessions with one of these credentials.
   * @throws Error in a session with another credential; GatewayError that ends the login, as for a client that asks where to get a token (`OAuthAnnouncement`)
   */
  token(): Promise<string>;
  /**
   * Resolves when the client has proven the password whose verifier `lookup` gives for its user: by SCRAM-SHA-256, or -PLUS bound
   * to our certificate. The client is asked once, when the first plugin calls this. A user without verifier is asked like any
   * other (`mock`), and refused as for a wrong password. Nothing of the proof is kept: with it anybody could log in where the
   * verifier is the same.
   * @throws GatewayError that ends the login, `invalid_password` for a proof that is wrong; what `lookup` throws
   */
  scram(lookup: ScramLookup, mock?: ScramMock): Promise<void>;
}

/** Why a session ended. */
export type CloseReason =
  /** It had no token, and was told where to get one (`OAuthAnnouncement`): no failed login. */
  | { readonly kind: 'discovery'; readonly error: GatewayError }
  /** `client`: it said Terminate. `lost`: its connection broke. `upstream`: the server ended or was lost. */
  | { readonly kind: 'client' | 'lost' | 'upstream' }
  | { readonly kind: 'refused' | 'ended' | 'drained'; readonly error: GatewayError };
