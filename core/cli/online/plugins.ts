/** Asks each plugin whether what it depends on is there. */
import type { ResolvedConfig } from '../../config/resolved.ts';
import type { AnyPlugin } from '../../contract/plugin.ts';
import type { ProbeContext, ProbeFinding } from '../../contract/probe.ts';
import { reasonOf } from '../../contract/reason.ts';
import { abortable } from '../../upstream/deadline.ts';
import { Lookups } from '../../upstream/lookups.ts';
import type { Finding } from './finding.ts';
import { TARGET_MS } from './servers.ts';

/** How much longer than its signal a plugin is waited for, in milliseconds. */
const GRACE_MS = 500;

const LEVELS: readonly Finding['level'][] = ['ok', 'warning', 'error'];

/** @throws Error for what is none: an error under a name that is not known must not pass for none */
function findingOf({ path, text, level = 'ok' }: ProbeFinding): Finding {
  if (typeof path === 'string' && typeof text === 'string' && LEVELS.includes(level))
    return { path, text, level };
  throw new Error('its probe gives something that is no finding { path, text, level }');
}

async function findingsOf(plugin: AnyPlugin, context: ProbeContext): Promise<readonly Finding[]> {
  try {
    const end = AbortSignal.timeout(TARGET_MS + GRACE_MS);
    const asked = new Promise<Awaited<ReturnType<NonNullable<AnyPlugin['probe']>>>>((resolve) => {
      resolve(plugin.probe?.(context) ?? []);
    });
    const found = await abortable(asked, end);
    return found.map(findingOf);
  } catch (error) {
    return [
      { level: 'error', path: plugin.name, text: error instanceof Error ? reasonOf(error) : 'no reason' },
    ];
  }
}

/** All of them at once. */
export async function pluginFindings(config: ResolvedConfig): Promise<readonly Finding[]> {
  const lookups = new Lookups(config.database);
  const signal = AbortSignal.timeout(TARGET_MS);
  const context: ProbeContext = {
    directory: config.directory,
    signal,
    lookUp: (lookup) => lookups.ask(lookup),
  };
  try {
    const asked = config.plugins.filter((plugin) => plugin.probe !== undefined);
    return (await Promise.all(asked.map((plugin) => findingsOf(plugin, context)))).flat();
  } finally {
    lookups.close();
  }
}
