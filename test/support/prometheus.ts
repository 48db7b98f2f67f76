/** Reads the text that Prometheus reads (exposition format 0.0.4), and takes nothing that is not right. */

/** One value. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

function sampleOf(line: string): Sample {
  const [, name, labels = '', text = ''] = SAMPLE.exec(line) ?? [];
  const value = text === '+Inf' ? Infinity : Number(text);
  if (name === undefined || text === '' || Number.isNaN(value)) throw new Error(`no sample: ${line}`);
  return {
    name,
    value,
    labels: Object.fromEntries([...labels.matchAll(LABEL)].map(([, key = '', is = '']) => [key, is])),
  };
}

function familyOf(name: string, types: ReadonlyMap<string, string>): string {
  const family = name.replace(/_(?:bucket|sum|count)$/, '');
  return types.get(family) === 'histogram' ? family : name;
}

/** All samples. @throws Error for a line that is none, a name without a type, a series that comes twice, buckets that shrink */
export function parsePrometheus(text: string): readonly Sample[] {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const types = new Map<string, string>();
  const seen = new Set<string>();
  const samples: Sample[] = [];
  const heights = new Map<string, number>();
  for (const line of text.split('\n').slice(0, -1)) {
    const [, type, kind] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (type !== undefined && kind !== undefined) {
      if (types.has(type)) throw new Error(`two types for ${type}`);
      if (kind === 'counter' && !type.endsWith('_total')) throw new Error(`a counter called ${type}`);
      types.set(type, kind);
    } else if (!/^# HELP \S+ \S/.test(line)) {
      const sample = sampleOf(line);
      const { le, ...others } = sample.labels;
      const series = `${sample.name} ${JSON.stringify(others)}`;
      if (!types.has(familyOf(sample.name, types))) throw new Error(`no type for ${sample.name}`);
      if (seen.has(`${series} ${le}`)) throw new Error(`twice: ${line}`);
      seen.add(`${series} ${le}`);
      if (le !== undefined && sample.value < (heights.get(series) ?? 0)) throw new Error(`shrinks: ${line}`);
      if (le !== undefined) heights.set(series, sample.value);
      samples.push(sample);
    }
  }
  return samples;
}
