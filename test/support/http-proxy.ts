/** An HTTP proxy on a real socket: tunnels by CONNECT, forwards plain requests, and leads every name to one server. */
import { once } from 'node:events';
import { createServer, request as send } from 'node:http';
import type { Server } from 'node:http';
import { createServer as createSecure } from 'node:https';
import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** What {@link httpProxy} may be told. */
export interface HttpProxyOptions {
  /** Where everything leads, a port of this machine. */
  readonly to: number;
  /** `user:password` that it wants to see. Default: nobody has to say who it is. */
  readonly credentials?: string;
  /** Certificate and key: the proxy itself is reached by TLS. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** What it answers to CONNECT instead of a tunnel: a status line with headers. */
  readonly answer?: string;
}

/** One that runs. */
export interface HttpProxy {
  readonly port: number;
  /** `CONNECT other.example:443` and `GET http://collector.example/…`, as they came. */
  readonly requests: readonly string[];
  /** Every header that came, to look for secrets in it. */
  readonly heard: () => string;
  stop(): Promise<void>;
}

function forward(from: Socket, to: Socket): void {
  for (const [one, other] of [
    [from, to],
    [to, from],
  ] as const) {
    one.pipe(other);
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
  }
}

/** Starts it on a free port. */
export async function httpProxy({ to, credentials, tls, answer }: HttpProxyOptions): Promise<HttpProxy> {
  const requests: string[] = [];
  const heard: string[] = [];
  const sockets = new Set<Socket>();
  const wanted = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`;
  const server: Server = tls ? createSecure(tls) : createServer();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('request', (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    heard.push(JSON.stringify(request.headers));
    if (wanted !== undefined && request.headers['proxy-authorization'] !== wanted) {
      response.writeHead(407).end();
      return;
    }
    const { pathname, search } = new URL(request.url ?? '');
    const path = `${pathname}${search}`;
    const { method = 'GET', headers } = request;
    const onward = send({ port: to, host: '127.0.0.1', method, path, headers, agent: false }, (come) => {
      response.writeHead(come.statusCode ?? 500, come.headers);
      come.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  server.on('connect', (request, socket: Socket) => {
    requests.push(`CONNECT ${request.url}`);
    heard.push(JSON.stringify(request.headers));
    socket.on('error', () => socket.destroy());
    if (wanted !== undefined && request.headers['proxy-authorization'] !== wanted) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      return;
    }
    if (answer !== undefined) {
      socket.end(answer);
      return;
    }
    const onward = net.connect(to, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      forward(socket, onward);
    });
    onward.on('error', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    heard: () => heard.join('\n'),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}
