/** Warnings about a config: each worker comes upon the same ones, and one of them tells each. */
import type { PinoLogger } from '../telemetry/log.ts';
import { PREPARE_MS } from '../workers/decisions/reloads.ts';
import type { Coordination } from '../workers/coordination.ts';

/** On this board is what has been told. */
const BOARD = ':warnings';
/** How long the others may take to come upon it in a reload, in milliseconds: no longer than they may prepare a config. Behind that it is told anew. */
const RELOAD_MS = PREPARE_MS;

/** Tells at the start of the gateway, which the successor of a dead worker does not repeat, and at each reload. Never throws. */
export function warnOfConfig(
  { coordination, log }: { readonly coordination: Coordination; readonly log: PinoLogger },
  fields: object,
  text: string,
): void {
  const tell = (): void => log.warn(fields, text);
  if (coordination.workers === 1) tell();
  else void isFirst(coordination, JSON.stringify([fields, text])).then((first) => first && tell());
}

/** Whether no other worker has told it. */
async function isFirst(coordination: Coordination, warning: string): Promise<boolean> {
  // That of the config before a reload, the same in all; none at the start.
  const { generation } = coordination;
  const until = generation === undefined ? {} : { until: Date.now() + RELOAD_MS };
  try {
    const board = await coordination.board(BOARD);
    return await board.put(`${generation ?? 'start'} ${warning}`, true, { ...until, expected: undefined });
  } catch {
    // The gateway stops: rather twice than never.
    return true;
  }
}
