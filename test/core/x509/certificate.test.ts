/** What is read of a client certificate, beside what OpenSSL says of it; and what is no certificate. */
import { X509Certificate } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonName } from '@peculiar/x509';
import { assert as check, nat, property, uint8Array } from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCertificate } from '../../../core/x509/certificate.ts';
import { DerError, derIntegerHex, derTime, derValues, derWhole } from '../../../core/x509/der.ts';
import { RevocationList } from '../../../core/x509/revocation-list.ts';
import { certificateBlocks, derOf, revocationListBlocks } from '../../../core/x509/pem.ts';
import type { ClientCertificate } from '../../../core/contract/session.ts';
import { ClientAuthority, der } from '../../support/client-authority.ts';
import type { Wanted } from '../../support/client-authority.ts';
import { executable } from '../../support/executable.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-x509-'));
afterAll(() => rmSync(folder, { recursive: true }));

const named = (name: string): JsonName[number] =>
  ({ CN: [{ utf8String: name }] }) as unknown as JsonName[number];

let authority: ClientAuthority;
beforeAll(async () => {
  authority = await ClientAuthority.make(folder, 'Machines CA');
});

async function read(
  wanted: Wanted,
): Promise<ClientCertificate & { readonly pem: string; readonly file: string }> {
  const { cert, certFile } = await authority.issue(wanted);
  return { ...readCertificate(derOf(cert)), pem: cert, file: certFile };
}

describe('a certificate', () => {
  test('is read as Node and OpenSSL read it', async () => {
    const subject: JsonName = [
      { C: ['DE'] },
      { O: ['Example, Inc.'] },
      { OU: ['a+b'] },
      named('Zoë "x"; <y>'),
    ];
    const names = [
      { type: 'dns', value: 'billing.example' },
      { type: 'url', value: 'spiffe://example.org/ns/prod/sa/billing' },
      { type: 'email', value: 'a@example.org' },
      { type: 'ip', value: '10.0.0.1' },
    ] as const;
    const found = await read({ subject, names: [...names] });
    const known = new X509Certificate(found.pem);
    expect(found).toMatchObject({
      sha256: known.fingerprint256.replaceAll(':', '').toLowerCase(),
      serialNumber: known.serialNumber.toLowerCase(),
      issuer: 'CN=Machines CA',
      commonNames: ['Zoë "x"; <y>'],
      dns: ['billing.example'],
      uris: ['spiffe://example.org/ns/prod/sa/billing'],
    });
    expect(found.notAfter.getTime()).toBe(Date.parse(known.validTo));
    const openssl = executable('openssl');
    expect(openssl).toBeDefined();
    const args = ['x509', '-noout', '-subject', '-nameopt', 'RFC2253,-esc_msb,utf8', '-in', found.file];
    const printed = execFileSync(openssl ?? '', args, { encoding: 'utf8' }).trim();
    expect(`subject=${found.subject}`).toBe(printed);
    expect(found.subject).toBe(String.raw`CN=Zoë \"x\"\; \<y\>,OU=a\+b,O=Example\, Inc.,C=DE`);
  });

  test('may have no subject and no alternative name', async () => {
    expect(await read({})).toMatchObject({ subject: '', commonNames: [], dns: [], uris: [] });
  });

  test('has one name only where a comma would make two of it in a text', async () => {
    const url = 'https://a.example/, DNS:admin.example, URI:spiffe://example.org/admin';
    const found = await read({ rawNames: der(0x30, der(0x86, url), der(0x82, 'x, DNS:admin.example')) });
    expect(found).toMatchObject({ dns: [], uris: [] });
    const one = await read({ rawNames: der(0x30, der(0x86, 'a:b,URI:spiffe://example.org/admin')) });
    expect(one.uris).toEqual(['a:b,URI:spiffe://example.org/admin']);
  });

  test.each([
    ['a zero byte', 'admin.example\0.attacker.example'],
    ['a zero byte at its end', 'admin.example\0'],
    ['a line break', 'admin.example\n'],
    ['a letter beyond ASCII', 'adm\u00efn.example'],
    ['nothing', ''],
  ])('does not have an alternative name with %s in it', async (_, name) => {
    const bytes = Buffer.from(name, 'latin1');
    const found = await read({
      rawNames: der(0x30, der(0x82, bytes), der(0x86, bytes), der(0x82, 'good.example')),
    });
    expect(found).toMatchObject({ dns: ['good.example'], uris: [] });
  });

  test('does not have a common name with a zero byte in it, and its subject shows where it is', async () => {
    const found = await read({ subject: [named('admin\0evil')] });
    expect(found).toMatchObject({ commonNames: [], subject: String.raw`CN=admin\00evil` });
  });

  test.each([
    ['printableString', 'Zoe', 'Zoe'],
    ['ia5String', 'Zoe', 'Zoe'],
    ['bmpString', 'Zo\u00eb \u65e5', 'Zo\u00eb \u65e5'],
  ])('has its common name as %s', async (type, text, name) => {
    const subject = [{ CN: [{ [type]: text }] }] as unknown as JsonName;
    expect(await read({ subject })).toMatchObject({ commonNames: [name], subject: `CN=${name}` });
  });

  test('is refused with two lists of alternative names', async () => {
    const { cert } = await authority.issue({ names: [{ type: 'dns', value: 'a.example' }] });
    const bytes = derOf(cert);
    // The authority's key identifier becomes another list: OpenSSL would not verify it.
    const place = bytes.lastIndexOf(Buffer.from('0603551d23', 'hex'));
    bytes[place + 4] = 0x11;
    expect(() => readCertificate(bytes)).toThrow('two lists of alternative names');
  });

  test('names of other kinds are no names', async () => {
    const other = der(0xa0, der(0x06, Buffer.from([0x2a, 3])), der(0xa0, der(0x0c, 'admin.example')));
    expect(await read({ rawNames: der(0x30, other, der(0x81, 'dns@example')) })).toMatchObject({
      dns: [],
      uris: [],
    });
  });

  test('cannot be changed by a plugin', async () => {
    const found = readCertificate(derOf((await authority.issue({ subject: 'a' })).cert));
    expect(Object.isFrozen(found)).toBe(true);
    expect(() => (found.uris as string[]).push('spiffe://example.org/admin')).toThrow(TypeError);
  });
});

