/** What plugins lend one another, and what the gateway lends them, by name. A third party adds by `declare module 'postern'`. */
import type { KeySets, OperatorCheck, PasswordUsers, Revocations, TokenVerifier } from './facts.ts';
import type { Operations } from './operations.ts';
import type { Overview } from './overview.ts';

/** Services of the gateway itself: they are always there. */
export interface GatewayServices {
  /**
   * Tells operators from others, of the gateway itself: the identity in an operator's token, or undefined.
   *
   * @example const operator = await gateway.service('operators').recognize(token);
   */
  operators: OperatorCheck;
  /**
   * The operators' orders, of the gateway itself: pause, resume, reconnect, kill, reload and the like, each with its operator and way.
   *
   * @example await gateway.service('operations').pause({ identity: ada, via: 'mine' }, 'orders', gateway.signal);
   */
  operations: Operations;
  /**
   * The state of the gateway in plain values, of the gateway itself: sessions, server connections, entries, settings, plugins.
   *
   * @example const { entries } = await gateway.service('overview').read('entries');
   */
  overview: Overview;
}

/** Services by name: lent by one plugin's `setup` to those below it, or by the gateway. */
export interface Services extends GatewayServices {
  /**
   * Verifies tokens, of `jwt`. A token with rules of its own is not good here: the caller could not keep them.
   *
   * @example const identity = await gateway.service('verifier')?.verify(token);
   */
  verifier: TokenVerifier;
  /**
   * Revokes tokens before they expire, of `jwt`. Sessions that came with one end with 57P01.
   *
   * @example await gateway.service('revocations')?.revoke({ issuer: 'https://id.example', subject: 'ada' });
   */
  revocations: Revocations;
  /**
   * Tells about the keys that tokens are verified with, of `jwt`: one reading per issuer and place of its keys.
   *
   * @example const ages = gateway.service('keySets')?.readings().map(({ issuer, ageMs }) => [issuer, ageMs]);
   */
  keySets: KeySets;
  /**
   * Tells which users still come with a password, of `passwords`.
   *
   * @example const users = gateway.service('passwordUsers')?.readings().map(({ user }) => user);
   */
  passwordUsers: PasswordUsers;
}

/** A name in {@link GatewayServices}. */
export type GatewayServiceName = keyof GatewayServices;
/** A name in {@link Services}. */
export type ServiceName = keyof Services;
