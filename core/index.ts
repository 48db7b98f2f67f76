/** The public surface of Postern: what plugins, examples and config files import as `postern`. */
export { claimAt, hasClaim, whyElsewhere } from './options/claim.ts';
export type { AnsweredConnection, AnsweredDatabase, ClientMessage } from './contract/answered-database.ts';
export type { Command, CommandLine, CommandOption, StandaloneCommand } from './contract/command.ts';
export { defineConfig, env, file, only } from './contract/config.ts';
export type { AdminOptions, AdminTls, GatewayConfig, OperatorsOptions } from './contract/config.ts';
export { CREDENTIALS, RESERVED_ISSUERS, TOKEN_CREDENTIALS } from './contract/credential.ts';
export type {
  Credential,
  CredentialChoice,
  CredentialSigns,
  DefaultCredential,
  OAuthAnnouncement,
} from './contract/credential.ts';
export type {
  CertificateLogin,
  DatabaseOptions,
  Databases,
  HostAddress,
  Login,
  PasswordLogin,
  Secret,
  SetRoleLogin,
  TlsMode,
  TrustLogin,
  UpstreamTls,
} from './contract/database.ts';
export type {
  FleetAwayOptions,
  FleetOptions,
  FleetStoreOptions,
  SentinelAddress,
} from './contract/fleet-options.ts';
export type { Duration, Rate } from './contract/durations.ts';
export type { CertificatePair, ListenOptions, ListenTls, ProxyProtocolOptions } from './contract/listen.ts';
export type { PoolOptions } from './contract/pool.ts';
export type { StartupRules } from './contract/startup-rules.ts';
export { milliseconds, rate } from './contract/durations.ts';
export type { EventRate } from './contract/durations.ts';
export { ConfigError, GatewayError, SQLSTATES } from './contract/errors.ts';
export type { Condition, ErrorDetails } from './contract/errors.ts';
export { FollowedFile } from './options/followed-file.ts';
export type { FileUse } from './options/followed-file.ts';
export type { DuplexStream } from './contract/duplex-stream.ts';
export type { Actor, Ended, EventName, Events, HookName, SessionCounts } from './contract/events.ts';
export type {
  AccessWindow,
  FactName,
  Facts,
  Identity,
  KeySetReading,
  KeySets,
  OperatorCheck,
  PasswordUserReading,
  PasswordUsers,
  RevocationTarget,
  Revocations,
  RuleName,
  TokenRules,
  TokenVerifier,
} from './contract/facts.ts';
export type { PluginHints } from './contract/hints.ts';
export type { Lookup, LookupRow } from './contract/lookup.ts';
export { parseDatabase, parseRole, parseSchema, parseTenant } from './contract/names.ts';
export type { DatabaseName, RoleName, SchemaName, TenantName } from './contract/names.ts';
export type {
  FleetOperations,
  FleetOrder,
  FleetPauseOptions,
  Operations,
  Operator,
  ShutdownAfter,
} from './contract/operations.ts';
export type {
  ArrivingSession,
  EntryReading,
  FleetReading,
  EntrySettings,
  MemoryReading,
  OfWorker,
  Overview,
  OverviewParts,
  PeerReading,
  PeriodReading,
  PluginReading,
  ServerReading,
  SessionReading,
  SettingReading,
  Silent,
  SocketReading,
} from './contract/overview.ts';
export { Networks, parseNetwork } from './options/networks.ts';
export type { Network } from './options/networks.ts';
export {
  badOption,
  readChoice,
  readDuration,
  readFlag,
  readHttpUrl,
  readInteger,
  readIssuer,
  readList,
  readObject,
  readParsed,
  readSecret,
  readText,
  readTexts,
} from './options/option-readers.ts';
export type { DurationLimits, IntegerLimits } from './options/option-readers.ts';
export { Outbound } from './outbound/outbound.ts';
export type { HostLookup, OutboundOptions, OutboundRequest, OutboundResponse } from './outbound/outbound.ts';
export type {
  AnyPlugin,
  FactChecks,
  Observers,
  Plugin,
  PluginEntry,
  PluginList,
  SessionObservers,
} from './contract/plugin.ts';
export type { AloneOptions, GatewayHandle } from './contract/gateway-handle.ts';
export type { Board, BoardChange, BoardOptions, PutOptions } from './contract/board.ts';
export type {
  Fleet,
  FleetAnswer,
  FleetAway,
  FleetInstance,
  FleetProof,
  InstanceRecipient,
} from './contract/fleet.ts';
export { LastingCounts } from './contract/lasting-counts.ts';
export type { Counted, KnownCounts } from './contract/lasting-counts.ts';
export type { PlaceRequest, Places } from './contract/places.ts';
export type { AskOptions, Post, PostAnswer, Recipient } from './contract/post.ts';
export type { Ordered } from './contract/plugin-order.ts';
export { proxyFor } from './outbound/proxy.ts';
export type { Proxy } from './outbound/proxy.ts';
export type { ProbeContext, ProbeFinding } from './contract/probe.ts';
export { NOTHING_USED } from './contract/readings.ts';
export type { Readings, RoleReading, TotalsReading, UsedCounts } from './contract/readings.ts';
export { reasonOf } from './contract/reason.ts';
export type { RouteMethod, RouteOperation, RouteOptions } from './contract/route.ts';
export type { ScramLookup, ScramMock, ScramVerifier } from './contract/scram.ts';
export type {
  Backend,
  Client,
  ClientCertificate,
  CloseReason,
  Disposer,
  EndAtOptions,
  Logger,
  LoginSession,
  MaybePromise,
  Session,
  SessionState,
  SetByFunction,
  Startup,
  Upstream,
} from './contract/session.ts';
export type { Scope } from './contract/scope.ts';
export type { GatewayServiceName, GatewayServices, ServiceName, Services } from './contract/services.ts';
export { printable, shown, shownChoice } from './options/shown.ts';
export { withoutLiterals, withoutTokens } from './sql/sql-text.ts';
export type { Row, Statement } from './contract/statement.ts';
export { TARGETS } from './contract/target.ts';
export { TokenRulesReader } from './options/token-rules.ts';
export type { TokenRulesForm } from './options/token-rules.ts';
export type { Target } from './contract/target.ts';
export type { WebRequest, WebResponse, WebSignal, WebUrl } from './contract/web-types.ts';
export {
  DEFAULT_ITERATIONS,
  makeScramVerifier,
  mockScramVerifier,
  parseScramVerifier,
} from './wire/scram-verifier.ts';
