/** pgjdbc's suite, which stands in its source release. */
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DATABASE, ended, output } from './suite.ts';
import type { Results, Server, Source, Suite } from './suite.ts';

const VERSION = '42.7.7';
/** The runner that it names is too old for its tests. */
const MAVEN = ['mvn', '-q', '-B', '-Dmaven-surefire-plugin.version=3.5.2'];

/** Fetched and compiled by Maven, whose cache keeps what it depends on. */
function fetch(into: string): Source {
  output(['javac', '-version'], { in: into });
  const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy';
  const artifact = `-Dartifact=org.postgresql:postgresql:${VERSION}:tar.gz:jdbc-src`;
  output([...MAVEN, copy, artifact, '-DoutputDirectory=.'], { in: into });
  const name = `postgresql-${VERSION}-jdbc-src`;
  output(['tar', '-xzf', `${name}.tar.gz`], { in: into });
  const folder = join(into, name);
  output([...MAVEN, 'test-compile'], { in: folder });
  return { folder };
}

/** Tests of what a session has on its connection, but for those of COPY: one writes until the process is gone that it has ended, which a client in transaction mode cannot end. */
const PART = [
  'CallableStmt ClientEncoding Connection CustomTypeWithBinaryTransfer DateStyle Enum Misc Notify ParameterStatus',
  'RefCursor ResultSetRefresh SearchPathLookup ServerCursor ServerError ServerPreparedStmt Statement Timezone Upsert',
]
  .flatMap((names) => names.split(' '))
  .map((name) => `${name}Test`)
  .join(',');

function run({ folder }: Source, { host, port, password }: Server, all: boolean): Results {
  const properties = {
    'test.url.PGHOST': host,
    'test.url.PGPORT': String(port),
    'test.url.PGDBNAME': DATABASE,
    user: 'test',
    password: password('test'),
    privilegedUser: 'postgres',
    privilegedPassword: password('postgres'),
  };
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(join(folder, 'build.local.properties'), lines.join(''));
  const reports = join(folder, 'target', 'surefire-reports');
  rmSync(reports, { recursive: true, force: true });
  const { stdout, stderr } = ended(
    [...MAVEN, 'surefire:test', '-Dmaven.test.failure.ignore=true', ...(all ? [] : [`-Dtest=${PART}`])],
    { in: folder },
  );
  console.error(`${stdout}\n${stderr}`);
  const texts = readdirSync(reports).filter((name) => name.endsWith('.xml'));
  return new Map(texts.flatMap((name) => resultsIn(readFileSync(join(reports, name), 'utf8'))));
}

/** A report of Surefire, by class, method and number: parameters are not the same in each run. */
function resultsIn(report: string): [name: string, passed: boolean][] {
  const seen = new Map<string, number>();
  return report
    .split('<testcase ')
    .slice(1)
    .flatMap((text): [string, boolean][] => {
      const of = (attribute: string): string => new RegExp(`\\b${attribute}="([^"]*)"`).exec(text)?.[1] ?? '';
      if (text.includes('<skipped')) return [];
      const method = `${of('classname').replace('org.postgresql.', '')} ${/^\w*/.exec(of('name'))?.[0] ?? ''}`;
      const number = (seen.get(method) ?? 0) + 1;
      seen.set(method, number);
      return [[`${method} ${number}`, !text.includes('<failure') && !text.includes('<error')]];
    });
}

/** Its tests. */
export const pgjdbc: Suite = {
  fetch,
  setup:
    'create extension if not exists hstore; create extension if not exists citext; grant all on schema public to test',
  part: PART,
  run,
  known: { session: [], transaction: [] },
};
