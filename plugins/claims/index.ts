/** The verified claims in SQL: for policies that trust whoever writes the SQL, and signed for those that need not. */
import { claimAt } from '../../core/index.ts';
import type { Identity, Plugin, SetByFunction } from '../../core/index.ts';
import { optionsOf } from './options.ts';
import type { Checked, ClaimsOptions } from './options.ts';
import { refuseInexact } from './exact.ts';
import { adoption } from './sign.ts';

export type { ClaimsOptions } from './options.ts';

function selected({ claims }: Identity, { selects }: Checked): object {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => selects(name)));
}

/**
 * Gives the verified claims to SQL: as a setting, and, with a key, signed, so that row-level security can trust them.
 *
 * @place 11 below the plugin that provides `identity`
 * @throws ConfigError that names the option, such as `claims.key`
 * @example claims({ key: file('claims.key'), select: ['sub', 'tenant'] })
 */
export function claims(options: ClaimsOptions = {}): Plugin<'identity', never, 'claims'> {
  const checked = optionsOf(options);
  return {
    name: 'claims',
    options,
    needs: ['identity'],
    checks: {
      identity(identity) {
        // To a policy, a claim that is elsewhere would look like one that nobody has.
        for (const name of checked.named) claimAt(identity.claims, name);
        refuseInexact(selected(identity, checked));
      },
    },
    onAuth(session, upstream) {
      const key = checked.key?.();
      const { setting } = checked;
      return {
        ...upstream,
        onCheckout: [
          ...upstream.onCheckout,
          (backend): Record<string, string | SetByFunction> => {
            // Now, and not at the login: a renewed token has others.
            const { identity } = session.facts;
            const own = selected(identity, checked);
            const bound = {
              database: session.upstream?.database ?? upstream.database,
              backend,
              expiresAt: identity.graceUntil ?? identity.expiresAt,
            };
            return {
              ...(setting !== undefined && { [setting]: JSON.stringify(own) }),
              ...(key !== undefined && { 'postern.claims': adoption(key, own, bound) }),
            };
          },
        ],
      };
    },
  };
}
