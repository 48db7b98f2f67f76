/** One thread of a simulation: says when its instances have joined, begins when it is told, and says what it has seen. */
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { Simulation } from './simulation.ts';
import type { SimulationOptions } from './simulation.ts';

if (!parentPort) throw new Error('it is started by sim.ts');
const simulation = new Simulation(workerData as SimulationOptions);
await simulation.begin();
parentPort.postMessage('joined');
await once(parentPort, 'message');
parentPort.postMessage(await simulation.run());
