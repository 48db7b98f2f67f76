/** Writes audit lines as fast as it can until it is killed: `audit-writer.ts FILE`. */
import { setImmediate as tick } from 'node:timers/promises';
import { FileSink } from '../../plugins/audit/file-sink.ts';
import { Recorder } from '../../plugins/audit/record.ts';
import { Trail } from '../../plugins/audit/trail.ts';

const [file = ''] = process.argv.slice(2);
const log = { info() {}, warn() {}, error() {} };
const marks = new Recorder('none');
const rotate = { size: 1e9, ageMs: undefined, keep: undefined };
const sink = new FileSink(file, { file, fsync: 'never', rotate });
const trail = new Trail({ sink, key: undefined, bufferUnits: 1_000_000, marks, log });
await trail.open();
for (let i = 0; ; i += 1) {
  trail.record(marks.operator({ via: 'http', verb: 'RELOAD', target: { text: 'x'.repeat(i % 5_000) } }));
  if (i % 50 === 0) await tick();
}
