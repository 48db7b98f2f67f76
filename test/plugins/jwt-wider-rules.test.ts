/** Rules of a fresh token against those before: what counts as wider. */
import { expect, test } from 'vitest';
import type { AccessWindow, TokenRules } from '../../core/index.ts';
import { widerRule } from '../../plugins/jwt/wider-rules.ts';

const window = (more: Partial<AccessWindow> = {}): AccessWindow => ({
  days: ['mon', 'tue'],
  from: '08:00',
  to: '18:00',
  tz: 'Europe/Berlin',
  ...more,
});

test.each<[TokenRules, TokenRules]>([
  [{}, {}],
  [{ maxConnections: 5 }, {}],
  [{ maxConnections: 5 }, { maxConnections: 5 }],
  [{ databases: [] }, { databases: ['a'] }],
  [{ databases: ['b'] }, { databases: ['a', 'b'] }],
  [{ cidrs: ['10.1.0.0/16', '10.2.3.4/32'] }, { cidrs: ['10.0.0.0/8'] }],
  [{ cidrs: ['2001:db8:1::/48'] }, { cidrs: ['10.0.0.0/8', '2001:db8::/32'] }],
  [{ cidrs: ['10.0.0.0/8'] }, { cidrs: ['0.0.0.0/0'] }],
  [{ windows: [window({ days: ['tue'], from: '09:00', to: '17:00' })] }, { windows: [window()] }],
  [
    { windows: [window({ from: '22:00', to: '06:00' })] },
    { windows: [window({ from: '22:00', to: '06:00' })] },
  ],
  [{ rate: { statements: '60/m' } }, { rate: { statements: '60/m' } }],
  [{ rate: { statements: '1/s' } }, { rate: { statements: '60/m' } }],
  [{ rate: { statements: '1/s', connections: '1/s' } }, { rate: { statements: '1/s' } }],
  [{ maxSession: '30m' }, { maxSession: '1h' }],
])('%j is not wider than %j', (after, before) => {
  expect(widerRule(after, before)).toBeUndefined();
});

test.each<[TokenRules, TokenRules]>([
  [{}, { maxConnections: 5 }],
  [{ maxConnections: 6 }, { maxConnections: 5 }],
  [{}, { databases: [] }],
  [{ databases: ['a', 'c'] }, { databases: ['a', 'b'] }],
  [{ cidrs: ['10.0.0.0/8'] }, { cidrs: ['10.1.0.0/16'] }],
  [{ cidrs: ['11.0.0.0/16'] }, { cidrs: ['10.0.0.0/8'] }],
  [{ cidrs: ['::/0'] }, { cidrs: ['0.0.0.0/0'] }],
  [{ cidrs: ['10.1.0.0/16', '12.0.0.0/8'] }, { cidrs: ['10.0.0.0/8'] }],
  [{ windows: [window({ days: ['tue', 'wed'] })] }, { windows: [window()] }],
  [{ windows: [window({ tz: 'UTC' })] }, { windows: [window()] }],
  [{ windows: [window({ to: '18:01' })] }, { windows: [window()] }],
  [{ windows: [window({ from: '18:00', to: '08:00' })] }, { windows: [window()] }],
  [{ windows: [window(), window({ days: ['sun'] })] }, { windows: [window()] }],
  [{ rate: {} }, { rate: { statements: '1/s' } }],
  [{ rate: { statements: '61/m' } }, { rate: { statements: '1/s' } }],
  [{ rate: { statements: '60/m' } }, { rate: { statements: '1/s' } }],
  [{ maxSession: '2h' }, { maxSession: '1h' }],
  [{ target: 'any' }, { target: 'replica' }],
])('%j is wider than %j', (after, before) => {
  expect(widerRule(after, before)).toBe(Object.keys(before)[0]);
});
