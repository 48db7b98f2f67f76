/** A stream as plugins give it to the gateway. */

/** A `Duplex` of `node:stream`, of bytes. */
export interface DuplexStream {
  readonly readable: boolean;
  readonly writable: boolean;
  write(chunk: Uint8Array): boolean;
  destroy(error?: Error): unknown;
  on(event: 'close', listener: () => void): unknown;
}
