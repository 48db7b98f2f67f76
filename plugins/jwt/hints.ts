/** What the core may say of this plugin to a config that lacks it. */
import { TOKEN_CREDENTIALS } from '../../core/index.ts';
import type { PluginHints } from '../../core/index.ts';

/** As the plugin is made. */
export const hints = {
  provides: ['identity', 'rules'],
  credentials: TOKEN_CREDENTIALS,
  announces: "jwt({ issuers: [{ …, oauth: { scope: 'openid' } }] })",
} as const satisfies PluginHints;
