import { expect, test } from 'vitest';
import type { Gate } from '../../../core/relay/gate.ts';
import { Kind, Op } from '../../../core/relay/entries.ts';
import { Ledger } from '../../../core/relay/ledger.ts';
import type { LinkState } from '../../../core/relay/transaction-boundary.ts';
import { UnlinkedMessages } from '../../../core/relay/unlinked-messages.ts';
import { frame } from '../../support/raw.ts';

const PARSE = 'P'.charCodeAt(0);
/** A gate that could answer every message without a server. */
const answering = {
  discarding: false,
  attention: { asks: () => false },
  answersAlone: () => true,
} as unknown as Gate;

function meaning(state: LinkState, bytes: Buffer): unknown {
  const link = { state, checkOuts: 1, need: () => 'wait' as const };
  const messages = new UnlinkedMessages({ ledger: new Ledger(), gate: answering, link, end: () => {} });
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
  const ledger = new Ledger();
  expect(ledger.settingsKnown).toBe(true);
  ledger.sent(Op.bind, Kind.forward);
  expect([ledger.settingsKnown, ledger.changing]).toEqual([false, false]);
});
