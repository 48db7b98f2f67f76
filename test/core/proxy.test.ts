/** Which proxy the environment names for a request, and which requests go without one. */
import { describe, expect, test } from 'vitest';
import { ConfigError, proxyFor } from '../../core/index.ts';

const PROXY = 'http://proxy.example:3128';

function chosen(url: string, env: Readonly<Record<string, string>>): string | undefined {
  return proxyFor(new URL(url), env)?.url.href;
}

describe('the variables', () => {
  test.each<[string, Readonly<Record<string, string>>, string | undefined]>([
    ['https://id.example', {}, undefined],
    ['https://id.example', { HTTPS_PROXY: PROXY }, `${PROXY}/`],
    ['https://id.example', { https_proxy: PROXY }, `${PROXY}/`],
    ['https://id.example', { https_proxy: PROXY, HTTPS_PROXY: 'http://other.example' }, `${PROXY}/`],
    ['https://id.example', { https_proxy: '', HTTPS_PROXY: PROXY }, undefined],
    ['https://id.example', { HTTPS_PROXY: '  ' }, undefined],
    ['https://id.example', { HTTP_PROXY: PROXY }, undefined],
    ['http://id.example', { HTTP_PROXY: PROXY }, `${PROXY}/`],
    ['http://id.example', { http_proxy: PROXY }, `${PROXY}/`],
    ['http://id.example', { HTTPS_PROXY: PROXY }, undefined],
    ['https://id.example', { HTTPS_PROXY: 'proxy.example:3128' }, `${PROXY}/`],
    ['https://id.example', { HTTPS_PROXY: 'https://proxy.example' }, 'https://proxy.example/'],
    ['https://id.example', { HTTPS_PROXY: 'http://[2001:db8::1]:3128' }, 'http://[2001:db8::1]:3128/'],
  ])('%s with %j', (url, env, proxy) => {
    expect(chosen(url, env)).toBe(proxy);
  });

  test.each([
    'http://ada:canary@',
    'http://ada:canary@proxy example',
    'http://ada:canary@proxy:99999',
    'ada:canary@://',
    'socks5://ada:canary@proxy:1080',
    'file:///canary',
  ])('that are no proxy are told by their name, and their value is not repeated: %s', (value) => {
    for (const name of ['HTTPS_PROXY', 'https_proxy']) {
      const choose = (): unknown => proxyFor(new URL('https://id.example'), { [name]: value });
      expect(choose).toThrow(ConfigError);
      expect(choose).toThrow(new RegExp(`^environment variable ${name}: (?!.*canary)`));
    }
  });

  test('credentials become a header and are not in the address', () => {
    const env = { HTTPS_PROXY: 'http://ada:p%40ss@proxy.example:3128' };
    const proxy = proxyFor(new URL('https://id.example'), env);
    expect(proxy?.url.href).toBe(`${PROXY}/`);
    expect(proxy?.authorization).toBe(`Basic ${Buffer.from('ada:p@ss').toString('base64')}`);
    expect(() => proxyFor(new URL('https://id.example'), { HTTPS_PROXY: 'http://a:%zz@p' })).toThrow(
      /^environment variable HTTPS_PROXY: user name or password/,
    );
  });
});

describe('NO_PROXY', () => {
  test.each<[string, string, boolean]>([
    ['*', 'https://id.example', true],
    ['id.example', 'https://id.example', true],
    ['ID.Example', 'https://id.example', true],
    ['id.example', 'https://id.example.', true],
    ['id.example.', 'https://id.example', true],
    ['example', 'https://id.example', true],
    ['.example', 'https://id.example', true],
    ['*.example', 'https://id.example', true],
    ['.id.example', 'https://id.example', true],
    ['d.example', 'https://id.example', false],
    ['other.example', 'https://id.example', false],
    ['id.example.com', 'https://id.example', false],
    ['other.example,id.example', 'https://id.example', true],
    ['other.example , id.example', 'https://id.example', true],
    ['other.example id.example', 'https://id.example', true],
    [',,', 'https://id.example', false],
    ['.', 'https://id.example', false],
    ['id.example:443', 'https://id.example', true],
    ['id.example:8443', 'https://id.example', false],
    ['id.example:8443', 'https://id.example:8443', true],
    ['10.1.2.3', 'https://10.1.2.3', true],
    ['10.1.2.3:443', 'https://10.1.2.3', true],
    ['10.0.0.0/8', 'https://10.1.2.3', true],
    ['10.9.9.9/8', 'https://10.1.2.3', true],
    ['10.0.0.0/16', 'https://10.1.2.3', false],
    ['10.0.0.0/99', 'https://10.1.2.3', false],
    ['10.0.0.0/8', 'https://id.example', false],
    ['fd00::/8', 'https://[fd00::1]', true],
    ['fd00::1', 'https://[fd00::1]', true],
    ['[fd00::1]', 'https://[fd00::1]', true],
    ['[fd00::1]:443', 'https://[fd00::1]', true],
    ['[fd00::1]:8443', 'https://[fd00::1]', false],
    ['fd00::/8', 'https://10.1.2.3', false],
    ['http://id.example', 'https://id.example', false],
  ])('%s: %s goes without: %s', (exempt, url, direct) => {
    for (const name of ['NO_PROXY', 'no_proxy']) {
      expect(chosen(url, { HTTPS_PROXY: PROXY, [name]: exempt }) === undefined).toBe(direct);
    }
  });
});

test.each(['localhost', 'LOCALHOST', 'a.localhost', '127.0.0.1', '127.9.9.9', '[::1]', '[::ffff:127.0.0.1]'])(
  'what is on this machine is reached without a proxy: %s',
  (name) => {
    for (const scheme of ['http', 'https']) {
      expect(
        chosen(`${scheme}://${name}:8080/keys`, { HTTP_PROXY: PROXY, HTTPS_PROXY: PROXY }),
      ).toBeUndefined();
    }
  },
);
