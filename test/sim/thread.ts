/** One thread of a simulation: says when its instances have joined, begins when it is told, and says what it has seen. */
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { Simulation } from './simulation.ts';
import type { SimulationOptions } from './simulation.ts';

if (!parentPort) throw new Error('it is started by sim.ts');
const port = parentPort;
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
const say = (what: unknown): void => port.postMessage(what);

const simulation = new Simulation(workerData as SimulationOptions);
await simulation.begin();
say('joined');
await once(port, 'message');
say(await simulation.run());
