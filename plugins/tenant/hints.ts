/** What the core may say of this plugin to a config that lacks it. */
import type { PluginHints } from '../../core/index.ts';

/** As the plugin is made. */
export const hints = { provides: ['tenant'] } as const satisfies PluginHints;