describe('bytes', () => {
  test('that are cut anywhere are no certificate and no list, and nothing but that is said', async () => {
    const { cert } = await authority.issue({ subject: 'a', names: [{ type: 'dns', value: 'a.example' }] });
    const list = derOf(revocationListBlocks(await authority.list([]))[0] ?? '');
    for (const [bytes, of] of [
      [derOf(certificateBlocks(cert)[0] ?? ''), readCertificate],
      [list, (some: Buffer) => new RevocationList(some)],
    ] as const) {
      for (let length = 0; length < bytes.length; length += 1)
        expect(() => of(bytes.subarray(0, length))).toThrow(DerError);
      expect(() => of(Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(DerError);
    }
  });

  test('of any kind are read, or refused by DerError', async () => {
    const good = derOf(
      (await authority.issue({ subject: 'a', names: [{ type: 'url', value: 'a:b' }] })).cert,
    );
    const tried = (bytes: Buffer): void => {
      try {
        readCertificate(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(DerError);
      }
    };
    check(
      property(uint8Array({ maxLength: 200 }), (bytes) => tried(Buffer.from(bytes))),
      { numRuns: 20_000 },
    );
    check(
      property(nat(good.length - 1), nat(255), (place, octet) => {
        const bytes = Buffer.from(good);
        bytes[place] = octet;
        tried(bytes);
      }),
      { numRuns: 20_000 },
    );
  });

  test.each([
    ['an indefinite length', '3080020101 0000'],
    ['a length that is longer than it must be', '02810101'],
    ['a length with a zero in front', '0282000101'],
    ['a tag of several octets', '1f8101020101'],
    ['a value longer than what is there', '3004020101'],
  ])('with %s are no DER', (_, hex) => {
    expect(() => derValues(Buffer.from(hex.replace(' ', ''), 'hex'))).toThrow(DerError);
  });

  test('numbers and times are those of RFC 5280', () => {
    const integer = (hex: string): string => derIntegerHex(derWhole(Buffer.from(hex, 'hex')));
    expect(['020100', '020200ff', '02017f', '0201ff'].map(integer)).toEqual(['00', 'ff', '7f', '-ff']);
    const time = (tag: number, text: string): string => derTime(derWhole(der(tag, text))).toISOString();
    expect(time(0x17, '491231235959Z')).toBe('2049-12-31T23:59:59.000Z');
    expect(time(0x17, '500101000000Z')).toBe('1950-01-01T00:00:00.000Z');
    expect(time(0x18, '99991231235959Z')).toBe('9999-12-31T23:59:59.000Z');
    for (const text of ['9912312359Z', '991331235959Z', '991231235959+0100', '99123123595 Z'])
      expect(() => time(0x17, text)).toThrow(DerError);
  });
});

describe('a revocation list', () => {
  test('names its certificates, and who has signed it', async () => {
    const other = await ClientAuthority.make(folder, 'Machines CA');
    const [revoked, good] = [
      await authority.issue({ subject: 'a' }),
      await authority.issue({ subject: 'b' }),
    ];
    const text = (await authority.list([revoked])) + (await other.list([]));
    const [list, empty] = revocationListBlocks(text).map((block) => new RevocationList(derOf(block)));
    const certificate = ({ cert }: { readonly cert: string }): ClientCertificate =>
      readCertificate(derOf(cert));
    expect(list?.revokes(certificate(revoked))).toBe(true);
    expect(list?.revokes(certificate(good))).toBe(false);
    expect(empty?.revokes(certificate(revoked))).toBe(false);
    const both = [authority, other].map(({ pem }) => new X509Certificate(pem)) as [
      X509Certificate,
      X509Certificate,
    ];
    expect(both.map((one) => list?.signedBy(one))).toEqual([true, false]);
    expect(both.map((one) => empty?.signedBy(one))).toEqual([false, true]);
    expect(list?.issuer).toBe('CN=Machines CA');
    expect(list?.nextUpdate?.getTime()).toBeGreaterThan(Date.now());
  });
});

/** A list of `CN=a` with one entry, signed by none. Its fields may be of any kind. */
function listOf({ serial = '05', next = [] as readonly Buffer[], version = [der(2, Buffer.from([1]))] }) {
  const algorithm = der(0x30, der(0x06, Buffer.from('2a8648ce3d040302', 'hex')));
  const issuer = der(0x30, der(0x31, der(0x30, der(0x06, Buffer.from([0x55, 4, 3])), der(0x0c, 'a'))));
  const time = der(0x17, '261129000000Z');
  const entry = der(0x30, der(0x02, Buffer.from(serial, 'hex')), time);
  const list = der(0x30, ...version, algorithm, issuer, time, ...next, der(0x30, entry));
  return new RevocationList(der(0x30, list, algorithm, der(0x03, Buffer.from([0]), 'signature')));
}

describe('a list by hand', () => {
  test.each([
    ['05', '05'],
    ['00', '00'],
    ['00ff', 'ff'],
    ['7f', '7f'],
    ['ff', '-ff'],
  ])('with the serial number %s revokes %s and nothing else', (serial, serialNumber) => {
    const list = listOf({ serial });
    expect(list.revokes({ issuer: 'CN=a', serialNumber })).toBe(true);
    expect(list.revokes({ issuer: 'CN=b', serialNumber })).toBe(false);
    expect(list.revokes({ issuer: 'CN=a', serialNumber: '06' })).toBe(false);
  });

  test.each([
    ['17', '491231235959Z', '2049-12-31T23:59:59.000Z'],
    ['17', '500101000000Z', '1950-01-01T00:00:00.000Z'],
    ['18', '99991231235959Z', '9999-12-31T23:59:59.000Z'],
  ])('has its next update: %s %s', (tag, text, iso) => {
    const list = listOf({ next: [der(Number.parseInt(tag, 16), text)] });
    expect(list.nextUpdate?.toISOString()).toBe(iso);
    expect(list.revokes({ issuer: 'CN=a', serialNumber: '05' })).toBe(true);
  });

  test('revokes as well without a version, and without a next update', () => {
    const list = listOf({ version: [] });
    expect(list.nextUpdate).toBeUndefined();
    expect(list.revokes({ issuer: 'CN=a', serialNumber: '05' })).toBe(true);
  });
});
