/** A role whose login the server refuses: how often its credentials are shown, and what the operator is told. By a clock of its own. */
import { expect, test } from 'vitest';
import { LoginBackoff, PAUSE_MS } from '../../../core/upstream/login-backoff.ts';
import { credentialsMissing, refusedByServer, unreachable } from '../../../core/upstream/refusals.ts';

const REFUSED = refusedByServer({ code: '28P01', message: 'password authentication failed' });

function loginBackoff() {
  const clock = { time: 0, now: () => clock.time, every: () => () => {} };
  const lines: string[] = [];
  const at =
    (level: string) =>
    ({ role, why = '' }: { role?: string; why?: string }, text: string): void =>
      void lines.push([level, role, text, why].join('|'));
  const log = { info: at('info'), error: at('error') };
  const made = new LoginBackoff({ entry: 'orders', clock, log });
  /** A login that shows these credentials and ends so; what the breaker said of them. */
  const login = (shown: string, error?: unknown, role = 'reader'): string => {
    const loginAttempt = made.begin(role);
    try {
      loginAttempt.shows(shown);
    } catch (refused) {
      loginAttempt.failed(refused);
      return 'not shown';
    }
    if (error === undefined) loginAttempt.succeeded();
    else loginAttempt.failed(error);
    return 'shown';
  };
  const may = (role = 'reader'): boolean => made.refusal(role) === undefined;
  return { made, clock, lines, login, may };
}

test('refused credentials are not shown again for 30 s, and others are as soon as they are there', () => {
  const { clock, login, may, lines } = loginBackoff();
  expect([login('old', REFUSED), may()]).toEqual(['shown', false]);
  clock.time = 1_000;
  expect([may(), login('old')]).toEqual([true, 'not shown']);
  clock.time = 2_100;
  expect([may(), login('new')]).toEqual([true, 'shown']);
  expect(may()).toBe(true);
  expect(lines).toEqual([
    expect.stringMatching(/^error\|reader\|the server refuses the login.*28P01/) as string,
    'info|reader|the server accepts the login again|',
  ]);
});

test('the same ones are shown once when the 30 s are over', () => {
  const { clock, login, lines } = loginBackoff();
  login('old', REFUSED);
  clock.time = PAUSE_MS - 1;
  expect(login('old')).toBe('not shown');
  clock.time = PAUSE_MS;
  expect([login('old', REFUSED), login('old')]).toEqual(['shown', 'not shown']);
  expect(lines).toHaveLength(1);
});

test('a source that gives other credentials each time is asked less and less often', () => {
  const { clock, login, made } = loginBackoff();
  const pauses: number[] = [];
  for (let n = 0; n < 8; n += 1) {
    login(`password ${n}`, REFUSED);
    const from = clock.time;
    while (made.refusal('reader')) clock.time += 100;
    pauses.push(clock.time - from);
  }
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, PAUSE_MS, PAUSE_MS, PAUSE_MS]);
});

test('one login at a time while the role is refused, and other roles notice nothing', () => {
  const { made, clock, login, may } = loginBackoff();
  login('old', REFUSED);
  clock.time = PAUSE_MS;
  const loginAttempt = made.begin('reader');
  expect([may(), may('writer')]).toEqual([false, true]);
  loginAttempt.succeeded();
  expect(may()).toBe(true);
});

test('what does not concern the login pauses nothing', () => {
  const { login, may, lines, made } = loginBackoff();
  for (const error of [unreachable(new Error('x')), refusedByServer({ code: '53300' }), new Error('mine')])
    login('a', error);
  expect([may(), made.open, lines]).toEqual([true, false, []]);
});

test('missing credentials are told once with the reason, and their source is asked again after a second', () => {
  const { clock, login, may, made, lines } = loginBackoff();
  const missing = credentialsMissing('no password for role "reader"');
  login('', missing);
  expect(made.refusal('reader')).toMatchObject({
    sqlstate: '08004',
    message: 'the gateway could not get its credentials for the database',
  });
  clock.time = 1_000;
  expect(may()).toBe(true);
  login('', missing);
  expect(lines).toEqual([
    'error|reader|there are no credentials for the login|no password for role "reader"',
  ]);
});
