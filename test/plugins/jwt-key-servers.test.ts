/** Key servers as they are: choosy, compressing, redirecting, busy, and behind a proxy. */
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { AddressGuard, isPrivate } from '../../plugins/jwt/address-guard.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { httpProxy } from '../support/http-proxy.ts';
import type { HttpProxy, HttpProxyOptions } from '../support/http-proxy.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { host, refusalOf } from './gateway.ts';
import type { PluginHost } from './gateway.ts';
import { json, keyIssuer } from './key-issuer.ts';
import type { Answer, KeyIssuer } from './key-issuer.ts';
import { good, hint, jwtGateway, openStore, subject } from './key-stores.ts';

let made: Certificates;
beforeAll(async () => {
  made = await certificates();
});
afterAll(() => {
  made.remove();
});

/** Sends bytes, with a coding if one is given. */
function bytes(body: Buffer | string, coding?: string): Answer {
  return (response) => {
    if (coding !== undefined) response.setHeader('content-encoding', coding);
    response.setHeader('content-type', 'application/json').end(body);
  };
}

const redirect =
  (location: string, status = 302): Answer =>
  (response) => {
    response.writeHead(status, { location }).end('see there');
  };

/** Answers by path. */
function pages(all: Readonly<Record<string, Answer>>): Answer {
  return (response, request) => {
    const page = all[request.url ?? ''];
    if (page) page(response, request);
    else response.writeHead(404).end();
  };
}

async function reasonOf(running: PluginHost): Promise<string> {
  expect((await refusalOf(running.login({ token: good.sign() }))).sqlstate).toBe('57P03');
  return running.notReady().join();
}

const text = JSON.stringify(good.jwks);

describe('keys come', () => {
  test.each<[string, Answer]>([
    [
      'from a server that refuses who does not accept anything',
      (response, request) => {
        if (request.headers.accept?.includes('*/*')) json(good.jwks)(response, request);
        else response.writeHead(406).end();
      },
    ],
    [
      'from a server that refuses who has no name',
      (response, request) => {
        if (request.headers['user-agent']?.startsWith('postern')) json(good.jwks)(response, request);
        else response.writeHead(403).end();
      },
    ],
    ['compressed by gzip, unasked', bytes(gzipSync(text), 'gzip')],
    ['compressed by gzip under its old name', bytes(gzipSync(text), 'X-GZip')],
    ['compressed by deflate', bytes(deflateSync(text), 'deflate')],
    ['compressed by brotli', bytes(brotliCompressSync(text), 'br')],
    ['with a coding that is none', bytes(text, 'identity')],
    ['with a byte order mark', bytes(`\ufeff${text}`)],
    ['with a byte order mark, compressed', bytes(gzipSync(`\ufeff${text}`), 'gzip')],
  ])('%s', async (_name, answer) => {
    const keys = await keyIssuer(answer);
    expect(await subject(await jwtGateway(keys.url), good.sign())).toBe('alice');
  });

  test('and nobody asks for a coding', async () => {
    let asked: unknown = 'not yet';
    const keys = await keyIssuer((response, request) => {
      asked = request.headers['accept-encoding'];
      json(good.jwks)(response, request);
    });
    await subject(await jwtGateway(keys.url), good.sign());
    expect(asked).toBeUndefined();
  });

  test.each<[string, Answer, RegExp]>([
    [
      'a small body that is a large document',
      bytes(gzipSync(Buffer.alloc(10_000_000, 32)), 'gzip'),
      /longer than 262144/,
    ],
    ['what is not compressed as it says', bytes(text, 'gzip'), /not gzip, as it says/],
    ['a coding that is not known', bytes(text, 'compress'), /content coding/],
    ['two codings at once', bytes(gzipSync(gzipSync(text)), 'gzip, gzip'), /content coding/],
  ])('and not by %s', async (_name, answer, why) => {
    expect(await reasonOf(await jwtGateway((await keyIssuer(answer)).url))).toMatch(why);
  });
});

