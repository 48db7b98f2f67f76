/** The Helm chart of the examples, rendered by helm. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { root } from './example.ts';

/** Where the chart is. */
export const CHART = join(root, 'examples/deploy/helm');
/** Of the guide: its values, and its config. */
export const EXAMPLE = [
  '--values=example.yaml',
  '--set-file=config.files.gateway\\.config\\.ts=gateway.config.ts',
];

/** One resource of Kubernetes. */
export interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: Readonly<Record<string, unknown>>;
}

/** What helm said. */
export interface Rendered {
  readonly status: number | null;
  readonly text: string;
  readonly complaint: string;
}

/** Runs `helm template` with more arguments. */
export function render(helm: string, ...args: readonly string[]): Rendered {
  // A helm that was built from its sources believes that Kubernetes is an old one.
  const command = ['template', 'gateway', '.', '--kube-version=1.31.0', ...args];
  const { status, stdout, stderr } = spawnSync(helm, command, { cwd: CHART, encoding: 'utf8' });
  return { status, text: stdout, complaint: stderr };
}

/** The resources of a text of several documents. @throws Error where one is no YAML */
export function resourcesIn(text: string): readonly Resource[] {
  const documents = parseAllDocuments(text, { version: '1.1' });
  if ('empty' in documents) throw new Error('there is no document');
  for (const { errors } of documents) for (const error of errors) throw error;
  return documents.map((document) => document.toJS() as Resource);
}
