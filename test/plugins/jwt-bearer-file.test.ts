/** A credential for fetching keys: read each time, shown to one origin, and told to nobody. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import type { IssuerOptions } from '../../plugins/jwt/index.ts';
import { issuer } from '../support/token.ts';
import { host } from './gateway.ts';
import type { PluginHost } from './gateway.ts';
import { hang, json, keyIssuer } from './key-issuer.ts';
import type { Answer } from './key-issuer.ts';

const CANARY = 'canary-credential';

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'postern-bearer-'));
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return made;
}

async function start(options: IssuerOptions, directory: string): Promise<PluginHost> {
  const running = await host([jwt({ issuers: [options] })], directory);
  onTestFinished(() => running.stop());
  return running;
}

/** Gives its keys to who shows the one credential of the moment, and notes what it is shown. */
function guarded(shown: (string | undefined)[], wanted: () => string, document: unknown): Answer {
  return (response, request) => {
    shown.push(request.headers.authorization);
    if (request.headers.authorization === `Bearer ${wanted()}`) json(document)(response, request);
    else response.writeHead(401).end();
  };
}

const good = issuer({ algorithms: ['ES256'] });
const next = issuer({ algorithms: ['ES256'], generation: '2' });

test('is shown with each fetch as the file has it then', async () => {
  const directory = await folder();
  await writeFile(join(directory, 'token'), `${CANARY}-1\n`);
  const shown: (string | undefined)[] = [];
  let wanted = `${CANARY}-1`;
  const keys = await keyIssuer(guarded(shown, () => wanted, good.jwks));
  const running = await start({ ...good.options, jwks: keys.url, bearerFile: 'token' }, directory);
  await running.login({ token: good.sign() });
  wanted = `${CANARY}-2`;
  await writeFile(join(directory, 'token'), `${CANARY}-2`);
  const again = await start({ ...good.options, jwks: keys.url, bearerFile: 'token' }, directory);
  await again.login({ token: good.sign() });
  expect(shown).toEqual([`Bearer ${CANARY}-1`, `Bearer ${CANARY}-2`]);
  expect(JSON.stringify([running.lines, again.lines])).not.toContain(CANARY);
});

test('is shown where the issuer says what it is, and not at another origin it leads to', async () => {
  const directory = await folder();
  await writeFile(join(directory, 'token'), CANARY);
  const elsewhere: (string | undefined)[] = [];
  const about: (string | undefined)[] = [];
  const site = await keyIssuer(hang);
  const { origin } = new URL(site.url);
  const tokens = issuer({ algorithms: ['ES256'], issuer: origin });
  const keys = await keyIssuer((response, request) => {
    elsewhere.push(request.headers.authorization);
    json(tokens.jwks)(response, request);
  });
  site.answer(guarded(about, () => CANARY, { issuer: origin, jwks_uri: keys.url }));
  const running = await start({ issuer: origin, audience: 'postern', bearerFile: 'token' }, directory);
  await running.login({ token: tokens.sign() });
  expect(about).toEqual([`Bearer ${CANARY}`]);
  expect(elsewhere).toEqual([undefined]);
});

test('follows a redirect at its own origin, and to no other', async () => {
  const directory = await folder();
  await writeFile(join(directory, 'token'), CANARY);
  const shown: (string | undefined)[] = [];
  const elsewhere = await keyIssuer((response, request) => {
    shown.push(request.headers.authorization);
    json(good.jwks)(response, request);
  });
  const here = await keyIssuer((response, request) => {
    shown.push(request.headers.authorization);
    const location = request.url === '/moved' ? elsewhere.url : '/moved';
    response.writeHead(302, { location }).end();
  });
  const running = await start({ ...good.options, jwks: here.url, bearerFile: 'token' }, directory);
  await running.login({ token: good.sign() });
  expect(shown).toEqual([`Bearer ${CANARY}`, `Bearer ${CANARY}`, undefined]);
});

test('goes with both requests where the issuer keeps its keys at its own origin', async () => {
  const directory = await folder();
  await writeFile(join(directory, 'token'), CANARY);
  const shown: (string | undefined)[] = [];
  const site = await keyIssuer(hang);
  const { origin } = new URL(site.url);
  const tokens = issuer({ algorithms: ['ES256'], issuer: origin });
  site.answer((response, request) => {
    const document = request.url === '/keys' ? tokens.jwks : { issuer: origin, jwks_uri: `${origin}/keys` };
    guarded(shown, () => CANARY, document)(response, request);
  });
  const running = await start({ issuer: origin, audience: 'postern', bearerFile: 'token' }, directory);
  await running.login({ token: tokens.sign() });
  expect(shown).toEqual([`Bearer ${CANARY}`, `Bearer ${CANARY}`]);
});

test.each([
  ['is not there', undefined, /ENOENT/],
  ['is empty', ' \n', /there is no token in /],
  ['has two lines', `${CANARY}\nx: y`, /invalid authorization header/],
])('a file that %s leaves the gateway without keys, and the log says why', async (_name, content, why) => {
  const directory = await folder();
  if (content !== undefined) await writeFile(join(directory, 'token'), content);
  const keys = await keyIssuer(json(good.jwks));
  const running = await start({ ...good.options, jwks: keys.url, bearerFile: 'token' }, directory);
  await expect(running.login({ token: good.sign() })).rejects.toThrow('tokens cannot be verified');
  expect(running.notReady().join()).toMatch(why);
  expect(JSON.stringify(running.lines)).not.toContain(CANARY);
  expect(keys.requests()).toBe(0);
});

test('a config with another file has another store', async () => {
  const directory = await folder();
  await writeFile(join(directory, 'one'), `${CANARY}-1`);
  await writeFile(join(directory, 'two'), `${CANARY}-2`);
  const keys = await keyIssuer((response, request) => {
    const second = request.headers.authorization === `Bearer ${CANARY}-2`;
    json(second ? next.jwks : good.jwks)(response, request);
  });
  const kept = new Map<string, unknown>();
  const options = (bearerFile: string) => ({ issuers: [{ ...good.options, jwks: keys.url, bearerFile }] });
  const before = await host([jwt(options('one'))], directory, kept);
  onTestFinished(() => before.stop());
  await before.login({ token: good.sign() });
  const after = await host([jwt(options('two'))], directory, kept);
  onTestFinished(() => after.stop());
  await after.login({ token: next.sign() });
});