describe('a redirect', () => {
  const secure = (keys: KeyIssuer): Promise<PluginHost> =>
    jwtGateway(keys.url, { options: { ca: made.ca.certFile } });

  test.each([301, 302, 303, 307, 308])('with status %d is followed, three times', async (status) => {
    const answer = pages({
      '/jwks.json': redirect('/2', status),
      '/2': redirect('3', status),
      '/3': redirect('?4', status),
      '/3?4': json(good.jwks),
    });
    const keys = await keyIssuer(answer, made.server);
    expect(await subject(await secure(keys), good.sign())).toBe('alice');
    expect(keys.requests()).toBe(4);
  });

  test('is not followed a fourth time', async () => {
    const keys = await keyIssuer(redirect('/again'), made.server);
    expect(await reasonOf(await secure(keys))).toMatch(/more than 3 redirects/);
    expect(keys.requests()).toBe(4);
  });

  test('to another server is followed, and that one is checked by the same authority', async () => {
    const there = await keyIssuer(json(good.jwks), made.server);
    const here = await keyIssuer(redirect(there.url), made.server);
    expect(await subject(await secure(here), good.sign())).toBe('alice');
    const stranger = await keyIssuer(json(good.jwks), made.wrongServer);
    here.answer(redirect(stranger.url.replace('127.0.0.1', 'localhost')));
    expect(await reasonOf(await secure(here))).toMatch(/certificate/);
    expect(stranger.requests()).toBe(0);
  });

  test('from https to http is not followed, not even on this machine', async () => {
    const plain = await keyIssuer(json(good.jwks));
    const keys = await keyIssuer(redirect(plain.url), made.server);
    expect(await reasonOf(await secure(keys))).toMatch(/not followed: it leads from https: to http:/);
    expect(plain.requests()).toBe(0);
  });

  test('from http on this machine leads to http on this machine only', async () => {
    const there = await keyIssuer(json(good.jwks));
    const here = await keyIssuer(redirect(there.url));
    expect(await subject(await jwtGateway(here.url), good.sign())).toBe('alice');
    for (const [to, why] of [
      ['http://id.example/keys', /not https/],
      ['https://id.example/keys', /leads from http: to https:/],
      ['http://me:canary@127.0.0.1/', /user name or password/],
      ['ftp://127.0.0.1/', /leads from http: to ftp:/],
      ['http://', /leads nowhere/],
    ] as const) {
      here.answer(redirect(to));
      const reason = await reasonOf(await jwtGateway(here.url));
      expect(reason).toMatch(why);
      expect(reason).not.toContain('canary');
    }
  });

  test('without an address leads nowhere', async () => {
    const keys = await keyIssuer((response) => response.writeHead(302).end());
    expect(await reasonOf(await jwtGateway(keys.url))).toMatch(/leads nowhere: location is absent/);
  });
});

describe('private addresses', () => {
  test.each([
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '169.254.169.254',
    '172.31.255.255',
    '192.168.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
    '2002:a00:1::',
    'fd00::1',
    'fe80::1',
    'ff02::1',
  ])('are none of a public server: %s', (address) => {
    expect(isPrivate(address)).toBe(true);
  });

  test.each(['1.1.1.1', '100.128.0.1', '172.32.0.1', '192.0.2.1', '2606:4700::1111', '::ffff:1.1.1.1'])(
    'and these are: %s',
    (address) => {
      expect(isPrivate(address)).toBe(false);
    },
  );

  /** What a name comes to for a guard that has seen this address first. */
  function lookedUp(first: string, name: string): Promise<unknown> {
    const guard = new AddressGuard();
    guard.enter(new URL(first));
    guard.redirected();
    return new Promise((resolve) => {
      guard.lookup(name, { all: true }, (error, addresses) => resolve(error?.message ?? addresses));
    });
  }

  test('are where a redirect may lead from a private address', async () => {
    expect(await lookedUp('https://10.0.0.1/', 'localhost')).toContainEqual(
      expect.objectContaining({ address: expect.stringMatching(/^127|^::1/) }),
    );
  });

  test('are no place for a redirect from a public address, by number or by name', async () => {
    expect(await lookedUp('https://1.1.1.1/', 'localhost')).toBe(
      'a redirect leads to localhost, which has a private address',
    );
    for (const url of ['https://10.0.0.1/', 'https://[::1]/', 'https://0x7f.1/', 'https://2130706433/']) {
      const guard = new AddressGuard();
      guard.enter(new URL('https://1.1.1.1/'));
      guard.redirected();
      expect(() => guard.enter(new URL(url))).toThrow('private address');
    }
  });
});

