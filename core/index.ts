/** The public surface of Postern: what plugins, examples and config files import as `postern`. */
export { claimAt, hasClaim, whyElsewhere } from './claim.ts';
export type { Command, CommandLine, CommandOption, StandaloneCommand } from './command.ts';
export { defineConfig, env, file, only } from './config.ts';
export type { AdminOptions, GatewayConfig } from './config.ts';
export { CREDENTIALS, RESERVED_ISSUERS, TOKEN_CREDENTIALS } from './credential.ts';
export type { Credential, CredentialChoice, CredentialSigns, OAuthAnnouncement } from './credential.ts';
export type {
  DatabaseOptions,
  Databases,
  HostAddress,
  Login,
  PoolOptions,
  Secret,
  TlsMode,
  UpstreamTls,
} from './database.ts';
export type { Duration, Rate } from './durations.ts';
export type { ListenOptions, ListenTls } from './listen.ts';
export type { StartupRules } from './startup-rules.ts';
export { milliseconds, rate } from './durations.ts';
export type { EventRate } from './durations.ts';
export { ConfigError, GatewayError, SQLSTATES } from './errors.ts';
export type { Condition, ErrorDetails } from './errors.ts';
export { FollowedFile } from './followed-file.ts';
export type { FileUse } from './followed-file.ts';
export type { Actor, Ended, EventName, Events, HookName, SessionCounts } from './events.ts';
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
  ServiceName,
  Services,
  TokenRules,
  TokenVerifier,
} from './facts.ts';
export type { Lookup, LookupRow } from './lookup.ts';
export { parseDatabase, parseRole, parseSchema, parseTenant } from './names.ts';
export type { DatabaseName, RoleName, SchemaName, TenantName } from './names.ts';
export { Networks, parseNetwork } from './networks.ts';
export type { Network } from './networks.ts';
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
} from './option-readers.ts';
export type { DurationLimits, IntegerLimits } from './option-readers.ts';
export { Outbound } from './outbound.ts';
export type { OutboundOptions, OutboundRequest, OutboundResponse } from './outbound.ts';
export type {
  AnyPlugin,
  FactChecks,
  GatewayHandle,
  Observers,
  Ordered,
  Plugin,
  PluginEntry,
  PluginList,
  Scope,
  SessionObservers,
} from './plugin.ts';
export { proxyFor } from './proxy.ts';
export type { Proxy } from './proxy.ts';
export type { Readings, RoleReading, TotalsReading } from './readings.ts';
export type { RouteMethod, RouteOperation, RouteOptions } from './route.ts';
export type { ScramLookup, ScramMock, ScramVerifier } from './scram.ts';
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
} from './session.ts';
export { printable, shown, shownChoice } from './shown.ts';
export { withoutLiterals, withoutTokens } from './sql-text.ts';
export type { Row, Statement } from './statement.ts';
export { TARGETS } from './target.ts';
export { TokenRulesReader } from './token-rules.ts';
export type { TokenRulesForm } from './token-rules.ts';
export type { Target } from './target.ts';
export {
  DEFAULT_ITERATIONS,
  makeScramVerifier,
  mockScramVerifier,
  parseScramVerifier,
} from './wire/scram-verifier.ts';
