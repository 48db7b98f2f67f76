/** Sessions whose statements are cancelled, among others that share their connections: whom do the cancels hit? */
import type { LoggedIn } from './gateway.ts';
import { RawClient, cancelRequest, fieldsOf, message } from './raw-client.ts';

/** A statement that says when it runs, and then waits to be cancelled. */
export const LONG = "do $$ begin raise notice 'running'; perform pg_sleep(15); end $$";
/** The SQLSTATE of a statement that was cancelled. */
const CANCELED = '57014';

/** A session as a cancel needs it. */
export type Cancelable = Pick<LoggedIn, 'client' | 'processId' | 'secret'>;

/** What came of cancels. */
export interface CancelCounts {
  readonly sent: number;
  /** They ended the statement that they were meant for. */
  readonly arrived: number;
  /** SQLSTATEs of statements that nobody cancelled. */
  readonly stray: readonly string[];
  /** Statements that nobody cancelled. */
  readonly served: number;
}

/** The SQLSTATE of an answer up to its ReadyForQuery; undefined: no error. */
export async function answered(client: RawClient): Promise<string | undefined> {
  for (let error: string | undefined; ;) {
    const { type, body } = await client.message();
    if (type === 'E') error = fieldsOf(body)['C'];
    if (type === 'Z') return error;
  }
}

/** Runs a statement: the SQLSTATE of its error. */
export function ask(client: RawClient, sql: string): Promise<string | undefined> {
  client.send(message('Q', `${sql}\0`));
  return answered(client);
}

/** Sends a CancelRequest to a gateway, and resolves when that has closed the connection. @throws Error if it said anything */
export async function cancel(port: number, { processId, secret }: Omit<Cancelable, 'client'>): Promise<void> {
  const canceller = await RawClient.connect(port);
  canceller.send(cancelRequest(processId, secret));
  const { length } = await canceller.rest();
  if (length > 0) throw new Error(`a cancel request was answered by ${length} bytes`);
}

/** Starts a long statement, cancels it where `port` says, and runs a short one, which a cancel that comes late would hit. */
async function cancelOne(victim: Cancelable, port: number): Promise<Omit<CancelCounts, 'sent'>> {
  const { client } = victim;
  client.send(message('Q', `${LONG}\0`));
  await client.until('N');
  await cancel(port, victim);
  const code = await answered(client);
  const next = await ask(client, 'select 1');
  const stray = [code === CANCELED ? undefined : code, next].filter((one) => one !== undefined);
  return { arrived: code === CANCELED ? 1 : 0, stray, served: 1 };
}

/** Cancels `each` statements of every victim, one after the other, where `portFor` says, while the bystanders run short ones. */
export async function cancelMany<V extends Cancelable>({
  victims,
  bystanders,
  each,
  portFor,
}: {
  readonly victims: readonly V[];
  readonly bystanders: readonly Cancelable[];
  readonly each: number;
  readonly portFor: (victim: V) => number;
}): Promise<CancelCounts> {
  const over = new AbortController();
  const stray: string[] = [];
  let [sent, arrived, served] = [0, 0, 0];
  const standing = bystanders.map(async ({ client }) => {
    while (!over.signal.aborted) {
      const code = await ask(client, 'select pg_sleep(0.001)');
      served += 1;
      if (code !== undefined) stray.push(code);
    }
  });
  const cancelling = victims.map(async (victim) => {
    for (let i = 0; i < each; i += 1) {
      const one = await cancelOne(victim, portFor(victim));
      sent += 1;
      arrived += one.arrived;
      served += one.served;
      stray.push(...one.stray);
    }
  });
  await Promise.all(cancelling).finally(() => over.abort());
  await Promise.all(standing);
  return { sent, arrived, stray, served };
}