describe('a server that is busy', () => {
  test.each([429, 503])('with status %d is not asked again before it wants to be', async (status) => {
    const patient = await keyIssuer((response) =>
      response.writeHead(status, { 'retry-after': '3600' }).end(),
    );
    const usual = await keyIssuer((response) => response.writeHead(status).end());
    const [left, asked] = [
      openStore(patient.url, { retry: 1, unknown: 0 }),
      openStore(usual.url, { retry: 1 }),
    ];
    await vi.waitFor(() => expect(usual.requests()).toBeGreaterThan(6), 30_000);
    await expect(left.find(hint)).rejects.toThrow(`status ${status}, and asks for 3600 s of peace`);
    expect(asked.problem()).toMatch(new RegExp(`status ${status}$`));
    expect(patient.requests()).toBe(1);
  });

  test('is left alone by unknown kids as well, while its last keys serve', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const store = openStore(keys.url, { unknown: 0 });
    await store.find(hint);
    keys.answer((response) => response.writeHead(503, { 'retry-after': '3600' }).end());
    await store.refresh();
    const before = keys.requests();
    for (let index = 0; index < 20; index += 1) {
      await expect(store.find({ alg: 'ES256', kid: `new-${index}` })).rejects.toThrow('asks for 3600 s');
    }
    expect((await store.find(hint)).keys).toHaveLength(1);
    expect(keys.requests()).toBe(before);
  });

  test.each([() => '1', () => new Date(Date.now() + 2_000).toUTCString()])(
    'is asked again when the time that it named has come',
    async (when) => {
      const asked: number[] = [];
      const keys = await keyIssuer((response, request) => {
        asked.push(performance.now());
        if (asked.length > 1) json(good.jwks)(response, request);
        else response.writeHead(503, { 'retry-after': when() }).end();
      });
      const store = openStore(keys.url, { retry: 1 });
      await vi.waitFor(() => expect(store.problem()).toMatch(/status 503/), { timeout: 30_000, interval: 5 });
      await vi.waitFor(() => expect(store.problem()).toBeUndefined(), 30_000);
      const [first = 0, second = 0] = asked;
      expect(second - first).toBeGreaterThan(500);
    },
  );

  test.each(['soon', '-5', ''])('and says nothing of use is asked as usual: %j', async (when) => {
    const keys = await keyIssuer((response) => response.writeHead(503, { 'retry-after': when }).end());
    openStore(keys.url, { retry: 1 });
    await vi.waitFor(() => expect(keys.requests()).toBeGreaterThan(3), 30_000);
  });
});

