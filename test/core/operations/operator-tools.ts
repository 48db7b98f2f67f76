/** What tests of operators share: gateways that end with their test, what the console shows, and waiting for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterEach } from 'vitest';
import { startOperated } from '../../support/operated.ts';
import type { Operated, OperatedOptions } from '../../support/operated.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { RawClient, cancelRequest } from '../../support/raw-client.ts';

/** Rows of the console. */
export type Rows = readonly Readonly<Record<string, unknown>>[];

/** Gives the function that starts gateways before the shared server; each stops when its test is over. Call it once per file. */
export function operatedGateways(): (options?: OperatedOptions) => Promise<Operated> {
  const stops: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).toReversed()) await stop();
  });
  return async (options) => {
    const running = await startOperated(sharedPostgres(), options);
    stops.push(() => running.gateway.stop());
    return running;
  };
}

/** The rows of a SHOW. */
export async function show(desk: Client, what: string): Promise<Rows> {
  return (await desk.query<Record<string, unknown>>(`SHOW ${what}`)).rows;
}

/** The row of the entry `orders`. */
export const ofOrders = (rows: Rows): Readonly<Record<string, unknown>> =>
  rows.find((row) => row['database'] === 'orders' || row['name'] === 'orders') ?? {};

/** Waits until it is so, for as long as the test may take. */
export async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await sleep(20);
}

/** What the operators' HTTP interface says of the entry `orders`. */
export const stateOf = async (running: Operated): Promise<Record<string, unknown>> =>
  (await running.ask('GET', '/v1/databases/orders')).body as Record<string, unknown>;

/** Whether it is settled after a while in which it could have been. Good for a `false` only: a busy machine takes longer. */
export const settled = async (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([promise.then(() => true), sleep(100).then(() => false)]);

/** Sends the CancelRequest of a client. */
export async function cancel({ port }: Operated, client: Client): Promise<void> {
  const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey);
  (await RawClient.connect(port)).send(cancelRequest(processID, secret));
}
