/**
 * Writes to a socket past the stream machinery, which costs several times as much as the system call. Its handle is not
 * documented: where a Node has another one, {@link rawWrite} declines and the plain `write` does the same.
 */
import { getSystemErrorName } from 'node:util';
import type { ChannelSocket } from './socket-events.ts';
import { COPY_BYTES, copyOf, keep } from './write-copy.ts';

/** libuv's stream under a socket, as far as it is used here. */
interface Handle {
  /**
   * Tries at once, and queues what the system does not take. An error number below zero, or 0. From Node 26 on it is given no
   * request, and returns one where something is queued.
   */
  readonly writeBuffer: (this: Handle, request: Request | null, bytes: Buffer) => number | Request;
  readonly writeQueueSize: number;
  /** Those that are queued as well. */
  readonly bytesWritten: number;
}

/** Node's WriteWrap: belongs to one write from when a part of it is queued until `oncomplete`. */
interface Request {
  oncomplete?: (status: number) => void;
  /** Keeps the bytes alive. */
  buffer?: Buffer;
  /** {@link FREE} while no write has it. */
  getAsyncId(): number;
}

const FREE = -1;

const HANDLE = '_handle';

/** TLS has a handle of its own that encrypts, and is left as it is. */
const KNOWN_KINDS = new Set(['TCP', 'Pipe']);

/** Makes a request; null where the handle makes its own; undefined: not known yet. */
let Made: (new () => Request) | null | undefined;
/** Used again and again: a write that is taken at once does not keep it. */
let request: Request | null | undefined;

/** Constructors of handles that {@link isKnown} has looked at. */
const KNOWN = new Set<unknown>();

/** The handle of a plain socket; undefined if there is none, or none that is known. */
function handleOf(socket: ChannelSocket): Handle | undefined {
  const handle = (socket as unknown as { readonly [HANDLE]?: Partial<Handle> | null })[HANDLE];
  if (!handle) return undefined;
  return KNOWN.has(handle.constructor) || isKnown(handle) ? (handle as Handle) : undefined;
}

function isKnown(handle: Partial<Handle>): boolean {
  if (!KNOWN_KINDS.has(handle.constructor.name)) return false;
  if (typeof handle.writeBuffer !== 'function' || typeof handle.writeQueueSize !== 'number') return false;
  KNOWN.add(handle.constructor);
  return true;
}

const free = (socket: ChannelSocket): Handle | undefined =>
  socket.connecting || socket.writableLength > 0 ? undefined : handleOf(socket);

/**
 * Writes at once. Undefined: nothing was done, use the plain `write`. Else the bytes that the system has not taken yet: then
 * {@link whenTaken} must be called before anything else. A broken socket is destroyed.
 */
export function rawWrite(socket: ChannelSocket, bytes: Buffer): number | undefined {
  const handle = free(socket);
  if (!handle) return undefined;
  if (Made !== undefined) return write(handle, socket, bytes);
  learn(handle, socket, bytes);
  return 0;
}

/** As {@link rawWrite}, of bytes that change afterwards: they are copied. */
export function rawWriteCopy(
  socket: ChannelSocket,
  bytes: Buffer,
  from: number,
  to: number,
): number | undefined {
  if (Made === undefined || to - from > COPY_BYTES) return undefined;
  const handle = free(socket);
  return handle && write(handle, socket, copyOf(bytes, from, to));
}

function write(handle: Handle, socket: ChannelSocket, bytes: Buffer): number {
  request ??= Made ? new Made() : null;
  const result = handle.writeBuffer(request, bytes);
  if (typeof result !== 'number') request = result;
  else if (result < 0) socket.destroy(new Error(`write ${getSystemErrorName(result)}`));
  return request && request.getAsyncId() !== FREE ? queuedOf(handle, request, bytes) : 0;
}

/**
 * libuv tries a second time what the system has not taken at first. Where that succeeds nothing is queued, and the request is
 * that write's all the same until the loop turns: another write with it would abort the process.
 */
function queuedOf(handle: Handle, made: Request, bytes: Buffer): number {
  const queued = handle.writeQueueSize;
  made.buffer = bytes;
  keep(bytes);
  if (queued === 0) whenTaken(() => {});
  return queued;
}

/** How many bytes the system has taken of what was written, by whichever way. */
export function bytesTaken(socket: ChannelSocket): number {
  const handle = handleOf(socket);
  return handle ? handle.bytesWritten - handle.writeQueueSize : socket.bytesWritten - socket.writableLength;
}

/** Tells when the system has taken the write that was made last, with an error number below zero if it never will. */
export function whenTaken(taken: (status: number) => void): void {
  if (!request) return;
  request.oncomplete = taken;
  request = undefined;
}

/** Writes plainly, and sees what Node makes for a write. */
function learn(handle: Handle, socket: ChannelSocket, bytes: Buffer): void {
  const own = handle as { writeBuffer?: Handle['writeBuffer'] };
  const plain = handle.writeBuffer.bind(handle);
  own.writeBuffer = (made, written) => {
    // Without it a request that is in use cannot be recognised.
    if (made && typeof made.getAsyncId !== 'function') {
      KNOWN_KINDS.clear();
      KNOWN.clear();
    }
    Made ??= made && (made.constructor as new () => Request);
    return plain(made, written);
  };
  try {
    socket.write(bytes);
  } finally {
    // The prototype's is there again.
    delete own.writeBuffer;
  }
}