describe('behind a proxy', () => {
  const URL_OF_KEYS = 'https://other.example/jwks.json';

  async function behind(
    options: Omit<HttpProxyOptions, 'to'>,
    keys: KeyIssuer,
    user = '',
  ): Promise<HttpProxy> {
    const proxy = await httpProxy({ ...options, to: keys.port });
    onTestFinished(() => proxy.stop());
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    vi.stubEnv('HTTPS_PROXY', `http://${user}127.0.0.1:${proxy.port}`);
    return proxy;
  }
  const start = (url = URL_OF_KEYS): Promise<PluginHost> =>
    jwtGateway(url, { options: { ca: made.ca.certFile } });

  test('keys come through its tunnel, and it is told who asks', async () => {
    const keys = await keyIssuer(json(good.jwks), made.other);
    const proxy = await behind({ credentials: 'ada:c@nary' }, keys, 'ada:c%40nary@');
    const running = await start();
    expect(await subject(running, good.sign())).toBe('alice');
    expect(proxy.requests).toEqual(['CONNECT other.example:443']);
    expect(JSON.stringify(running.lines)).not.toMatch(/c@nary|c%40nary/);
  });

  test('the certificate is still that of the key server', async () => {
    const keys = await keyIssuer(json(good.jwks), made.server);
    await behind({}, keys);
    expect(await reasonOf(await start())).toMatch(/other\.example|altname/i);
    expect(keys.requests()).toBe(0);
  });

  test.each([
    [
      'that wants to know who asks',
      { credentials: 'ada:other' },
      'ada:canary@',
      /the proxy answers with status 407/,
    ],
    [
      'that leads elsewhere by its own word',
      { answer: 'HTTP/1.1 302 Found\r\nlocation: https://evil.example/keys\r\ncontent-length: 0\r\n\r\n' },
      '',
      /the proxy answers with status 302/,
    ],
    [
      'that has keys of its own',
      { answer: `HTTP/1.1 203 Fine\r\ncontent-length: ${text.length}\r\n\r\n${text}` },
      '',
      /the proxy answers with status 203/,
    ],
  ])('one %s gives no keys', async (_name, options, user, why) => {
    const keys = await keyIssuer(json(good.jwks), made.other);
    const proxy = await behind(options, keys, user);
    const running = await start();
    const reason = await reasonOf(running);
    expect(reason).toMatch(why);
    expect(reason + JSON.stringify(running.lines)).not.toContain('canary');
    expect(new Set(proxy.requests)).toEqual(new Set(['CONNECT other.example:443']));
    expect(keys.requests()).toBe(0);
  });

  test('one that is not there is named by its address, without its password', async () => {
    const keys = await keyIssuer(json(good.jwks), made.other);
    const proxy = await behind({}, keys, 'ada:canary@');
    await proxy.stop();
    expect(await reasonOf(await start())).toMatch(new RegExp(`ECONNREFUSED 127.0.0.1:${proxy.port}`));
  });

  test('a redirect goes through it as well, and not to this machine', async () => {
    const inside = await keyIssuer(json(good.jwks), made.server);
    const keys = await keyIssuer(pages({ '/jwks.json': redirect('/2'), '/2': json(good.jwks) }), made.other);
    const proxy = await behind({}, keys);
    expect(await subject(await start(), good.sign())).toBe('alice');
    for (const host of ['127.0.0.1', 'localhost']) {
      keys.answer(redirect(`https://${host}:${inside.port}/jwks.json`));
      expect(await reasonOf(await start())).toMatch(/private address/);
    }
    expect(inside.requests()).toBe(0);
    expect(new Set(proxy.requests)).toEqual(new Set(['CONNECT other.example:443']));
  });

  test('keys on this machine, and of servers in NO_PROXY, do not come through it', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const proxy = await behind({}, keys);
    vi.stubEnv('HTTP_PROXY', `http://127.0.0.1:${proxy.port}`);
    expect(await subject(await start(keys.url), good.sign())).toBe('alice');
    vi.stubEnv('NO_PROXY', '.example');
    await reasonOf(await start());
    expect(proxy.requests).toEqual([]);
  });

  test('discovery goes through it, both times', async () => {
    const origin = 'https://other.example';
    const keys = await keyIssuer(
      pages({
        '/.well-known/openid-configuration': json({ issuer: origin, jwks_uri: `${origin}/keys` }),
        '/keys': json(good.jwks),
      }),
      made.other,
    );
    const proxy = await behind({}, keys);
    const found = await host([
      jwt({ issuers: [{ issuer: origin, audience: 'postern', ca: made.ca.certFile }] }),
    ]);
    onTestFinished(() => found.stop());
    expect((await found.login({ token: good.sign({ iss: origin }) })).facts.identity?.subject).toBe('alice');
    expect(proxy.requests).toEqual(['CONNECT other.example:443', 'CONNECT other.example:443']);
  });

  test('an address of a proxy that is none stops the boot and names the variable', async () => {
    vi.stubEnv('https_proxy', 'http://ada:canary@proxy example');
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    await expect(start()).rejects.toThrow(/^environment variable https_proxy: (?!.*canary)/);
  });
});
