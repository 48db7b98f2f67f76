/** The options in a provider's config, without the plugins. */
import { runInNewContext } from 'node:vm';
import type { IssuerOptions, JwtOptions } from '../../../plugins/jwt/index.ts';
import type { RolesOptions } from '../../../plugins/roles/index.ts';
import type { Provider } from './provider.ts';

/** What its plugins are told. */
export interface PluginOptions {
  readonly issuer: IssuerOptions;
  readonly roles: readonly RolesOptions[];
}

/** Evaluates the config with functions in the place of the plugins. */
export function optionsOf({ config }: Provider): PluginOptions {
  const same = (options: unknown): unknown => options;
  const { plugins } = runInNewContext(`({ ${config} })`, { jwt: same, roles: same }) as {
    readonly plugins: readonly [JwtOptions, RolesOptions | readonly RolesOptions[]];
  };
  const [{ issuers }, roles] = plugins;
  const [issuer] = issuers;
  if (!issuer || issuers.length > 1) throw new Error('a provider has one issuer');
  return { issuer, roles: [roles].flat() };
}
