import { Writable } from 'node:stream';
import { expect, test, vi } from 'vitest';
import { BoundLog } from '../../core/connection/bound-log.ts';
import { SessionEndSignal } from '../../core/connection/session-end-signal.ts';
import { createLogger } from '../../core/telemetry/log.ts';
import { PluginSignal } from '../../core/hooks/plugin-signal.ts';

test('whoever waits for the end of a session hears of it once, and with its first reason', () => {
  const [end, heard] = [new SessionEndSignal(), [] as string[]];
  const gone = (): void => void heard.push('gone');
  end.addEventListener('abort', () => heard.push('one'));
  end.addEventListener('abort', gone);
  end.addEventListener('abort', () => heard.push('two'));
  end.removeEventListener('abort', gone);
  expect(end.aborted).toBe(false);
  expect(() => end.throwIfAborted()).not.toThrow();
  end.abort(new Error('first'));
  end.abort(new Error('second'));
  expect([end.aborted, heard]).toEqual([true, ['one', 'two']]);
  expect(() => end.throwIfAborted()).toThrow('first');
});

test('a signal that is asked for after the end is aborted, with the reason of the end', () => {
  const [early, late] = [new PluginSignal(), new PluginSignal()];
  const { signal } = early;
  const heard = vi.fn();
  signal.addEventListener('abort', heard);
  for (const one of [early, late]) one.abort('over');
  expect(heard).toHaveBeenCalledOnce();
  expect([signal.reason, late.signal.aborted, late.signal.reason]).toEqual(['over', true, 'over']);
  expect(late.signal).toBe(late.signal);
  expect(early.signal).toBe(signal);
});

test('a line of a session has its id, and its identity from the moment that is known; a level that is off costs no logger', () => {
  const lines: object[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      lines.push(JSON.parse(chunk.toString()) as object);
      done();
    },
  });
  const root = createLogger('warn', sink);
  const child = vi.spyOn(root, 'child');
  const session = { id: 'an id', state: 'starting' as const, facts: {} };
  const log = new BoundLog(root, session);
  log.info({}, 'not written');
  expect(child).not.toHaveBeenCalled();
  log.warn({}, 'a stranger');
  Object.assign(session, { state: 'idle', facts: { identity: { issuer: 'home', subject: 'ada' } } });
  log.error({ n: 1 }, 'somebody');
  expect(lines).toMatchObject([
    { session: 'an id', msg: 'a stranger' },
    { session: 'an id', issuer: 'home', subject: 'ada', n: 1, msg: 'somebody' },
  ]);
});
