/** Where a server is found and what it may be: names with several addresses, IPv6, and logins that cannot be proven. */
import dns from 'node:dns';
import net from 'node:net';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { databaseOf, logIn } from '../../support/gateway.ts';
import { hasIpv6, ipv6Test } from '../../support/ipv6.ts';
import { message } from '../../support/raw-client.ts';
import { scripted } from '../upstream/support.ts';
import { attacked } from './attacked.ts';

const here = attacked();

/** A name server of the test's own: whatever is asked for has these addresses. */
function resolveTo(...addresses: readonly string[]): void {
  const real = dns.lookup;
  const answers = addresses.map((address) => ({ address, family: net.isIP(address) }));
  const fake = (name: string, ...rest: [{ all?: boolean }, (...answer: unknown[]) => void]): void => {
    const [options, done] = rest;
    const [first] = answers;
    if (name !== 'db.example') return real(name, ...(rest as unknown as [object, () => void]));
    setImmediate(() => (options.all ? done(null, answers) : done(null, first?.address, first?.family)));
  };
  dns.lookup = fake as unknown as typeof dns.lookup;
  onTestFinished(() => void (dns.lookup = real));
}

test('a name with several addresses leads to the one that answers, and a cancel goes to the same', async () => {
  resolveTo('127.0.0.3', '127.0.0.2', '127.0.0.1');
  const { proxy, database, keys } = here;
  const plain = { host: 'db.example', port: proxy.port, database, tls: { mode: 'disable' } } as const;
  const { port } = await here.gateway({ databases: { orders: databaseOf(here.postgres, plain) } });
  const { client, processId, secret } = await logIn(
    await here.connect(port),
    { user: '_' },
    { token: keys.sign() },
  );
  client.send(message('Q', "select repeat('x', 300000)\0"));
  const row = (await client.until('Z')).find(({ type }) => type === 'D');
  expect(row?.body.length).toBe(300_006);
  resolveTo('127.0.0.9');
  client.send(message('Q', 'select pg_sleep(20)\0'));
  await expect
    .poll(
      async () =>
        (
          await here.postgres.sql(
            "select 1 from pg_stat_activity where query like '%sleep(20)%' and usename = 'reader'",
          )
        ).length,
    )
    .toBe(1);
  const canceling = await here.connect(port);
  const head = Buffer.alloc(12);
  head.writeUInt32BE(12 + secret.length, 0);
  head.writeUInt32BE(80_877_102, 4);
  head.writeUInt32BE(processId, 8);
  canceling.send(Buffer.concat([head, secret]));
  expect((await client.until('E')).at(-1)?.body.toString()).toContain('C57014');
});

test('a name with addresses of which none answers is 08001 within the time for connecting', async () => {
  resolveTo('127.0.0.2', '127.0.0.3');
  const plain = { host: 'db.example', port: here.proxy.port, tls: { mode: 'disable' } } as const;
  const { port, lines } = await here.gateway({ databases: { orders: databaseOf(here.postgres, plain) } });
  const attempt = logIn(await here.connect(port), { user: '_' }, { token: here.keys.sign() });
  const error: unknown = await attempt.catch((reason: unknown) => reason);
  expect(String(error)).toContain('"C":"08001"');
  expect(String(error)).not.toMatch(/db\.example|127\.0\.0/);
  // The operator can tell why.
  expect(lines('no server connection')).toMatchObject([{ reason: expect.stringMatching(/ECONNREFUSED/) }]);
});

test.skipIf(!hasIpv6)(ipv6Test('an IPv6 address serves as a host'), async () => {
  const forward = net.createServer((socket) => {
    const server = net.connect(here.postgres.port, here.postgres.host);
    socket.pipe(server).pipe(socket);
    socket.on('error', () => server.destroy());
    server.on('error', () => socket.destroy());
  });
  forward.listen(0, '::1');
  await once(forward, 'listening');
  const { port: there } = forward.address() as net.AddressInfo;
  const orders = databaseOf(here.postgres, { host: '::1', port: there, database: here.database });
  const { port } = await here.gateway({ databases: { orders } });
  await logIn(await here.connect(port), { user: '_' }, { token: here.keys.sign() });
  forward.close();
});

test.each([
  ['only SCRAM-SHA-256-PLUS, without TLS', 'R\0\0\0\x1c\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0'],
  ['no mechanism at all', 'R\0\0\0\x09\0\0\0\x0a\0'],
  ['cleartext outside TLS', 'R\0\0\0\x08\0\0\0\x03'],
  ['md5 outside TLS', 'R\0\0\0\x0c\0\0\0\x05abcd'],
  ['GSS', 'R\0\0\0\x08\0\0\0\x07'],
  ['a notice before anything', 'N\0\0\0\x05\0'],
  ['AuthenticationOk and then silence of an identity', 'R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I'],
])('a server that wants %s gets no password and its client 08001 or 08004', async (_, bytes) => {
  const heard: Buffer[] = [];
  const server = await scripted((socket) => {
    socket.on('data', (chunk) => heard.push(Buffer.from(chunk)));
    socket.once('data', () => void socket.write(Buffer.from(bytes, 'latin1')));
  });
  const plain = { host: '127.0.0.1', port: server.port, tls: { mode: 'disable' } } as const;
  // One that is silent after its login has the time for opening a connection, here shorter than the client's.
  const orders = databaseOf(here.postgres, { ...plain, pool: { queueTimeout: '60s' } });
  const { port } = await here.gateway({ databases: { orders }, loginTimeout: '60s' });
  const attempt = logIn(await here.connect(port), { user: '_' }, { token: here.keys.sign() });
  await expect(attempt).rejects.toThrow(/"C":"0800[14]"/);
  expect(Buffer.concat(heard).includes(here.postgres.passwords.reader)).toBe(false);
  await expect.poll(() => server.sockets.size).toBe(0);
  await server.stop();
});
