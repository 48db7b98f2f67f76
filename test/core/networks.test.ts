import { BlockList, isIP } from 'node:net';
import { array, assert, constantFrom, integer, ipV4, ipV6, oneof, property, tuple } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressText, parseAddress } from '../../core/options/addresses.ts';
import { ConfigError, Networks, parseNetwork } from '../../core/index.ts';

const v4 = ipV4();
const v6 = ipV6();
const kindOf = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4');
const setOf = (...texts: readonly string[]): Networks => new Networks(texts.map(parseNetwork));

/** A network with no bits set to the right of its mask, made of any address. */
function networkOf(address: string, bits: number): string {
  const words = parseAddress(address) ?? [];
  const cut = words.map((word, index) => {
    const kept = Math.min(Math.max(bits - 32 * index, 0), 32);
    return kept === 0 ? 0 : (word & (0xffffffff << (32 - kept))) >>> 0;
  });
  return `${addressText(cut)}/${bits}`;
}

describe('an address', () => {
  test('is one exactly where Node says so, whatever is written', () => {
    const letters = constantFrom(...'01289afF:::..%gx-'.split(''));
    const texts = oneof(
      v4,
      v6,
      array(letters, { maxLength: 45 }).map((all) => all.join('')),
    );
    assert(
      property(texts, (text) => {
        expect(parseAddress(text) !== undefined, text).toBe(isIP(text) !== 0);
      }),
      { numRuns: 20_000 },
    );
  });

  test.each([
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::ffff:a00:1', '10.0.0.1'],
    ['::', '::'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['fe80::1%eth0', 'fe80::1'],
  ])('%s has the text %s', (written, text) => {
    expect(addressText(parseAddress(written) ?? [])).toBe(text);
  });

  test.each([
    '010.0.0.1',
    '10.1',
    '1.2.3',
    '0x7f.0.0.1',
    '1.2.3.256',
    '',
    ' 1.2.3.4',
    '[::1]',
    '1:::2',
    '::1%',
  ])('%j is none', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });
});

describe('a set of networks', () => {
  test('has the addresses that net.BlockList has', () => {
    const network = oneof(tuple(v4, integer({ min: 0, max: 32 })), tuple(v6, integer({ min: 0, max: 128 })));
    assert(
      property(array(network, { maxLength: 40 }), array(oneof(v4, v6)), (all, others) => {
        const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
        const texts = all.map(([address, bits]) => networkOf(address, bits));
        for (const text of texts) {
          const [address = '', bits] = text.split('/');
          lists[kindOf(address)].addSubnet(address, Number(bits), kindOf(address));
        }
        const set = setOf(...texts);
        for (const address of [...others, ...all.map(([one]) => one)]) {
          // Two lists, since to BlockList `::/0` has all of IPv4, which is not what it says in pg_hba.conf.
          const plain = addressText(parseAddress(address) ?? []);
          const known = lists[kindOf(plain)].check(plain, kindOf(plain));
          expect(set.has(address), `${address} in ${texts.join(' ')}`).toBe(known);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('has both ends of a network and neither neighbour', () => {
    const set = setOf('10.1.0.0/16', '2001:db8::/33', '192.0.2.7');
    for (const one of [
      '10.1.0.0',
      '10.1.255.255',
      '2001:db8::',
      '2001:db8:7fff:ffff:ffff:ffff:ffff:ffff',
      '192.0.2.7',
    ])
      expect(set.has(one), one).toBe(true);
    for (const one of [
      '10.0.255.255',
      '10.2.0.0',
      '2001:db8:8000::',
      '2001:db7:ffff::',
      '192.0.2.6',
      '192.0.2.8',
    ])
      expect(set.has(one), one).toBe(false);
  });

  test('has what only the larger of two nested networks has', () => {
    const set = setOf('10.1.2.0/24', '10.0.0.0/8', '10.0.0.0/30', '10.255.0.0/16');
    for (const one of ['10.0.0.9', '10.1.1.0', '10.1.3.0', '10.254.0.0', '10.255.255.255'])
      expect(set.has(one), one).toBe(true);
    expect(set.has('11.0.0.0')).toBe(false);
  });

  test('takes an IPv4-mapped address for the IPv4 one, in a network and in a question', () => {
    const set = setOf('::ffff:10.0.0.0/104', '172.16.0.0/12');
    for (const one of ['10.1.2.3', '::ffff:10.1.2.3', '::FFFF:a01:203', '::ffff:172.16.0.1']) {
      expect(set.has(one), one).toBe(true);
    }
    expect(set.has('::10.1.2.3')).toBe(false);
  });

  test('does not mix the two kinds: ::/0 is all of IPv6 and nothing of IPv4', () => {
    expect(setOf('::/0').has('10.0.0.1')).toBe(false);
    expect(setOf('::/0').has('::ffff:10.0.0.1')).toBe(false);
    expect(setOf('::/0').has('2001:db8::1')).toBe(true);
    expect(setOf('0.0.0.0/0').has('2001:db8::1')).toBe(false);
    expect(setOf('0.0.0.0/0').has('255.255.255.255')).toBe(true);
  });

  test('looks at an address without its zone', () => {
    expect(setOf('fe80::/10').has('fe80::1%eth0')).toBe(true);
  });

  test('without networks, or asked for what is no address, has nothing', () => {
    expect(setOf().has('10.0.0.1')).toBe(false);
    for (const one of ['', 'localhost', '10.0.0.1/32', '010.0.0.1'])
      expect(setOf('0.0.0.0/0', '::/0').has(one)).toBe(false);
  });
});

describe('a network that is wrong', () => {
  test.each([
    ['10.1.2.3/8', "'10.1.2.3/8' has bits set to the right of its mask: say '10.0.0.0/8' or '10.1.2.3'"],
    [
      '2001:db8::1/64',
      "'2001:db8::1/64' has bits set to the right of its mask: say '2001:db8::/64' or '2001:db8::1'",
    ],
    ['10.0.0.0/33', "'10.0.0.0/33' has more than 32 bits of network"],
    ['::/129', "'::/129' has more than 128 bits of network"],
    ['::ffff:10.0.0.0/129', "'::ffff:10.0.0.0/129' has more than 128 bits of network"],
    ['::ffff:10.0.0.0/64', "'::ffff:10.0.0.0/64' has bits set"],
    ['010.0.0.0/8', "'010.0.0.0/8' is no network in CIDR notation such as '10.0.0.0/8'"],
    ['10.0.0.0/08', "'10.0.0.0/08' is no network"],
    ['10.0.0.0/-1', "'10.0.0.0/-1' is no network"],
    ['10.0.0.0/', "'10.0.0.0/' is no network"],
    ['10.0.0.0/255.0.0.0', "'10.0.0.0/255.0.0.0' is no network"],
    ['10/8', "'10/8' is no network"],
    ['fe80::1%eth0', "'fe80::1%eth0' is no network"],
    ['localhost', "'localhost' is no network"],
    ['', "'' is no network"],
    ['1'.repeat(100), 'this is no network'],
  ])('%s: %s', (text, sentence) => {
    expect(() => parseNetwork(text)).toThrow(ConfigError);
    expect(() => parseNetwork(text)).toThrow(sentence);
  });
});
