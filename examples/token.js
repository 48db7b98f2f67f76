/**
 * Stands in for an identity provider while you try the examples: `node token.js '{"sub":"ada","role":"writer"}'`
 * prints a token that is good for an hour. The key is made at the first call, `issuer.key` and `jwks.json` in the
 * current folder.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

if (!existsSync('issuer.key')) {
  const { privateKey } = generateKeyPairSync('ed25519');
  writeFileSync('issuer.key', privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
}
const key = createPrivateKey(readFileSync('issuer.key'));
const jwk = { ...createPublicKey(key).export({ format: 'jwk' }), alg: 'EdDSA', use: 'sig', kid: 'example' };
writeFileSync('jwks.json', JSON.stringify({ keys: [jwk] }));

const now = Math.floor(Date.now() / 1000);
const usual = { iss: 'https://id.example', aud: 'postern', sub: 'ada', role: 'reader' };
const claims = { ...usual, iat: now, exp: now + 3600, ...JSON.parse(process.argv[2] ?? '{}') };
const parts = [{ alg: 'EdDSA', typ: 'JWT', kid: 'example' }, claims];
const signed = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
console.log(`${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`);
