/** Which request of Node's a raw write may use: one that an earlier write still has aborts the process. Needs a process of its own: what it makes is no request of Node's. */
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { rawWrite, whenTaken } from '../../../core/net/raw-write.ts';

/** Node's WriteWrap: -1 while it is free. */
class WriteWrap {
  asyncId = -1;
  oncomplete?: (status: number) => void;
  getAsyncId(): number {
    return this.asyncId;
  }
}

/** A handle that attaches a request when the system does not take a write at once. */
class TCP {
  writeQueueSize = 0;
  bytesWritten = 0;
  next: 'taken' | 'taken at the second try' | 'queued' = 'taken';
  writeBuffer(request: WriteWrap, bytes: Buffer): number {
    if (request.asyncId !== -1) throw new Error('Assertion failed: the request is attached');
    if (this.next !== 'taken') request.asyncId = 7;
    if (this.next === 'queued') this.writeQueueSize = bytes.length;
    return 0;
  }
}

function socket(): { readonly socket: Socket; readonly handle: TCP } {
  const handle = new TCP();
  const write = (bytes: Buffer): void => void handle.writeBuffer(new WriteWrap(), bytes);
  return {
    socket: { _handle: handle, writableLength: 0, connecting: false, write } as unknown as Socket,
    handle,
  };
}

test('a write that the system takes at the second try keeps its request, and the next one gets another', () => {
  const [one, other] = [socket(), socket()];
  const bytes = Buffer.alloc(10);
  // The first one in a process shows what Node makes for a write.
  expect(rawWrite(one.socket, bytes)).toBe(0);
  one.handle.next = 'taken at the second try';
  expect(rawWrite(one.socket, bytes)).toBe(0);
  other.handle.next = 'queued';
  expect(rawWrite(other.socket, bytes)).toBe(10);
  whenTaken(() => {});
  expect(rawWrite(socket().socket, bytes)).toBe(0);
});
