/**
 * Loaded into a process, by `--import`: a resolver that knows the names in the file `NAMES`, lines of "name address", and
 * asks the system for others. It stands for the system's own, which no test may bend.
 */
import dns from 'node:dns';
import { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const ours = /\.test$/;
const system = dns.lookup;

/** @param {string} name */
function addressOf(name) {
  const lines = readFileSync(process.env.NAMES ?? '', 'utf8').split('\n');
  return lines.find((line) => line.startsWith(`${name} `))?.split(' ')[1];
}

/** @type {(name: string, ...rest: any[]) => void} */
function lookup(name, ...rest) {
  if (!ours.test(name)) return Reflect.apply(system, dns, [name, ...rest]);
  const done = rest.at(-1);
  const options = rest.length > 1 ? rest[0] : {};
  const address = addressOf(name);
  if (address === undefined) {
    const error = Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' });
    setImmediate(() => done(error));
  } else if (options.all) setImmediate(() => done(null, [{ address, family: 4 }]));
  else setImmediate(() => done(null, address, 4));
}

dns.lookup = lookup;
dns.promises.lookup = (name, options) =>
  new Promise((resolve, reject) => {
    lookup(name, options ?? {}, (error, address, family) => {
      if (error) reject(error);
      else resolve(options?.all ? address : { address, family });
    });
  });
syncBuiltinESMExports();
