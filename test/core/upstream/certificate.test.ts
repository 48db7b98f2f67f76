/** The gateway as a certificate authority: what it puts into a certificate, and when it makes one. */
import { X509Certificate } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonNameParams } from '@peculiar/x509';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { loadAuthority } from '../../../core/upstream/certificate/authority.ts';
import { mint } from '../../../core/upstream/certificate/mint.ts';
import type { ClientCertificate } from '../../../core/upstream/certificate/mint.ts';
import { RoleCertificates } from '../../../core/upstream/certificate/role-certificates.ts';
import { makeAuthority } from '../../support/authorities.ts';
import type { MadeAuthority } from '../../support/authorities.ts';
import { describeWith } from '../../support/programs.ts';
import { SPOOFS } from '../../support/spoofs.ts';

const MINUTE_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), 'postern-authority-'));
let authority: MadeAuthority;
let stranger: MadeAuthority;

beforeAll(async () => {
  authority = await makeAuthority(folder, 'authority');
  stranger = await makeAuthority(folder, 'stranger');
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const validity = (): { from: number; until: number } => ({
  from: Date.now() - MINUTE_MS,
  until: Date.now() + 10 * MINUTE_MS,
});
const mintFor = async (role: string, by = authority): Promise<ClientCertificate> =>
  mint(loadAuthority(by.files), role, validity());

/** An ASN.1 value: tag, length, content (X.690 §8.1), for lengths below 128. */
function der(tag: number, ...content: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(content);
  return Buffer.concat([Buffer.from([tag, bytes.length]), bytes]);
}

/** A UTF8String of exactly these bytes. */
const utf8String = (name: string): Buffer => der(0x0c, Buffer.from(name));

/** A Name that is one CN and nothing else (RFC 5280 §4.1.2.4). */
const onlyName = (name: string): Buffer =>
  der(0x30, der(0x31, der(0x30, Buffer.from('0603550403', 'hex'), utf8String(name))));

/** The tag and the length of a UTCTime (X.690 §11.8). */
const UTC_TIME = Buffer.from('170d', 'hex');

/** What stands behind the two times of the validity: the subject, and the rest. */
function subject(cert: string): Buffer {
  const { raw } = new X509Certificate(cert);
  // The serial number in front of them is random, and may look like one.
  let times = raw.indexOf(UTC_TIME);
  while (times >= 0 && raw.indexOf(UTC_TIME, times + 15) !== times + 15)
    times = raw.indexOf(UTC_TIME, times + 1);
  expect(times).toBeGreaterThan(0);
  return raw.subarray(times + 30);
}

describe('a certificate', () => {
  test.each(SPOOFS)('for %j says that name byte for byte, and no other', async (name) => {
    const expected = onlyName(name);
    const { cert } = await mintFor(name);
    expect(subject(cert).subarray(0, expected.length)).toEqual(expected);
  });

  test('is for TLS clients only, is no authority, and ends when it should', async () => {
    const times = validity();
    const { cert } = await mint(loadAuthority(authority.files), 'reader', times);
    const seen = new X509Certificate(cert);
    expect(seen).toMatchObject({ ca: false, subject: 'CN=reader', keyUsage: ['1.3.6.1.5.5.7.3.2'] });
    expect(seen.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
    const seconds = (ms: number): number => Math.floor(ms / 1_000);
    expect(seconds(Date.parse(seen.validFrom))).toBe(seconds(times.from));
    expect(seconds(Date.parse(seen.validTo))).toBe(seconds(times.until));
    expect(seen.verify(new X509Certificate(authority.cert).publicKey)).toBe(true);
    expect(seen.subjectAltName).toBeUndefined();
  });

  test('has a key and a serial number of its own', async () => {
    const made = await Promise.all(Array.from({ length: 50 }, () => mintFor('reader')));
    expect(new Set(made.map(({ key }) => key)).size).toBe(50);
    const serials = made.map(({ cert }) => BigInt(`0x${new X509Certificate(cert).serialNumber}`));
    expect(new Set(serials).size).toBe(50);
    // The chance that one of 50 random numbers of 128 bits has fewer than 100 is below 2^-21.
    expect(serials.every((serial) => serial > 1n << 100n && serial < 1n << 128n)).toBe(true);
  });

  test('comes with the authorities between it and the root, but not with the root', async () => {
    const between = await makeAuthority(folder, 'between', { under: authority });
    const { cert } = await mintFor('reader', between);
    const [leaf, next, ...more] = cert.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];
    expect(more).toEqual([]);
    expect(new X509Certificate(leaf ?? '').checkIssued(new X509Certificate(next ?? ''))).toBe(true);
    expect(new X509Certificate(next ?? '').checkIssued(new X509Certificate(authority.cert))).toBe(true);
    expect((await mintFor('reader')).cert.match(/BEGIN/g)).toHaveLength(1);
  });
});

describeWith('openssl', (openssl) => {
  /** Runs openssl with the certificate as a file. */
  async function run(name: string, by: MadeAuthority, args: readonly string[]): Promise<string> {
    const path = join(folder, 'seen.crt');
    writeFileSync(path, (await mintFor(name, by)).cert);
    const { stdout, stderr } = spawnSync(openssl, [...args, path], { encoding: 'utf8' });
    return stdout + stderr;
  }

  test.each(['P-256', 'P-384', 'P-521', 'RSA', 'Ed25519'] as const)(
    'a certificate signed with %s verifies strictly as a TLS client',
    async (keyType) => {
      const subjectOf: JsonNameParams = [
        { C: [{ printableString: 'DE' }] },
        { O: [{ utf8String: 'Größe, "quoted" \\ O=x' }] },
        { CN: [{ printableString: 'Gateway' }] },
      ];
      const by = await makeAuthority(folder, `signs-${keyType}`, { keyType, subject: subjectOf });
      const args = ['verify', '-purpose', 'sslclient', '-x509_strict', '-CAfile', by.files.ca];
      expect(await run('reader', by, args)).toMatch(/seen\.crt: OK\n$/);
      expect(await run('reader', stranger, args)).toContain('verification failed');
      const asServer = args.map((arg) => arg.replace('sslclient', 'sslserver'));
      expect(await run('reader', by, asServer)).toMatch(/unsuitable certificate purpose|unsupported/);
    },
  );

  test('its extensions are what a client certificate needs, the critical ones marked', async () => {
    const text = await run('reader', authority, ['x509', '-noout', '-text', '-in']);
    expect(text).toContain('Version: 3');
    expect(text).toMatch(/Basic Constraints: critical\s+CA:FALSE/);
    expect(text).toMatch(/Key Usage: critical\s+Digital Signature\n/);
    expect(text).toMatch(/Extended Key Usage: \s+TLS Web Client Authentication\n/);
    expect(text).toContain('Subject Key Identifier');
    expect(text).toContain('Authority Key Identifier');
  });

  test.each(SPOOFS)('openssl reads %j as that one name, byte for byte', async (name) => {
    const options = ['-nameopt', 'RFC2253,dump_all,dump_der', '-in'];
    const text = await run(name, authority, ['x509', '-noout', '-subject', ...options]);
    const value = utf8String(name).toString('hex').toUpperCase();
    expect(text.replaceAll(/\s/g, '')).toBe(`subject=CN=#${value}`);
  });
});

describe('the certificates of an authority', () => {
  const fresh = (name: string): RoleCertificates => {
    copyFileSync(authority.files.ca, join(folder, `${name}.crt`));
    copyFileSync(authority.files.key, join(folder, `${name}.key`));
    return new RoleCertificates(
      { ca: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) },
      10 * MINUTE_MS,
    );
  };

  afterEach(() => {
    vi.useRealTimers();
  });

  function at(ms: number): void {
    vi.useFakeTimers({ toFake: ['Date'], now: ms });
  }

  test('logins at the same time get one certificate, another role gets another', async () => {
    const kept = fresh('shared');
    const made = await Promise.all(Array.from({ length: 20 }, () => kept.for('reader')));
    expect(new Set(made).size).toBe(1);
    expect(await kept.for('writer')).not.toBe(made[0]);
    expect(await kept.for('reader')).toBe(made[0]);
  });

  test('one is used for the first half of its lifetime, back-dated for clocks that are behind', async () => {
    const kept = fresh('aging');
    const start = Date.now();
    at(start);
    const first = await kept.for('reader');
    const { validFrom, validTo } = new X509Certificate(first.cert);
    expect(start - Date.parse(validFrom)).toBeGreaterThanOrEqual(5 * MINUTE_MS);
    expect(Math.abs(Date.parse(validTo) - start - 10 * MINUTE_MS)).toBeLessThan(1_000);
    at(start + 5 * MINUTE_MS - 1);
    expect(await kept.for('reader')).toBe(first);
    at(start + 5 * MINUTE_MS);
    const second = await kept.for('reader');
    expect(second).not.toBe(first);
    expect(await kept.for('reader')).toBe(second);
  });

  test('none outlives its authority, and none is made when that has expired', async () => {
    const ending = await makeAuthority(folder, 'ending', { until: Date.now() + 4 * MINUTE_MS });
    const kept = new RoleCertificates(ending.files, 10 * MINUTE_MS);
    const { cert } = await kept.for('reader');
    expect(new X509Certificate(cert).validTo).toBe(new X509Certificate(ending.cert).validTo);
    at(Date.now() + 5 * MINUTE_MS);
    await expect(kept.for('reader')).rejects.toThrow('expired at');
  });

  test('a new pair of files is used at the next login; until both fit, the old one is', async () => {
    const kept = fresh('rotated');
    const before = await kept.for('reader');
    copyFileSync(stranger.files.ca, join(folder, 'rotated.crt'));
    expect(await kept.for('reader')).toBe(before);
    expect(await kept.for('writer')).toBeDefined();
    copyFileSync(stranger.files.key, join(folder, 'rotated.key'));
    const after = await kept.for('reader');
    const issuer = new X509Certificate(stranger.cert);
    expect(new X509Certificate(after.cert).verify(issuer.publicKey)).toBe(true);
    rmSync(join(folder, 'rotated.key'));
    expect(await kept.for('reader')).toBe(after);
  });

  test('files that are not there at the first login are told, and the next login tries again', async () => {
    const kept = fresh('late');
    rmSync(join(folder, 'late.key'));
    await expect(kept.for('reader')).rejects.toThrow('cannot read');
    copyFileSync(authority.files.key, join(folder, 'late.key'));
    await expect(kept.for('reader')).resolves.toHaveProperty('cert');
  });
});
