/** A JWKS endpoint on a real socket that can behave, and misbehave in every way issuers do. */
import { createServer as createHttp } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** How the endpoint answers. */
export type Answer = (response: ServerResponse, request: IncomingMessage) => void;

/** A running endpoint. */
export interface KeyIssuer {
  readonly url: string;
  readonly port: number;
  /** Requests so far. */
  readonly requests: () => number;
  /** Requests without an end yet. */
  readonly open: () => number;
  /** The most requests that were open at the same time. */
  readonly mostAtOnce: () => number;
  answer(how: Answer): void;
  readonly stop: () => Promise<void>;
}

/** Sends a document as JSON. */
export function json(document: unknown): Answer {
  return (response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify(document));
  };
}

/** Sends a document late, so that requests which are not waited for would meet. */
export function late(document: unknown): Answer {
  return (response, request) => {
    setTimeout(() => {
      json(document)(response, request);
    }, 50);
  };
}

/** Sends nothing and never ends. */
export const hang: Answer = () => {};

/** Starts an endpoint that stops with the test; over TLS where a certificate is given. */
export async function keyIssuer(
  how: Answer,
  tls?: { cert: string; key: string },
  port = 0,
): Promise<KeyIssuer> {
  let answer = how;
  let requests = 0;
  let open = 0;
  let most = 0;
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    requests++;
    most = Math.max(most, ++open);
    response.once('close', () => open--);
    answer(response, request);
  };
  const server: Server = tls ? createHttps(tls, listener) : createHttp(listener);
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = server.address() as AddressInfo;
  const stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  };
  onTestFinished(stop);
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${address.port}/jwks.json`,
    port: address.port,
    requests: () => requests,
    open: () => open,
    mostAtOnce: () => most,
    answer(next) {
      answer = next;
    },
    stop,
  };
}
