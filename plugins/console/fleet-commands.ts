/** Orders to one gateway, or with FLEET behind them to all instances of its fleet. */
import { ConfigError, GatewayError, milliseconds } from '../../core/index.ts';
import type { FleetOperations, FleetProof } from '../../core/index.ts';
import type { Answer, Command, Desk, Notice } from './command.ts';
import type { Words } from './words.ts';

/** To what an order is. */
interface Target {
  /** Undefined: every database. */
  readonly name: string | undefined;
  readonly fleet: boolean;
  /** How long it holds, in milliseconds. Default: the order's own. */
  readonly forMs?: number;
}

/** `[database]`, `database FLEET`, `ALL FLEET`: a name alone is that of a database, also where it is `fleet`. Undefined: something else. */
function targetOf(words: Words, ends: boolean): Target | undefined {
  const all = words.takesAll('ALL', 'FLEET');
  const name = all ? undefined : words.name();
  const fleet = all || (name !== undefined && words.takes('FLEET'));
  const forMs = fleet && ends && words.takes('FOR') ? durationOf(words) : undefined;
  if (!words.over) return undefined;
  return { name, fleet, ...(forMs !== undefined && { forMs }) };
}

/** @throws GatewayError `syntax_error` */
function durationOf(words: Words): number {
  const { text = '' } = words.take() ?? {};
  try {
    const ms = milliseconds(text);
    if (ms > 0) return ms;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
  }
  throw new GatewayError('syntax_error', "FOR takes a duration such as '30min'");
}

type Order = (desk: Desk, name: string | undefined) => Promise<void>;
type FleetOrder = (
  operations: FleetOperations,
  desk: Desk,
  target: Target,
) => Promise<{ readonly proof: FleetProof; readonly isNot: string }>;

/** @throws GatewayError `feature_not_supported` where there is no fleet */
function ofFleet({ operations: { fleet } }: Desk): FleetOperations {
  if (fleet) return fleet;
  throw new GatewayError('feature_not_supported', 'this gateway is in no fleet: its config has no `fleet`');
}

async function answerOfFleet(tag: string, order: FleetOrder, desk: Desk, target: Target): Promise<Answer> {
  const { proof, isNot } = await order(ofFleet(desk), desk, target);
  return { tag, notice: noticeOf(proof, isNot) };
}

function noticeOf({ live, missing }: FleetProof, isNot: string): Notice | undefined {
  if (missing.length === 0) return undefined;
  const message = `of these instances it is not known that they ${isNot}: ${missing.join(', ')}`;
  return { severity: 'WARNING', code: '01000', message, detail: `Instances that live: ${live}.` };
}

/** One that may be to every database unless `one`, and may end by itself where `ends`. */
const commandOf =
  (
    tag: string,
    { one = false, ends = false }: { readonly one?: boolean; readonly ends?: boolean },
    order: Order,
    fleetOrder: FleetOrder,
  ) =>
  (words: Words): Command | undefined => {
    if (one && words.over) throw new GatewayError('syntax_error', 'a database is required');
    const target = targetOf(words, ends);
    if (!target || (one && target.name === undefined)) return undefined;
    return {
      run: async (desk) => {
        if (target.fleet) return answerOfFleet(tag, fleetOrder, desk, target);
        await order(desk, target.name);
        return { tag };
      },
    };
  };

/** Whoever gives up hears which instances it was that were waited for. */
async function pauseFleet(fleet: FleetOperations, desk: Desk, { name, forMs }: Target): Promise<FleetProof> {
  let waiting: readonly string[] = [];
  const waitingFor = (instances: readonly string[]): void => void (waiting = instances);
  const options = { waitingFor, ...(forMs !== undefined && { forMs }) };
  try {
    return await fleet.pause(desk.operator, name, desk.signal, options);
  } catch (error) {
    if (!(error instanceof GatewayError) || waiting.length === 0) throw error;
    const detail = `These instances still have server connections, or have not answered: ${waiting.join(', ')}.`;
    const hint = `What a PAUSE has paused stays so: RESUME ${name === undefined ? 'ALL' : `"${name}"`} FLEET takes it back.`;
    throw new GatewayError(error.code, error.message, { detail, hint, cause: error });
  }
}

/** `PAUSE`: until a RESUME no transaction begins. */
export const pauseCommand = commandOf(
  'PAUSE',
  { ends: true },
  ({ operations, operator, signal }, name) => operations.pause(operator, name, signal),
  async (fleet, desk, target) => ({
    proof: await pauseFleet(fleet, desk, target),
    isNot: 'have paused before they left the fleet',
  }),
);

/** `RESUME`: takes a PAUSE back. */
export const resumeCommand = commandOf(
  'RESUME',
  {},
  ({ operations, operator }, name) => operations.resume(operator, name),
  async (fleet, { operator }, { name }) => ({
    proof: await fleet.resume(operator, name),
    isNot: 'have resumed',
  }),
);

/** `DISABLE`: no new session of a database. */
export const disableCommand = commandOf(
  'DISABLE',
  { one: true },
  ({ operations, operator }, name = '') => operations.disable(operator, name),
  async (fleet, { operator }, { name = '' }) => ({
    proof: await fleet.disable(operator, name),
    isNot: 'have disabled it',
  }),
);

/** `ENABLE`: takes a DISABLE back. */
export const enableCommand = commandOf(
  'ENABLE',
  { one: true },
  ({ operations, operator }, name = '') => operations.enable(operator, name),
  async (fleet, { operator }, { name = '' }) => ({
    proof: await fleet.enable(operator, name),
    isNot: 'have enabled it',
  }),
);
