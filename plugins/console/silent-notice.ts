/** What an operator is told where a worker of the gateway has not answered. */
import type { Silent } from '../../core/index.ts';
import type { Notice } from './command.ts';

/** Undefined: all have. 01000 is a warning (manual, Appendix A). */
export function silentNotice({ silent }: Silent): Notice | undefined {
  if (!silent) return undefined;
  const [workers, have] = silent.length === 1 ? ['worker', 'has'] : ['workers', 'have'];
  return {
    severity: 'WARNING',
    code: '01000',
    message: `${workers} ${silent.join(', ')} ${have} not answered: what is theirs is missing here`,
  };
}
