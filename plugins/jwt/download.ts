/** Fetches one small document as the JWKS endpoint of an issuer serves it: bounded in time and size, no redirects. */
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';

/** Largest document, in bytes. */
export const MAX_DOCUMENT_BYTES = 262_144;
/** How long connecting may take, TLS included, in milliseconds. */
const CONNECT_MS = 2_000;

async function body(response: IncomingMessage): Promise<Buffer> {
  if (response.statusCode !== 200) {
    response.destroy();
    // A redirect included: the keys come from the configured address or from nowhere.
    throw new Error(`the answer has status ${response.statusCode}`);
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_DOCUMENT_BYTES) throw new Error(`the answer is longer than ${MAX_DOCUMENT_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * GETs `url` on a connection of its own.
 * @param ca PEM of the authorities to trust instead of the system's
 * @throws Error for every status but 200, a body over 256 KiB, a connection that takes over 2 s, and when `signal` aborts
 */
export function download(url: URL, signal: AbortSignal, ca?: Buffer): Promise<Buffer> {
  const secure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const options = {
      agent: false,
      signal,
      headers: { accept: 'application/jwk-set+json, application/json' },
    };
    const request = secure
      ? https.request(url, { ...options, minVersion: 'TLSv1.2', ...(ca ? { ca } : {}) })
      : http.request(url, options);
    const connecting = setTimeout(() => {
      request.destroy(new Error(`no connection within ${CONNECT_MS / 1_000} s`));
    }, CONNECT_MS);
    const connected = () => {
      clearTimeout(connecting);
    };
    request.once('socket', (socket) => socket.once(secure ? 'secureConnect' : 'connect', connected));
    request.once('close', connected);
    request.once('error', reject);
    request.once('response', (response) => {
      body(response).then(resolve, reject);
    });
    request.end();
  });
}
