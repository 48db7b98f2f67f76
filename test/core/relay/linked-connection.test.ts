import { expect, test } from 'vitest';
import { discardSequencesOfOthers, reportParameterChanges } from '../../../core/relay/linked-connection.ts';
import { OutstandingRequests } from '../../../core/relay/requests/outstanding-requests.ts';
import { ResponseAction } from '../../../core/relay/requests/request-queue.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { ParameterMap } from '../../../core/upstream/parameter-map.ts';
import { Backend } from '../../../core/wire/frames.ts';
import { parameterStatus } from '../../../core/wire/to-client.ts';
import { encodeQuery } from '../../../core/wire/to-server.ts';

interface Linked {
  readonly server: ServerConnection;
  readonly written: Buffer[];
}

function linked(more: Partial<ServerConnection>): Linked {
  const written: Buffer[] = [];
  const channel = { writeCopy: (bytes: Buffer) => (written.push(Buffer.from(bytes)), true) };
  return { server: { channel, ...more } as unknown as ServerConnection, written };
}

test('the client is told each parameter that differs, once', () => {
  const known = new ParameterMap([
    ['TimeZone', 'UTC'],
    ['DateStyle', 'ISO'],
  ]);
  const { server } = linked({
    parameters: new ParameterMap([
      ['TimeZone', 'Asia/Tokyo'],
      ['DateStyle', 'ISO'],
      ['in_hot_standby', 'on'],
    ]),
  });
  const told: Buffer[] = [];
  for (let i = 0; i < 2; i += 1) reportParameterChanges(known, server, (bytes) => told.push(bytes));
  expect(told).toEqual([parameterStatus('TimeZone', 'Asia/Tokyo'), parameterStatus('in_hot_standby', 'on')]);
  expect([...known]).toEqual([...server.parameters]);
});

test('values of sequences are discarded once, in front of the first message', () => {
  const { server, written } = linked({ sequencesOfOthers: 'present' });
  const outstanding = new OutstandingRequests();
  for (let i = 0; i < 2; i += 1) discardSequencesOfOthers(server, outstanding);
  expect([written, server.sequencesOfOthers]).toEqual([[encodeQuery('DISCARD SEQUENCES')], 'discarded']);
  expect(outstanding.unfinished).toBe('answers');
});

test('nothing is sent where no other session has left any', () => {
  for (const sequencesOfOthers of [undefined, 'discarded'] as const) {
    const { server, written } = linked({ sequencesOfOthers });
    discardSequencesOfOthers(server, new OutstandingRequests());
    expect(written).toEqual([]);
  }
});

test('the answer is hidden, and an error says that the values are still there: the next session discards them', () => {
  const { server } = linked({ sequencesOfOthers: 'present' });
  const observers: { answered(type: number): void }[] = [];
  const outstanding = {
    sent: (_op: number, action: number, observer: { answered(type: number): void }) => {
      expect(action).toBe(ResponseAction.skip);
      observers.push(observer);
    },
  } as unknown as OutstandingRequests;
  discardSequencesOfOthers(server, outstanding);
  for (const observer of observers) observer.answered(Backend.errorResponse);
  expect([observers.length, server.sequencesOfOthers]).toEqual([1, 'present']);
});
