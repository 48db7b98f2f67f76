/**
 * Stands in for an identity provider while you try the examples: `node token.js '{"sub":"ada","role":"writer"}'`
 * prints a token that is good for an hour. The key is made where there is none: `issuer.key` in the current folder.
 * Its public half is added to `jwks.json` there.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

if (!existsSync('issuer.key')) {
  const { privateKey } = generateKeyPairSync('ed25519');
  writeFileSync('issuer.key', privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
}
const key = createPrivateKey(readFileSync('issuer.key'));
const { crv, kty, x } = createPublicKey(key).export({ format: 'jwk' });
// The name of a key is its thumbprint (RFC 7638), so that no two keys have one name.
const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x })).digest('base64url');
const { keys } = existsSync('jwks.json') ? JSON.parse(readFileSync('jwks.json', 'utf8')) : { keys: [] };
const others = keys.filter((other) => other.kid !== kid);
writeFileSync(
  'jwks.json',
  JSON.stringify({ keys: [...others, { crv, kty, x, alg: 'EdDSA', use: 'sig', kid }] }),
);

const now = Math.floor(Date.now() / 1000);
const usual = { iss: 'https://id.example', aud: 'postern', sub: 'ada', role: 'reader' };
const claims = { ...usual, iat: now, exp: now + 3600, ...JSON.parse(process.argv[2] ?? '{}') };
const parts = [{ alg: 'EdDSA', typ: 'JWT', kid }, claims];
const signed = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
console.log(`${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`);
