/** The startup packet as a way to another role: nothing of it arrives that is no run-time parameter. */
import { expect, test } from 'vitest';
import { logIn } from '../../support/gateway.ts';
import { message, startup } from '../../support/raw-client.ts';
import { attacked } from './attacked.ts';

const here = attacked();

const NAMES = ['role', 'session_authorization'];

function spellings(name: string): string[] {
  const capital = name.charAt(0).toUpperCase() + name.slice(1);
  const wide = name.replace('o', '\uff4f').replace('s', '\u017f');
  return [
    name,
    name.toUpperCase(),
    capital,
    name.replaceAll('_', '-'),
    ` ${name}`,
    `${name} `,
    wide,
    `\ufeff${name}`,
  ];
}

test('no spelling of a setting that changes the role gets through, directly or in options', async () => {
  const { port } = await here.gateway();
  const before = here.proxy.count();
  const token = here.keys.sign();
  for (const name of NAMES.flatMap(spellings)) {
    for (const parameters of [
      { [name]: 'writer' },
      { options: `-c ${name}=writer` },
      { options: `-c${name}=writer` },
      { options: `--${name}=writer` },
      { options: `-c\t${name}=writer` },
      { options: `\\-c ${name}=writer` },
      { options: `-c application_name=x -c ${name}=writer` },
      { options: `-c application_name=x\\ -c\\ y --${name}=writer` },
    ]) {
      const attempt = logIn(await here.connect(port), { user: '_', ...parameters }, { token });
      await expect(attempt, JSON.stringify(parameters)).rejects.toThrow(/"C":"(08P01|42601)"/);
    }
  }
  expect(here.proxy.count()).toBe(before);
});

test('values that try to end their field or their word stay values', async () => {
  const { port } = await here.gateway();
  const values = [
    "x' -c role=writer",
    'x\\ -c\\ role=writer',
    'x\nrole=writer',
    'a'.repeat(2000),
    '\u202e',
    '%n%s',
    '$1',
  ];
  for (const value of values) {
    const { client } = await logIn(
      await here.connect(port),
      { user: '_', application_name: value },
      { token: here.keys.sign() },
    );
    client.send(
      message('Q', "select session_user || ',' || current_user || ',' || current_setting('role')\0"),
    );
    const row = (await client.until('Z')).find(({ type }) => type === 'D');
    expect(row?.body.subarray(6).toString()).toBe('reader,reader,none');
    client.destroy();
  }
});

/** A packet of pairs that a record cannot hold. */
function packet(...pairs: readonly string[]): Buffer {
  const body = Buffer.from(`${pairs.join('\0')}\0\0`, 'latin1');
  const head = Buffer.alloc(8);
  head.writeUInt32BE(body.length + 8, 0);
  head.writeUInt32BE(196_608, 4);
  return Buffer.concat([head, body]);
}

test('packets that two parsers could read in two ways are refused before a question', async () => {
  const { port } = await here.gateway();
  const base = ['user', '_', 'database', 'orders'];
  const two: Record<string, Buffer> = {
    'user twice': packet(...base, 'user', 'postgres'),
    'database twice': packet(...base, 'database', 'postgres'),
    'options twice': packet(...base, 'options', '', 'options', ''),
    'no value': packet(...base, 'application_name'),
    'bytes behind the end': Buffer.concat([packet(...base).subarray(0, -1), Buffer.from('\0x\0')]),
    'USER in capitals': packet('USER', '_', 'database', 'orders'),
    'not UTF-8 in a name': packet(...base, 'app\xff', 'x'),
    'not UTF-8 in the user': packet('user', '_\xff', 'database', 'orders'),
    'overlong UTF-8': packet('user', '_\xc0\x80', 'database', 'orders'),
    'an empty user': packet('user', '', 'database', 'orders'),
    'a replication nobody understands': packet(...base, 'replication', 'maybe'),
    'a capital _PQ_': packet(...base, '_PQ_.x', '1'),
  };
  for (const [name, bytes] of Object.entries(two)) {
    if (name === 'bytes behind the end') bytes.writeUInt32BE(bytes.length, 0);
    const client = await here.connect(port);
    client.send(bytes);
    const { type } = await client.message();
    expect([name, type]).toEqual([name, 'E']);
    expect([name, (await client.rest()).length]).toEqual([name, 0]);
  }
});

test('what a client sends before it was asked is not taken for a token, nor for a query of somebody known', async () => {
  const { port } = await here.gateway();
  const before = here.proxy.count();
  const early = await here.connect(port);
  early.send(startup({ user: '_', database: 'orders' }), message('Q', 'select 1\0'));
  await early.until('R');
  expect((await early.error())['C']).toBe('08P01');
  expect((await early.rest()).length).toBe(0);
  expect(here.proxy.count()).toBe(before);
});
