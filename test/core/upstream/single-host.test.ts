/** One address in front of servers that may change places: which connections still fit. */
import { expect, test } from 'vitest';
import { SingleHost } from '../../../core/upstream/hosts/single-host.ts';

/** A connection to a server that reports this `in_hot_standby`; absent before version 14. */
const connection = (standby?: 'on' | 'off') => ({
  parameters: new Map(standby === undefined ? [] : [['in_hot_standby', standby]]),
});

function host(): { readonly single: SingleHost; readonly pass: (ms: number) => void } {
  let now = 0;
  const single = new SingleHost({ host: 'db', port: 5432 }, { now: () => now });
  return { single, pass: (ms) => void (now += ms) };
}

test('a refused write of a server that does not say that it is a primary replaces what was connected before', () => {
  const { single } = host();
  const [old, { endpoint }] = [connection(), single];
  expect(single.fits(endpoint, old)).toBe(true);
  expect(single.refusedWrite(endpoint, old)).toBe(true);
  expect(single.readOnly).toBe(true);
  expect(single.endpoint).not.toBe(endpoint);
  expect(single.endpoint).toEqual(endpoint);
  expect(single.fits(endpoint, old)).toBe(false);
  expect(single.fits(single.endpoint, connection())).toBe(true);
});

test('a primary that refuses a write does so because the client asked for that', () => {
  const { single } = host();
  const { endpoint } = single;
  expect(single.refusedWrite(endpoint, connection('off'))).toBe(false);
  expect(single.readOnly).toBe(false);
  expect(single.endpoint).toBe(endpoint);
});

test('connections are replaced once a second at most, and not for one that was made before the last time', () => {
  const { single, pass } = host();
  const { endpoint } = single;
  expect(single.refusedWrite(endpoint, connection('on'))).toBe(true);
  expect(single.refusedWrite(endpoint, connection('on'))).toBe(false);
  const second = single.endpoint;
  pass(999);
  expect(single.refusedWrite(second, connection('on'))).toBe(false);
  pass(1);
  expect(single.refusedWrite(second, connection('on'))).toBe(true);
});

test('a primary that answers ends the state in which writes are refused', () => {
  const { single } = host();
  single.refusedWrite(single.endpoint, connection('on'));
  single.opened(connection('on'));
  expect(single.readOnly).toBe(true);
  single.opened(connection('off'));
  expect(single.readOnly).toBe(false);
});

test('a connection whose primary has become a replica does not fit; one that is being opened does', () => {
  const { single } = host();
  const was = connection('off');
  single.opened(was);
  was.parameters.set('in_hot_standby', 'on');
  expect(single.fits(single.endpoint, was)).toBe(false);
  expect(single.fits(single.endpoint, connection('on'))).toBe(true);
  expect(single.fits(undefined, undefined)).toBe(true);
  was.parameters.set('in_hot_standby', 'off');
  expect(single.fits(undefined, was)).toBe(true);
});
