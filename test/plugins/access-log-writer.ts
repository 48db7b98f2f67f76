/** Writes lines of an access log as one of several workers does: `access-log-writer.ts FILE NAME COUNT`. */
import { LineFile } from '../../plugins/tracing/line-file.ts';

const [file = '', name = '', count = '0'] = process.argv.slice(2);
const lines = new LineFile(file, { info() {}, warn() {}, error() {} });
for (let i = 0; i < Number(count); i += 1) {
  lines.write({ name, i, text: name.repeat((i * 37) % 9_000) });
  if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
}
await lines.close();
