import { expect, test } from 'vitest';
import { parseDatabase, parseRole } from '../../../core/names.ts';
import type { Upstream } from '../../../core/session.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { PooledServer } from '../../../core/upstream/pool/pooled-servers.ts';
import { keyOf } from '../../../core/upstream/pool-key.ts';
import type { Owner } from '../../../core/upstream/pool/checkout-request.ts';
import { prepare } from '../../../core/upstream/pool/session-preparation.ts';
import { SessionSettings } from '../../../core/upstream/session-settings.ts';

const upstream: Upstream = {
  entry: 'main',
  database: parseDatabase('main'),
  role: parseRole('reader'),
  settings: {},
  schemas: [],
  onCheckout: [],
};
const scopes = { session: 's', subject: 'a', tenant: 't' };
const owner: Owner = { fingerprint: 'same', scopes, holder: {} };

/** A connection that the session has used, where TimeZone is UTC, is prepared for a client that wants this; what the server is asked. */
async function prepared(
  wanted: Readonly<Record<string, string>>,
  applied: Readonly<Record<string, string>>,
  next = owner,
) {
  const written: Buffer[] = [];
  const channel = { listen() {}, resume() {}, pause() {}, write: (bytes: Buffer) => written.push(bytes) > 0 };
  const server = new PooledServer(keyOf(upstream, false), Infinity, []);
  server.owner = owner;
  server.applied = SessionSettings.of(
    Object.entries(applied).map(([name, value]) => ({ name, value, from: 'client' })),
  );
  const parameters = new Map([['TimeZone', 'UTC']]);
  server.connection = { channel, parameters } as unknown as ServerConnection;
  const startup = { user: 'a', database: 'main', parameters: wanted };
  const closing = new AbortController();
  const outcome = prepare(server, { upstream, startup }, next, closing.signal);
  closing.abort(new Error('the pool ends'));
  const { kind } = await outcome;
  return { kind, asked: Buffer.concat(written).toString('latin1') };
}

const another: Owner = { ...owner, holder: {} };

test.each(['TimeZone', 'timezone', 'TIMEZONE'])(
  '%s is the parameter that the server reports as TimeZone',
  async (name) => {
    const [utc, tokyo] = [{ [name]: 'UTC' }, { [name]: 'Asia/Tokyo' }];
    for (const next of [owner, another]) {
      expect(await prepared(utc, utc, next)).toEqual({ kind: 'ready', asked: '' });
      expect(await prepared(utc, tokyo, next)).toEqual({ kind: 'ready', asked: '' });
      // It was set there, and something else has changed it since; or it was changed on another connection of the session.
      for (const applied of [tokyo, utc])
        expect((await prepared(tokyo, applied, next)).asked).toContain('Asia/Tokyo');
    }
  },
);

test('what no server reports is set where another value was applied, and taken back where none is wanted', async () => {
  const [one, two] = [{ work_mem: '1MB' }, { work_mem: '2MB' }];
  for (const next of [owner, another]) {
    expect(await prepared(one, one, next)).toEqual({ kind: 'ready', asked: '' });
    expect((await prepared(two, one, next)).asked).toContain('2MB');
    expect((await prepared({}, one, next)).asked).toContain('work_mem');
  }
});
