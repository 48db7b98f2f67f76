import { expect, test } from 'vitest';
import type { QueryHook } from '../../../core/relay/statements/query-hook.ts';
import { Op, ResponseAction } from '../../../core/relay/requests/request-queue.ts';
import { OutstandingRequests } from '../../../core/relay/requests/outstanding-requests.ts';
import type { LinkState } from '../../../core/relay/transaction-boundary.ts';
import { UnlinkedMessages } from '../../../core/relay/unlinked-messages.ts';
import { frame } from '../../support/raw.ts';

const PARSE = 'P'.charCodeAt(0);
/** A query hook that could answer every message without a server. */
const answering = {
  discarding: false,
  messageMask: { asks: () => false },
  answersWithoutServer: () => true,
} as unknown as QueryHook;

function meaning(state: LinkState, bytes: Buffer): unknown {
  const link = { state, checkOuts: 1, need: () => 'wait' as const };
  const messages = new UnlinkedMessages({
    outstanding: new OutstandingRequests(),
    queryHook: answering,
    link,
    end: () => {},
  });
  return messages.meaning(PARSE, bytes, bytes.length, 65_536);
}

test('a known Parse needs no connection, but waits on one whose settings are outdated: what follows it must not run with them', () => {
  const parse = frame('P', 'name', 'select 1', 0);
  expect(meaning('unlinked', parse)).toBe('go');
  expect(meaning('linked', parse)).toBe('wait');
});

test('a renewal in band waits for nothing', () => {
  expect(meaning('linked', frame('P', '', "set postern.token = 'x'", 0))).toBe('go');
});

test('behind a Bind run-time parameters are not known: types and functions of users run in it', () => {
  const outstanding = new OutstandingRequests();
  expect(outstanding.settingsKnown).toBe(true);
  outstanding.sent(Op.bind, ResponseAction.forward);
  expect([outstanding.settingsKnown, outstanding.changing]).toEqual([false, false]);
});
