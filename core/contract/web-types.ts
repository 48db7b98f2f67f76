/**
 * Types of the web platform in the API of plugins: the global ones, be they of the library `dom` or of `@types/node`. Where a
 * project compiles with neither, it gets the members that plugins use, and the API compiles nevertheless.
 */

/** The type of the instances of a global class; `Otherwise` where the compiler knows no such class. */
type Instance<Name extends string, Otherwise> =
  typeof globalThis extends Readonly<Record<Name, { readonly prototype: infer T }>> ? T : Otherwise;

/** `AbortSignal` (DOM Standard, 3.2). */
export type WebSignal = Instance<
  'AbortSignal',
  {
    readonly aborted: boolean;
    readonly reason: unknown;
    throwIfAborted(): void;
    addEventListener(type: 'abort', listener: () => void, options?: { readonly once?: boolean }): void;
    removeEventListener(type: 'abort', listener: () => void): void;
  }
>;

/** `URL` (URL Standard, 6.1). */
export type WebUrl = Instance<
  'URL',
  {
    href: string;
    readonly origin: string;
    protocol: string;
    host: string;
    hostname: string;
    port: string;
    pathname: string;
    search: string;
  }
>;

/** `Headers`, as far as they are read. */
interface WebHeaders {
  get(name: string): string | null;
  has(name: string): boolean;
}

/** `Request` (Fetch Standard, 5.4). */
export type WebRequest = Instance<
  'Request',
  {
    readonly method: string;
    readonly url: string;
    readonly headers: WebHeaders;
    readonly signal: WebSignal;
    text(): Promise<string>;
    json(): Promise<unknown>;
  }
>;

/** `Response` (Fetch Standard, 5.5). */
export type WebResponse = Instance<
  'Response',
  {
    readonly status: number;
    readonly headers: WebHeaders;
    text(): Promise<string>;
    json(): Promise<unknown>;
  }
>;
